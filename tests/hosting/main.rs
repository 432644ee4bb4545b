//! Stories about endpoints that come and go: health checks, who hears of them and how soon, and what a node does
//! while no controller lives.
//!
//! Real processes on loopback. The applications are greeted by name, so each story knows who served whom.
//!
//! This file: checks. [`alone`]: without a controller. [`register`]: at run time, by the word of somebody.
//! [`program`]: a service that can be stopped like any process.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod alone;
mod program;
mod register;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use program::Program;
use sinew_api::hosting::Health;
use support::{Mesh, NodePlan, PATIENCE, Service, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Checks that are quick enough for a story.
const QUICK: &str = "{ interval = \"200ms\", timeout = \"300ms\", fall = 2 }";

/// By when a service that hangs is down with [`QUICK`]: interval + fall × timeout.
const QUICK_BOUND: Duration = Duration::from_millis(200 + 2 * 300);

/// What other processes on the machine may take from a story's time.
const SLACK: Duration = Duration::from_millis(700);

/// How soon callers must see an endpoint that is up.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Calls that show where new connections go: with two endpoints, one in 2^19 such rows would be chance.
const ROW: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_stopped_leaves_within_its_bound_and_returns_when_it_continues() {
    let (mut first, second) = (Program::line("first").await, Program::line("second").await);
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address()).health(QUICK)).await;
    mesh.add(NodePlan::new("n2").serve("orders", second.address()).health(QUICK)).await;
    mesh.add(caller()).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");
    row_reaches(listener, &["first", "second"]).await;

    let stopped = Instant::now();
    first.pause();
    health_when(&mesh, "n1", Health::Down).await;
    let took = stopped.elapsed();

    assert!(took <= QUICK_BOUND + SLACK, "{took:?}");
    until_gone(listener, "first", SEEN_WITHIN).await;
    for _ in 0..ROW {
        assert_eq!(greeted(listener).await, "second");
    }

    first.resume();
    row_reaches(listener, &["first", "second"]).await;
    assert_eq!(health(&mesh, "n1").await, Some(Health::Up));
    mesh.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_a_service_within_a_second_after_it_listens() {
    let reserved = Service::greeter("later").await;
    let address = reserved.address();
    reserved.stop().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", address).health("true")).await;
    mesh.add(caller()).await;
    health_when(&mesh, "n1", Health::Down).await;
    let listener = mesh.listener("caller", "orders");
    // It waits at its listener until there is an endpoint.
    let waiting = tokio::spawn(greeted(listener));

    let _later = Service::greeter_at(address, "later").await;
    let listens = Instant::now();
    let name = timeout(PATIENCE, waiting).await.unwrap().unwrap();

    assert_eq!(name, "later");
    assert!(listens.elapsed() <= SEEN_WITHIN, "{:?}", listens.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_one_caller_is_down_for_all_at_once() {
    let (first, second) = (Service::greeter("first").await, Service::greeter("second").await);
    let mut mesh = Mesh::start().await;
    // Its own checks would notice after a minute.
    let seldom = "{ interval = \"1m\" }";
    mesh.add(NodePlan::new("n1").serve("orders", first.address()).health(seldom)).await;
    mesh.add(NodePlan::new("n2").serve("orders", second.address()).health(seldom)).await;
    mesh.add(caller()).await;
    mesh.add(NodePlan::new("other").listen("orders", "shop")).await;
    mesh.settled().await;
    row_reaches(mesh.listener("other", "orders"), &["first", "second"]).await;
    let address = first.address();
    first.stop().await;

    let begun = Instant::now();
    // Each of these succeeds: whoever is refused goes on to the other endpoint.
    while health(&mesh, "n1").await != Some(Health::Down) {
        assert_eq!(greeted(mesh.listener("caller", "orders")).await, "second");
        assert!(begun.elapsed() < PATIENCE, "nobody was refused");
    }

    until_gone(mesh.listener("other", "orders"), "first", SEEN_WITHIN).await;
    let _again = Service::greeter_at(address, "first").await;
    row_reaches(mesh.listener("other", "orders"), &["first", "second"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_busy_with_one_caller_is_not_taken_for_dead() {
    let one_at_a_time = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = one_at_a_time.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = one_at_a_time.accept().await.unwrap();
            let (mut up, mut down) = stream.split();
            let _ = tokio::io::copy(&mut up, &mut down).await;
        }
    });
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", address).health(QUICK)).await;
    mesh.add(caller()).await;
    health_when(&mesh, "n1", Health::Up).await;
    mesh.settled().await;

    let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    let busy_until = Instant::now() + 3 * QUICK_BOUND;
    while Instant::now() < busy_until {
        app.write_all(b"x").await.unwrap();
        assert_eq!(app.read_u8().await.unwrap(), b'x');
        assert_eq!(health(&mesh, "n1").await, Some(Health::Up));
    }

    // Whoever holds it and says nothing is no proof that it lives.
    health_when(&mesh, "n1", Health::Down).await;
    drop(app);
    health_when(&mesh, "n1", Health::Up).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_never_reacts_to_an_end_is_up_where_being_accepted_is_enough() {
    let mute = Service::start(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let mut mesh = Mesh::start().await;
    let connect = QUICK.replace("fall = 2", "fall = 2, probe = \"connect\"");
    mesh.add(NodePlan::new("n1").serve("orders", mute.address()).health(&connect)).await;
    mesh.add(NodePlan::new("n2").serve("orders", mute.address()).health(QUICK)).await;
    mesh.add(caller()).await;

    health_when(&mesh, "n1", Health::Up).await;
    health_when(&mesh, "n2", Health::Down).await;
}

/// The node that applications call `orders` on.
fn caller() -> NodePlan {
    NodePlan::new("caller").listen("orders", "web")
}

/// Calls, and says who greeted: `220 NAME` or `NAME is ready`.
async fn greeted(listener: SocketAddr) -> String {
    let app = TcpStream::connect(listener).await.unwrap();
    let mut greeting = String::new();
    let read = timeout(PATIENCE, BufReader::new(app).read_line(&mut greeting)).await;
    read.unwrap_or_else(|_| panic!("no greeting in {PATIENCE:?}")).unwrap();
    greeting.trim_start_matches("220 ").split_whitespace().next().unwrap_or_default().to_owned()
}

/// Calls until everybody of `names` has greeted.
async fn row_reaches(listener: SocketAddr, names: &[&str]) {
    let mut missing = names.to_vec();
    let begun = Instant::now();
    while !missing.is_empty() {
        let name = greeted(listener).await;
        missing.retain(|missing| *missing != name);
        assert!(begun.elapsed() < PATIENCE, "{missing:?} greeted nobody");
    }
}

/// Calls until a whole row of calls was greeted by others than `name`, the last that was not within `bound`.
async fn until_gone(listener: SocketAddr, name: &str, bound: Duration) {
    let begun = Instant::now();
    let mut others = 0;
    while others < ROW {
        let at = begun.elapsed();
        // A call that hangs at a service that was stopped is none that it greeted; it is given up.
        let by = timeout(Duration::from_millis(500), greeted(listener)).await.unwrap_or(name.to_owned());
        others = if by == name { 0 } else { others + 1 };
        assert!(by != name || at <= bound, "{name} was called {at:?} after it had gone");
    }
}

/// The health of the only endpoint on a node, as the controller knows it.
async fn health(mesh: &Mesh, node: &str) -> Option<Health> {
    let status = mesh.status().await;
    let endpoints = status.services.iter().flat_map(|service| &service.endpoints);
    endpoints.into_iter().find(|endpoint| endpoint.node.as_str() == node).map(|endpoint| endpoint.health)
}

async fn health_when(mesh: &Mesh, node: &str, wanted: Health) {
    let found = until("the health of an endpoint", || async {
        let health = health(mesh, node).await;
        if health == Some(wanted) { Ok(()) } else { Err(format!("{node}: {health:?}")) }
    });
    found.await.unwrap_or_else(|why| panic!("{why}\n{}", mesh.log(node)));
}
