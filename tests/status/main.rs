//! What the mesh says about itself: `sinew status` for people and programs, and the pages for probes.
//!
//! - [`log`]: the access log, field by field, and metrics that agree with it.
//! - [`mistakes`]: what is said about a configuration that can't be used.
//! - [`watch`]: the same page again and again.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod log;
mod mistakes;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use sinew_scenarios::process::{Launch, Process};
use support::{Mesh, NodePlan, Service, http_get, now_us, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The program under test.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// How soon a silent peer in use is shown: nodes report once a second.
const SHOWN_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_nodes_services_endpoints_and_links() {
    let (mesh, _echo) = two_hosts().await;

    // Links are reported once a second.
    let status = status_when(&mesh, |status| {
        links_of(status, "caller").iter().all(|link| link["state"] == "up" && link["rttUs"] != 0)
            && links_of(status, "caller").len() == 2
    })
    .await;

    assert_eq!(status["apiVersion"], "sinew/v1");
    assert_eq!(status["trustDomain"], "test.local");
    let names: Vec<_> = status["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["caller", "n1", "n2"]);
    for node in status["nodes"].as_array().unwrap() {
        let name = node["name"].as_str().unwrap();
        assert_eq!(
            (&node["connected"], &node["acknowledged"]),
            (&json!(true), &status["revision"]),
            "{node}"
        );
        assert_eq!(node["addresses"], json!(mesh.ports(name).data), "{node}");
        // A day is what certificates last unless told otherwise.
        let left = node["certificateExpiry"].as_u64().unwrap() - now_us() / 1_000_000;
        assert!((23 * 3600..=24 * 3600).contains(&left), "{left} s left: {node}");
    }
    assert_eq!(node(&status, "n1")["zone"], "eu-1");
    assert_eq!(node(&status, "caller")["granted"], json!(["web"]));
    let [orders] = &status["services"].as_array().unwrap()[..] else { panic!("one service: {status}") };
    assert_eq!((&orders["name"], &orders["callers"]), (&json!("orders"), &json!(["caller"])));
    let endpoints: Vec<_> = orders["endpoints"].as_array().unwrap().iter().map(|e| &e["node"]).collect();
    assert_eq!(endpoints, ["n1", "n2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_shows_the_same_to_a_person() {
    let (mesh, _echo) = two_hosts().await;
    let up = |status: &Value| {
        let links = links_of(status, "caller");
        links.len() == 2 && links.iter().all(|link| link["state"] == "up" && link["rttUs"] != 0)
    };
    let status = status_when(&mesh, up).await;

    let output = sinew_status(&mesh, &[]).await;

    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    let revision = status["revision"].to_string();
    for row in [
        &["caller", "connected", "-", &revision, "expires", "in"][..],
        &["n1", "connected", "eu-1", &revision, "expires", "in"],
        &["orders", "n1/0", "up", "100", "-", "caller"],
        &["orders", "n2/0", "up", "100", "-", "caller"],
        &["caller", "n1", "up"],
        &["caller", "n2", "up"],
    ] {
        let shown = |line: &str| line.split_whitespace().take(row.len()).eq(row.iter().copied());
        assert!(table.lines().any(shown), "no row {row:?} in\n{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_peer_in_use_is_shown_as_suspect_within_2_s_and_as_up_when_it_continues() {
    let (mut mesh, _echo) = two_hosts().await;
    let talks = talk(&mesh).await;
    mesh.pause("n1").await;
    let paused = Instant::now();

    status_when(&mesh, |status| state_of(status, "n1") == "suspect").await;

    let took = paused.elapsed();
    assert!(took <= SHOWN_WITHIN, "{took:?}");
    let table = String::from_utf8(sinew_status(&mesh, &[]).await.stdout).unwrap();
    assert!(
        table.lines().any(|line| line.split_whitespace().take(3).eq(["caller", "n1", "suspect"])),
        "{table}"
    );
    let metrics = mesh.metrics("caller").await;
    assert_eq!(metrics.value("sinew_peer_up", &[("peer", "n1")]), Some(0.0));
    assert_eq!(metrics.value("sinew_peer_up", &[("peer", "n2")]), Some(1.0));

    mesh.resume("n1");
    status_when(&mesh, |status| state_of(status, "n1") == "up").await;
    talks.iter().for_each(|talk| assert!(!talk.is_finished(), "a talk broke"));
    talks.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_shown_as_lost_until_it_returns() {
    let (mut mesh, _echo) = two_hosts().await;

    mesh.kill("n1").await;

    let status = status_when(&mesh, |status| node(status, "n1")["connected"] == false).await;
    assert_eq!(node(&status, "n2")["connected"], true);
    let table = String::from_utf8(sinew_status(&mesh, &[]).await.stdout).unwrap();
    assert!(table.lines().any(|line| line.split_whitespace().take(2).eq(["n1", "lost"])), "{table}");

    mesh.restart("n1").await;
    status_when(&mesh, |status| node(status, "n1")["connected"] == true && state_of(status, "n1") == "up")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_learn_whether_a_node_lives_and_whether_it_is_ready() {
    let (mut mesh, _echo) = two_hosts().await;
    let admin = mesh.ports("caller").admin.unwrap();
    for address in [admin, mesh.api_address()] {
        assert_eq!(http_get(address, "/livez", None).await.unwrap().0, 200);
        assert_eq!(http_get(address, "/readyz", None).await.unwrap().0, 200);
    }
    mesh.stop("caller").await;
    mesh.kill_controller().await;

    // It lives without a controller, but knows of no service, as at its first start.
    let dir = mesh.node_dir("caller").to_owned();
    std::fs::remove_file(dir.join("state/snapshot.json")).unwrap();
    let caller = start(&["node", "--config"], &dir.join("node.toml"), &dir.join("node.log"));
    until("the node to live", || async { http_get(admin, "/livez", None).await }).await.unwrap();
    let (code, why) = http_get(admin, "/readyz", None).await.unwrap();
    assert_eq!(code, 503, "{why}");
    assert!(why.contains("controller"), "says what is missing: {why}");

    mesh.start_controller().await;
    let ready = until("the node to be ready", || async {
        let (code, why) = http_get(admin, "/readyz", None).await?;
        if code == 200 { Ok(()) } else { Err(why) }
    });
    ready.await.unwrap();
    assert!(caller.stop().await);
}

/// n1 and n2 with an echo each, and a caller.
async fn two_hosts() -> (Mesh, Service) {
    let echo = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", echo.address()).set("zone", "\"eu-1\"")).await;
    mesh.add(NodePlan::new("n2").serve("orders", echo.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    (mesh, echo)
}

/// Applications that talk all the time, enough for both nodes to have some.
async fn talk(mesh: &Mesh) -> Vec<JoinHandle<()>> {
    let mut talks = Vec::new();
    for _ in 0..8 {
        let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
        app.write_all(b"?").await.unwrap();
        app.read_exact(&mut [0]).await.unwrap();
        talks.push(tokio::spawn(async move {
            while app.write_all(b"?").await.is_ok() && app.read_exact(&mut [0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }));
    }
    talks
}

/// What `sinew status` prints.
async fn sinew_status(mesh: &Mesh, args: &[&str]) -> Output {
    let mut command = Command::new(SINEW);
    command.arg("status").arg("--state").arg(mesh.controller_state()).args(args);
    command.output().await.unwrap()
}

/// What `sinew status -o json` prints, once `enough` says so.
async fn status_when(mesh: &Mesh, enough: impl Fn(&Value) -> bool) -> Value {
    let seen = until("the status to change", || async {
        let output = sinew_status(mesh, &["-o", "json"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let status: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        if enough(&status) { Ok(status) } else { Err(status.to_string()) }
    });
    seen.await.unwrap()
}

fn node<'s>(status: &'s Value, name: &str) -> &'s Value {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("no node {name}: {status}"))
}

fn links_of<'s>(status: &'s Value, name: &str) -> &'s [Value] {
    node(status, name)["links"].as_array().map_or(&[], Vec::as_slice)
}

/// The state of the caller's link to `peer`.
fn state_of<'s>(status: &'s Value, peer: &str) -> &'s str {
    let link = links_of(status, "caller").iter().find(|link| link["node"] == peer);
    link.and_then(|link| link["state"].as_str()).unwrap_or_default()
}

/// The program, tied to this test.
fn start(args: &[&str], file: &Path, log: &Path) -> Process {
    let args = args.iter().map(Into::into).chain([file.into()]).collect();
    let launch = Launch {
        name: "sinew".into(),
        program: SINEW.into(),
        args,
        log: log.into(),
        piped: false,
        leash: Some(SINEW.into()),
    };
    Process::start(&launch).unwrap()
}
