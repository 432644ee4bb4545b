//! Stories about configuration that changes while programs run: what is taken, what is not, and that nothing which
//! runs is disturbed.
//!
//! Files are replaced as editors and deployments replace them: another file is renamed over them.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

#[path = "../support/mod.rs"]
mod support;

use std::net::{SocketAddr, TcpListener};

use nix::sys::signal::Signal;
use support::{Mesh, NodePlan, Service, http_get, until};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_comes_and_goes_with_the_file_and_live_connections_stay() {
    let (orders, billing) = (Service::greeter("orders").await, Service::greeter("billing").await);
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", orders.address()).serve("billing", billing.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let old = mesh.listener("caller", "orders");
    let mut living = greeted(old).await.expect("orders answers");
    let new = free_address();

    mesh.rewrite("caller", |text| {
        let (head, _) = text.split_once("[[listen]]").expect("it has a listener");
        format!("{head}[[listen]]\nservice = \"billing\"\nas = \"web\"\naddress = \"{new}\"\n")
    });

    until("the new listener to lead to its service", || async { greeted(new).await.map(drop) })
        .await
        .unwrap();
    until("the old listener to be gone", || async {
        match TcpStream::connect(old).await {
            Ok(_) => Err("it accepts".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await
    .unwrap();
    living.write_all(b"still here").await.unwrap();
    living.shutdown().await.unwrap();
    let mut rest = Vec::new();
    living.read_to_end(&mut rest).await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_comes_and_goes_with_the_file() {
    let (first, second) = (Service::greeter("first").await, Service::greeter("second").await);
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");
    assert_eq!(name_of(listener).await.unwrap(), "first");

    mesh.rewrite("n1", |text| text.replace(&first.address().to_string(), &second.address().to_string()));

    until("the second to serve alone", || async {
        match name_of(listener).await? {
            name if name == "second" => Ok(()),
            name => Err(name),
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_told_with_its_place_until_it_is_mended() {
    let orders = Service::greeter("orders").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", orders.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let good = std::fs::read_to_string(mesh.node_dir("caller").join("node.toml")).unwrap();

    mesh.rewrite("caller", |text| text.replace("[node]", "[node]\nzoen = \"a\""));

    let told = |successful: f64| {
        move |metrics: &support::Metrics| {
            metrics.value("sinew_config_last_reload_successful", &[]) == Some(successful)
        }
    };
    mesh.metrics_when("caller", told(0.0)).await;
    assert!(mesh.log("caller").contains("did you mean `zone`?"), "{}", mesh.log("caller"));
    assert_eq!(name_of(mesh.listener("caller", "orders")).await.unwrap(), "orders");
    mesh.rewrite("caller", |_| good.clone());
    mesh.metrics_when("caller", told(1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_read_at_start_only_is_named() {
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").listen("orders", "web")).await;

    mesh.rewrite("n1", |text| text.replace("[node]", "[node]\ndead_after = \"3s\""));

    until("the key to be named", || async {
        let log = mesh.log("n1");
        if log.contains("needs a restart") && log.contains("dead_after") { Ok(()) } else { Err(log) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_takes_another_default_policy_and_every_node_hears_of_it() {
    let orders = Service::greeter("orders").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", orders.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");
    assert_eq!(name_of(listener).await.unwrap(), "orders");

    mesh.rewrite_controller("default_policy = \"deny\"");

    until("calls to be denied", || async {
        match name_of(listener).await {
            Ok(name) => Err(name),
            Err(_) => Ok(()),
        }
    })
    .await
    .unwrap();
    mesh.rewrite_controller("default_policy = \"maybe\"");
    until("the mistake to be counted", || async {
        let (_, metrics) = http_get(mesh.api_address(), "/metrics", None).await?;
        if metrics.contains("sinew_config_last_reload_successful 0") { Ok(()) } else { Err(metrics) }
    })
    .await
    .unwrap();
    mesh.signal_controller(Signal::SIGHUP);
    assert!(name_of(listener).await.is_err(), "what was good last stays in use");
}

/// An address that nobody has now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A connection on which the service has said its name.
async fn greeted(listener: SocketAddr) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(listener).await.map_err(|error| error.to_string())?;
    let mut line = String::new();
    match BufReader::new(&mut stream).read_line(&mut line).await {
        Ok(0) => Err("it ended without a word".to_owned()),
        Ok(_) => Ok(stream),
        Err(error) => Err(error.to_string()),
    }
}

/// The name that the service behind a listener says.
async fn name_of(listener: SocketAddr) -> Result<String, String> {
    let stream = TcpStream::connect(listener).await.map_err(|error| error.to_string())?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line).await {
        Ok(0) => Err("it ended without a word".to_owned()),
        Ok(_) => Ok(line.trim().trim_start_matches("220 ").to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
