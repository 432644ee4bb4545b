//! Stories about nodes that are told to stop: what runs may end, nothing new comes, and what is left is cut.
//!
//! Real processes on loopback, told by SIGTERM as a service manager does it. This file: one node that stops.
//! [`rolling`]: all of them restart, one after the other, under load.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod rolling;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Mesh, NodePlan, Service, http_get, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far longer than anything here takes.
const LONG: &str = "\"1m\"";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// n1 and n2 serve `orders`, each answering with its name; n1 drains for so long.
async fn mesh(drain: &str) -> (Mesh, [Service; 2]) {
    let services = [Service::greeter("n1").await, Service::greeter("n2").await];
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", services[0].address()).set("drain_timeout", drain)).await;
    mesh.add(NodePlan::new("n2").serve("orders", services[1].address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web").set("drain_timeout", LONG)).await;
    mesh.settled().await;
    (mesh, services)
}

/// One connection to a greeter that stays open.
struct Kept {
    stream: TcpStream,
    name: String,
}

impl Kept {
    async fn open(listener: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(listener).await.unwrap();
        let greeting = line(&mut stream).await.unwrap();
        Self { stream, name: greeting.strip_prefix("220 ").unwrap().to_owned() }
    }

    /// One that n1 answers: opened until one does.
    async fn at_n1(listener: SocketAddr) -> Self {
        let found = until("a connection to n1", || async {
            let kept = Self::open(listener).await;
            if kept.name == "n1" { Ok(kept) } else { Err(kept.name) }
        });
        found.await.unwrap()
    }

    /// Asks, and is answered.
    async fn ask(&mut self) {
        self.stream.write_all(b"hello\r\n").await.unwrap();
        assert_eq!(line(&mut self.stream).await.unwrap(), format!("250 {} hello", self.name));
    }

    async fn quit(mut self) {
        self.stream.write_all(b"QUIT\r\n").await.unwrap();
        assert_eq!(line(&mut self.stream).await.unwrap(), format!("221 {}", self.name));
        assert_eq!(self.stream.read(&mut [0]).await.unwrap(), 0, "a clean end");
    }

    /// Waits until it is broken; a clean end is none.
    async fn broken(mut self) {
        let end = timeout(ANSWER, self.stream.read(&mut [0])).await.expect("it ends");
        assert!(end.is_err(), "a cut connection must not look complete: {end:?}");
    }
}

async fn line(stream: &mut TcpStream) -> std::io::Result<String> {
    let read = async {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await?);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    };
    timeout(ANSWER, read).await.map_err(std::io::Error::from)?
}

/// Waits until a node says that it drains.
async fn draining(mesh: &Mesh, node: &str) {
    let admin = mesh.ports(node).admin.unwrap();
    let said = until("the node to drain", || async {
        match http_get(admin, "/readyz", None).await? {
            (503, body) if body.contains("draining") => Ok(()),
            (code, body) => Err(format!("{code} {body}")),
        }
    });
    said.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_finishes_what_runs_and_nothing_new_reaches_it() {
    let (mut mesh, services) = mesh(LONG).await;
    let listener = mesh.listener("caller", "orders");
    let mut kept = Kept::at_n1(listener).await;

    mesh.tell_to_stop("n1");
    draining(&mesh, "n1").await;
    let accepted = services[0].accepted();
    for _ in 0..50 {
        let next = Kept::open(listener).await;
        assert_eq!(next.name, "n2");
        next.quit().await;
    }
    kept.ask().await;
    let endpoints = &mesh.status().await.services[0].endpoints;
    assert!(endpoints.iter().any(|e| format!("{:?}", e.health).contains("Draining")), "{endpoints:?}");

    kept.quit().await;
    mesh.ended("n1").await;
    assert_eq!(services[0].accepted(), accepted, "nothing new came to n1");
    // Who had not heard yet was sent elsewhere.
    let records = mesh.records("n1");
    assert!(records.iter().all(|r| ["ok", "draining"].contains(&r.outcome.as_str())), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut_and_counted_at_both_ends() {
    let (mut mesh, _services) = mesh("\"1s\"").await;
    let kept = Kept::at_n1(mesh.listener("caller", "orders")).await;
    let told = Instant::now();

    mesh.tell_to_stop("n1");
    kept.broken().await;
    let lasted = told.elapsed();

    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&lasted), "{lasted:?}");
    mesh.ended("n1").await;
    let cut = |records: &[support::Record]| records.iter().filter(|r| r.outcome == "cut").count();
    assert_eq!(cut(&mesh.records("n1")), 1);
    mesh.records_when("caller", |records| cut(records) == 1).await;
    assert!(mesh.log("n1").contains("connections are cut"), "{}", mesh.log("n1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let (mut mesh, _services) = mesh(LONG).await;
    let mut kept = Kept::at_n1(mesh.listener("caller", "orders")).await;

    mesh.tell_to_stop("n1");
    draining(&mesh, "n1").await;
    kept.ask().await;
    mesh.tell_to_stop("n1");

    kept.broken().await;
    mesh.ended("n1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_of_a_node_that_stops_finish_what_they_began() {
    let (mut mesh, _services) = mesh(LONG).await;
    let listener = mesh.listener("caller", "orders");
    let mut kept = Kept::open(listener).await;

    mesh.tell_to_stop("caller");
    draining(&mesh, "caller").await;
    let closed = until("the listener to close", || async {
        match TcpStream::connect(listener).await {
            Ok(_) => Err("it still listens".to_owned()),
            Err(_) => Ok(()),
        }
    });
    closed.await.unwrap();
    kept.ask().await;

    kept.quit().await;
    mesh.ended("caller").await;
}

#[test]
fn the_units_wait_longer_than_nodes_drain_and_keep_every_socket() {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd");
    let number = |unit: &str, key: &str| {
        let text = std::fs::read_to_string(format!("{units}/{unit}.service")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let value = line.unwrap_or_else(|| panic!("no {key} in {unit}"));
        value.trim_end_matches('s').parse::<u64>().unwrap_or_else(|_| panic!("{key}={value} in {unit}"))
    };
    let node =
        sinew_node_core::Config::parse("node.toml", "[node]\nstate = \"/var/lib/sinew-node\"\n").unwrap();

    assert!(number("sinew-node", "TimeoutStopSec") >= node.drain_timeout.as_secs() + 10);
    // 512 of the configuration, as many declared as a node may have, and the admin pages.
    assert!(number("sinew-node", "FileDescriptorStoreMax") > 512);
    assert!(number("sinew-controller", "FileDescriptorStoreMax") >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_nothing_to_do_stops_at_once() {
    let (mut mesh, _services) = mesh(LONG).await;
    let told = Instant::now();

    for node in ["n1", "caller"] {
        mesh.tell_to_stop(node);
        mesh.ended(node).await;
    }

    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}
