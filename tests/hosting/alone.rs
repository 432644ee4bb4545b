//! No controller lives: endpoints come and go all the same, and nodes restart with what they knew.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{Mesh, NodePlan, Service};
use crate::{SEEN_WITHIN, caller, greeted, row_reaches, until_gone};

/// How soon callers must find out from the nodes.
const FOUND_OUT_WITHIN: Duration = Duration::from_secs(2);

/// As a node checks unless told otherwise.
const CHECKED: &str = "true";

#[tokio::test(flavor = "multi_thread")]
async fn callers_find_out_from_the_nodes_what_came_and_went() {
    let first = Service::greeter("first").await;
    let reserved = Service::greeter("second").await;
    let address = reserved.address();
    reserved.stop().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address()).health(CHECKED)).await;
    mesh.add(NodePlan::new("n2").serve("orders", address).health(CHECKED)).await;
    mesh.add(caller()).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");
    row_reaches(listener, &["first"]).await;
    mesh.kill_controller().await;

    let second = Service::greeter_at(address, "second").await;
    let came = Instant::now();
    row_reaches(listener, &["second"]).await;
    assert!(came.elapsed() <= FOUND_OUT_WITHIN, "{:?}", came.elapsed());

    // Nobody calls it, so only its node can tell that it is gone.
    let address = first.address();
    first.stop().await;
    sleep(FOUND_OUT_WITHIN).await;
    let refused_before = refusals(&mesh).await;
    until_gone(listener, "first", Duration::ZERO).await;
    assert_eq!(refusals(&mesh).await, refused_before, "it was picked although it had gone");

    // The controller that returns hears of all this, and takes nothing back.
    let _first = Service::greeter_at(address, "first").await;
    mesh.start_controller().await;
    mesh.settled().await;
    row_reaches(listener, &["first", "second"]).await;
    second.stop().await;
    until_gone(listener, "second", SEEN_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_calls_and_serves_by_its_saved_snapshot() {
    let (first, second) = (Service::greeter("first").await, Service::greeter("second").await);
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address()).health(CHECKED)).await;
    mesh.add(NodePlan::new("n2").serve("orders", second.address()).health(CHECKED)).await;
    mesh.add(caller()).await;
    mesh.settled().await;
    row_reaches(mesh.listener("caller", "orders"), &["first", "second"]).await;
    // A snapshot is saved at most a second after it was taken.
    sleep(Duration::from_millis(1500)).await;
    mesh.kill_controller().await;

    for node in ["caller", "n1", "caller"] {
        mesh.kill(node).await;
        mesh.restart(node).await;
        row_reaches(mesh.listener("caller", "orders"), &["first", "second"]).await;
    }

    // What a restarted node tells is believed, though no controller has heard of its new run.
    let begun = Instant::now();
    second.stop().await;
    while greeted(mesh.listener("caller", "orders")).await != "first" {}
    until_gone(mesh.listener("caller", "orders"), "second", FOUND_OUT_WITHIN).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "calls went through meanwhile");
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_heard_in_its_last_second_is_saved_when_it_is_stopped() {
    let services = [Service::greeter("first").await, Service::greeter("second").await];
    let mut mesh = Mesh::start().await;
    mesh.add(caller()).await;
    // The second comes while the snapshot with the first has just been written.
    mesh.add(NodePlan::new("n1").serve("orders", services[0].address())).await;
    mesh.add(NodePlan::new("n2").serve("orders", services[1].address())).await;
    row_reaches(mesh.listener("caller", "orders"), &["first", "second"]).await;
    mesh.kill_controller().await;
    mesh.stop("caller").await;

    mesh.restart("caller").await;

    row_reaches(mesh.listener("caller", "orders"), &["first", "second"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_saved_for_another_node_is_not_used() {
    let first = Service::greeter("first").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address())).await;
    mesh.add(caller()).await;
    mesh.settled().await;
    for node in ["n1", "caller"] {
        mesh.stop(node).await;
    }
    let saved = |node: &str| mesh.node_dir(node).join("state/snapshot.json");
    std::fs::copy(saved("n1"), saved("caller")).unwrap();

    mesh.restart("n1").await;
    mesh.restart("caller").await;

    let log = mesh.log("caller");
    assert!(log.contains("the last snapshot is another node's"), "{log}");
    assert!(!log.contains("the last snapshot is in use"), "{log}");
    row_reaches(mesh.listener("caller", "orders"), &["first"]).await;
}

/// Moves of the caller's connections from an endpoint that refused them.
async fn refusals(mesh: &Mesh) -> u64 {
    let moved = mesh.metrics("caller").await.count("sinew_connections_moved_total", &[("reason", "REFUSED")]);
    moved as u64
}
