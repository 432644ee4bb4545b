//! `sinew register` and `sinew deregister`, and what the operator declares for a node.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::support::{Mesh, NodePlan, PATIENCE, Service, http_get, until};
use crate::{SEEN_WITHIN, caller, greeted, row_reaches, until_gone};

/// The program under test.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_is_called_and_what_is_deregistered_is_not() {
    let (first, second) = (Service::greeter("first").await, Service::greeter("second").await);
    let mut mesh = hosts(&first).await;
    let listener = mesh.listener("caller", "orders");
    let address = second.address().to_string();

    let output = sinew(
        &mesh,
        "n1",
        &["register", "orders", &address, "--label", "version=v2", "--wait", "-o", "json"],
    )
    .await;

    let registered = Instant::now();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["apiVersion"], &answer["node"]), (&"sinew/v1".into(), &"n1".into()));
    let endpoint = &answer["endpoint"];
    assert_eq!((&endpoint["slot"], &endpoint["health"]), (&1.into(), &"up".into()), "{answer}");
    assert_eq!(endpoint["labels"]["version"], "v2");
    row_reaches(listener, &["first", "second"]).await;
    assert!(registered.elapsed() <= SEEN_WITHIN, "{:?}", registered.elapsed());

    mesh.kill("n1").await;
    mesh.restart("n1").await;
    row_reaches(listener, &["first", "second"]).await;

    let output = sinew(&mesh, "n1", &["deregister", "orders"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    until_gone(listener, "second", SEEN_WITHIN).await;
    row_reaches(listener, &["first"]).await;
    mesh.kill("n1").await;
    mesh.restart("n1").await;
    row_reaches(listener, &["first"]).await;
    until_gone(listener, "second", Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drains_finishes_what_runs_and_takes_nothing_new() {
    let (first, echo) = (Service::greeter("first").await, Service::echo().await);
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").grant("orders").health("true")).await;
    mesh.add(caller().set("connect_timeout", "\"1s\"")).await;
    let listener = mesh.listener("caller", "orders");
    let address = echo.address().to_string();
    ok(&sinew(&mesh, "n1", &["register", "orders", &address, "--wait"]).await);
    let mut app = TcpStream::connect(listener).await.unwrap();
    says(&mut app, b"a").await;

    let state = mesh.node_dir("n1").join("state");
    let mut draining = command(&state, &["deregister", "orders", "--drain"]).spawn().unwrap();
    let drains = until("the endpoint to drain", || async {
        let endpoints = endpoints(&mesh, "n1").await;
        let health = &endpoints["endpoints"][0]["health"];
        if health == "draining" { Ok(()) } else { Err(endpoints.to_string()) }
    });
    drains.await.unwrap();

    says(&mut app, b"b").await;
    ok(&sinew(&mesh, "n1", &["register", "orders", &first.address().to_string(), "--wait"]).await);
    // It is not picked any more, neither by the caller's view nor at its node.
    for _ in 0..10 {
        assert_eq!(greeted(listener).await, "first");
    }
    assert!(draining.try_wait().unwrap().is_none(), "its connection is still in progress");

    drop(app);
    assert!(timeout(PATIENCE, draining.wait()).await.unwrap().unwrap().success());
    assert_eq!(endpoints(&mesh, "n1").await["endpoints"].as_array().unwrap().len(), 1);
    mesh.kill("n1").await;
    mesh.restart("n1").await;
    assert_eq!(greeted(listener).await, "first");
    let kept = endpoints(&mesh, "n1").await;
    assert_eq!(kept["endpoints"].as_array().unwrap().len(), 1, "what drained does not come back: {kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_registered_is_refused_with_what_to_do() {
    let first = Service::greeter("first").await;
    let mesh = hosts(&first).await;
    let address = first.address().to_string();

    for (args, code, said) in [
        (
            &["register", "billing", &address][..],
            1,
            "`billing` is not granted to this node (granted: orders)",
        ),
        (&["register", "orders", &address], 1, "by a [[serve]] entry of the node's configuration"),
        (&["register", "orders", "127.0.0.1:0"], 1, "nobody can dial 127.0.0.1:0"),
        (&["register", "orders", "127.0.0.1:9", "--capacity", "0"], 1, "is not from 1 to 1000000"),
        (&["register", "orders", "127.0.0.1:9", "--label", "version"], 2, "write it as key=value"),
        (
            &["register", "orders", "127.0.0.1:9", "--wait", "--timeout", "300ms"],
            1,
            "nothing answered at 127.0.0.1:9",
        ),
        (&["deregister", "billing"], 1, "`billing` is not registered here"),
        (&["deregister", "orders", &address], 1, "by a [[serve]] entry of the node's configuration"),
    ] {
        let output = sinew(&mesh, "n1", args).await;

        let told = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(said), "{args:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_registers_without_the_token_or_from_a_foreign_page() {
    let first = Service::greeter("first").await;
    let mesh = hosts(&first).await;
    let admin = mesh.ports("n1").admin.unwrap();
    let file = mesh.node_dir("n1").join("state/admin.token");
    let token = std::fs::read_to_string(&file).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let (host, evil) = (format!("Host: {admin}"), "Host: evil.example".to_owned());
    let body = r#"{"service":"orders","address":"127.0.0.1:9"}"#;

    for (method, headers, code) in [
        ("POST", vec![&host], 401),
        ("POST", vec![&evil, &bearer], 403),
        ("GET", vec![&host, &bearer], 405),
        ("POST", vec![&host, &bearer], 200),
    ] {
        assert_eq!(call(admin, method, "/v1/register", &headers, body).await, code, "{method} {headers:?}");
    }
    let foreign = "Origin: http://evil.example".to_owned();
    assert_eq!(call(admin, "POST", "/v1/deregister", &[&host, &bearer, &foreign], body).await, 403);
    assert_eq!(http_get(admin, "/v1/endpoints", None).await.unwrap().0, 401);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deregistered_stays_when_the_operator_declares_it_too() {
    let first = Service::greeter("first").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").grant("orders")).await;
    mesh.settled().await;
    let address = first.address().to_string();
    ok(&sinew(&mesh, "n1", &["register", "orders", &address]).await);
    let file = mesh.node_dir("n1").join("declared.toml");
    let text = format!("[[endpoint]]\nnode = \"n1\"\nservice = \"orders\"\naddress = \"{address}\"\n");
    std::fs::write(&file, format!("{text}[[service]]\nname = \"orders\"\n")).unwrap();
    ok(&operator(&mesh, &["apply", "--wait", "-f", file.to_str().unwrap()]).await);
    assert_eq!(endpoints(&mesh, "n1").await["endpoints"][0]["origin"], "registered", "who came first");

    ok(&sinew(&mesh, "n1", &["deregister", "orders"]).await);

    assert_eq!(endpoints(&mesh, "n1").await["endpoints"][0]["origin"], "assigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_declares_is_hosted_and_listened_for() {
    let first = Service::greeter("first").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").grant("orders")).await;
    mesh.add(NodePlan::new("caller").grant("web")).await;
    // Somebody has the port: that is shown, and no reason to end.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = taken.local_addr().unwrap();
    let file = mesh.node_dir("n1").join("declared.toml");
    let text = format!(
        "[[endpoint]]\nnode = \"n1\"\nservice = \"orders\"\naddress = \"{}\"\n\
         [[listener]]\nnode = \"caller\"\nservice = \"orders\"\nas = \"web\"\naddress = \"{listener}\"\n",
        first.address()
    );
    std::fs::write(&file, text).unwrap();

    ok(&operator(&mesh, &["apply", "--wait", "-f", file.to_str().unwrap()]).await);

    let shown = until("the error to be shown", || async {
        let endpoints = endpoints(&mesh, "caller").await;
        let error = endpoints["listeners"][0]["error"].as_str().unwrap_or_default().to_owned();
        if error.contains("in use") { Ok(()) } else { Err(endpoints.to_string()) }
    });
    shown.await.unwrap();
    assert!(mesh.metrics("caller").await.count("sinew_listeners_failed_total", &[]) >= 1.0);
    drop(taken);
    let opened = until("the listener to be opened", || async {
        let endpoints = endpoints(&mesh, "caller").await;
        if endpoints["listeners"][0]["bound"] == listener.to_string() {
            Ok(())
        } else {
            Err(endpoints.to_string())
        }
    });
    opened.await.unwrap();
    assert_eq!(greeted(listener).await, "first");
    assert_eq!(endpoints(&mesh, "n1").await["endpoints"][0]["origin"], "assigned");

    ok(&operator(&mesh, &["delete", &format!("listener/caller/{listener}")]).await);
    let closed = until("the listener to be closed", || async {
        match TcpStream::connect(listener).await {
            Err(_) => Ok(()),
            Ok(_) => Err("it accepts".to_owned()),
        }
    });
    closed.await.unwrap();
}

/// n1 hosts `orders`, by its configuration and by grant; `caller` calls it.
async fn hosts(first: &Service) -> Mesh {
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address()).health("true")).await;
    mesh.add(caller()).await;
    mesh.settled().await;
    mesh
}

fn command(state: &PathBuf, args: &[&str]) -> Command {
    let mut command = Command::new(SINEW);
    command.args(args).arg("--state").arg(state).kill_on_drop(true);
    command
}

/// The program, beside a node.
async fn sinew(mesh: &Mesh, node: &str, args: &[&str]) -> Output {
    command(&mesh.node_dir(node).join("state"), args).output().await.unwrap()
}

/// The program, beside the controller.
async fn operator(mesh: &Mesh, args: &[&str]) -> Output {
    command(&mesh.controller_state(), args).output().await.unwrap()
}

fn ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// What a node shows of its endpoints.
async fn endpoints(mesh: &Mesh, node: &str) -> Value {
    let token = std::fs::read_to_string(mesh.node_dir(node).join("state/admin.token")).unwrap();
    let admin = mesh.ports(node).admin.unwrap();
    let (code, body) = http_get(admin, "/v1/endpoints", Some(token.trim())).await.unwrap();
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// One HTTP call; its status.
async fn call(address: SocketAddr, method: &str, path: &str, headers: &[&String], body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn says(app: &mut TcpStream, byte: &[u8; 1]) {
    app.write_all(byte).await.unwrap();
    let mut answer = [0];
    app.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, byte);
}
