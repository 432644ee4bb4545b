//! Stories about limits: how many connections a listener, an endpoint and a node carry, what those beyond are told,
//! and that others go on. Each is reached by connections that do nothing, as a flood or a broken pool opens them.
//!
//! Real processes on loopback. This file: counts. [`stalls`]: readers that do not read. [`idle`]: connections on
//! which nothing passes.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod idle;
mod stalls;
#[path = "../support/mod.rs"]
mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use support::{Mesh, NodePlan, Service, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

const REFUSED: &str = "sinew_connections_refused_total";

/// Sends a line and reads it back.
async fn echoed(stream: &mut TcpStream) {
    let mut back = [0; 6];
    let turn = async {
        stream.write_all(b"hello\n").await?;
        stream.read_exact(&mut back).await
    };
    timeout(ANSWER, turn).await.expect("an answer in time").expect("an answer");
    assert_eq!(&back, b"hello\n");
}

/// A connection that has carried bytes both ways.
async fn open(listener: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    echoed(&mut stream).await;
    stream
}

/// Connects, and must be reset without a byte.
async fn must_be_reset(listener: SocketAddr) {
    let tried = async {
        let mut stream = TcpStream::connect(listener).await?;
        stream.read(&mut [0]).await
    };
    let end = timeout(ANSWER, tried).await.expect("an end in time");
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Until another connection is carried: what was closed takes a moment to leave.
async fn until_carried(listener: SocketAddr) -> TcpStream {
    let carried = until("a place", || async {
        let mut stream = TcpStream::connect(listener).await.map_err(|error| error.to_string())?;
        let turn = async {
            stream.write_all(b"hello\n").await?;
            stream.read_exact(&mut [0; 6]).await
        };
        turn.await.map_err(|error| error.to_string())?;
        Ok(stream)
    });
    carried.await.unwrap()
}

/// `host` serves orders, `caller` calls them as web.
async fn pair(host: impl Fn(NodePlan) -> NodePlan, caller: impl Fn(NodePlan) -> NodePlan) -> (Mesh, Service) {
    let service = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(host(NodePlan::new("host").serve("orders", service.address()))).await;
    mesh.add(caller(NodePlan::new("caller").listen("orders", "web"))).await;
    mesh.settled().await;
    (mesh, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_carries_as_many_as_it_may_and_resets_the_next() {
    let (mesh, _service) = pair(|host| host, |caller| caller.listening("max_connections = 2")).await;
    let listener = mesh.listener("caller", "orders");
    let (mut first, second) = (open(listener).await, open(listener).await);

    must_be_reset(listener).await;
    must_be_reset(listener).await;

    echoed(&mut first).await;
    let counted = mesh.metrics("caller").await.count(REFUSED, &[("reason", "listener_full")]);
    assert_eq!(counted, 2.0);
    assert!(mesh.log("caller").contains("raise `max_connections` of the `[[listen]]`"));
    drop(second);
    let third = until_carried(listener).await;

    mesh.rewrite("caller", |text| text.replace("max_connections = 2", "max_connections = 3"));
    let fourth = until_carried(listener).await;
    drop((first, third, fourth));
    mesh.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_takes_as_many_as_it_may_and_others_get_the_rest() {
    let (small, large) = (Service::greeter("small").await, Service::greeter("large").await);
    let mut mesh = Mesh::start().await;
    let limited = NodePlan::new("n1").serve("orders", small.address()).serving("max_connections = 1");
    mesh.add(limited).await;
    mesh.add(NodePlan::new("n2").serve("orders", large.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");

    let mut open = Vec::new();
    let mut at_small = 0;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(listener).await.unwrap();
        let mut greeting = [0; 9];
        timeout(ANSWER, stream.read_exact(&mut greeting)).await.expect("in time").expect("a greeting");
        at_small += usize::from(&greeting == b"220 small");
        open.push(stream);
    }

    assert_eq!(at_small, 1);
    let refused = mesh.metrics("n1").await.count("sinew_streams_refused_total", &[("code", "OVERLOADED")]);
    assert!(refused >= 1.0, "nobody was sent on");
    let moved =
        mesh.metrics("caller").await.count("sinew_connections_moved_total", &[("reason", "OVERLOADED")]);
    assert_eq!(moved, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_carries_as_many_as_it_may_in_all() {
    let (mesh, _service) =
        pair(|host| host.set("max_connections", "1"), |caller| caller.set("max_connections", "2")).await;
    let listener = mesh.listener("caller", "orders");
    let mut first = open(listener).await;

    // The caller's node takes a second; the host's has no room for it.
    must_be_reset(listener).await;
    let records = mesh.records_when("caller", |records| records.len() == 1).await;
    assert_eq!(records[0].outcome, "overloaded");
    let at_host = mesh.records_when("host", |records| records.len() == 1).await;
    assert!(at_host[0].reason.contains("carries 1 connections already"), "{}", at_host[0].reason);

    mesh.rewrite("host", |text| text.replace("max_connections = 1", "max_connections = 9"));
    let second = until_carried(listener).await;
    // One that was refused before this may have kept its place for a moment, and have had another refused.
    let full = async || mesh.metrics("caller").await.count(REFUSED, &[("reason", "node_full")]);
    let before = full().await;
    must_be_reset(listener).await;
    assert_eq!(full().await, before + 1.0);
    echoed(&mut first).await;
    drop((first, second));
    mesh.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_over_one_pair_leave_room_for_one_more() {
    const IDLE: usize = 2000;
    let (mesh, service) = pair(|host| host, |caller| caller).await;
    let listener = mesh.listener("caller", "orders");

    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(open(listener).await);
    }
    let mut more = open(listener).await;
    echoed(&mut more).await;

    assert_eq!(service.accepted(), IDLE as u64 + 1);
    let metrics = mesh.metrics("caller").await;
    assert_eq!(metrics.count("sinew_tcp_connections_opened_total", &[]), IDLE as f64 + 1.0);
    assert_eq!(metrics.count("sinew_tcp_connections_closed_total", &[]), 0.0);
    for stream in idle.iter_mut().step_by(100) {
        echoed(stream).await;
    }
    drop((idle, more));
    mesh.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_connects_that_send_nothing_are_bounded_and_counted() {
    const CONNECTS: usize = 100_000;
    const MAX: usize = 500;
    let (mesh, service) = pair(|host| host, |caller| caller.listening("max_connections = 500")).await;
    let listener = mesh.listener("caller", "orders");

    let mut held = Vec::new();
    for _ in 0..CONNECTS {
        // One whose reset was quicker than our own system call counts as one that was reset.
        held.extend(TcpStream::connect(listener).await.ok());
        if held.len() > 4 * MAX {
            until_reset(&mut held, 2 * MAX).await;
        }
    }
    let all_seen = |metrics: &support::Metrics| {
        metrics.count(REFUSED, &[("reason", "listener_full")]) == (CONNECTS - MAX) as f64
    };
    let metrics = mesh.metrics_when("caller", all_seen).await;
    until_reset(&mut held, MAX).await;

    assert_eq!(held.len(), MAX);
    assert_eq!(metrics.count("sinew_tcp_connections_opened_total", &[]), MAX as f64);
    assert!(service.accepted() <= MAX as u64);
    echoed(&mut held[0]).await;
    drop(held);
    until_carried(listener).await;
    mesh.books_agree().await;
    let lines = mesh.log("caller").lines().filter(|line| line.contains("an application is refused")).count();
    assert!((1..1000).contains(&lines), "{lines} lines in the log");
}

/// Drops those that were reset, until so many are left.
async fn until_reset(held: &mut Vec<TcpStream>, left: usize) {
    let reset = until("resets", || {
        held.retain(|stream| !was_reset(stream));
        let found = held.len();
        async move { if found <= left { Ok(()) } else { Err(format!("{found} are left")) } }
    });
    reset.await.unwrap();
}

/// Whether nothing comes any more on a connection that nothing came on.
fn was_reset(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}
