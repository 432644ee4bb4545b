//! Connections on which nothing passes: ended when the service's endpoint says so, and only then.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::support::{Mesh, NodePlan, Service};
use super::{ANSWER, echoed, open, pair};

/// What the endpoints here allow.
const IDLE: Duration = Duration::from_secs(1);
const SETTING: &str = "idle_timeout = \"1s\"";

/// Waits for the reset, and how long it took.
async fn reset_after(app: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let read = timeout(ANSWER, app.read(&mut [0])).await.expect("an end in time");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_ended_when_nothing_passed_for_as_long_as_its_endpoint_allows() {
    let (mesh, _service) = pair(|host| host.serving(SETTING), |caller| caller).await;
    let listener = mesh.listener("caller", "orders");
    let (mut used, mut idle) = (open(listener).await, open(listener).await);
    // It has said that it is done, and waits for an answer that does not come: one that is half open.
    let using = async {
        for _ in 0..20 {
            echoed(&mut used).await;
            tokio::time::sleep(IDLE / 10).await;
        }
    };

    let (took, ()) = tokio::join!(reset_after(&mut idle), using);

    assert!(took >= IDLE * 9 / 10, "{took:?}");
    echoed(&mut used).await;
    for node in ["caller", "host"] {
        let records = mesh.records_when(node, |records| records.len() == 1).await;
        assert_eq!(records[0].outcome, "idle", "{node}");
    }
    let reason = mesh.records("host").remove(0).reason;
    assert_eq!(reason, "nothing passed for 1s");
    assert_eq!(mesh.metrics("host").await.count("sinew_connections_cut_total", &[("reason", "idle")]), 1.0);
    drop(used);
    mesh.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_client_and_one_that_never_spoke_are_ended_too() {
    // Never answers, never ends.
    let silent = Service::start(|mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        std::future::pending().await
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").serve("orders", silent.address()).serving(SETTING)).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let connect = async || TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    let (mut half_open, mut mute) = (connect().await, connect().await);
    half_open.write_all(b"hello").await.unwrap();
    half_open.shutdown().await.unwrap();

    tokio::join!(reset_after(&mut half_open), reset_after(&mut mute));

    let records = mesh.records_when("caller", |records| records.len() == 2).await;
    assert!(records.iter().all(|record| record.outcome == "idle" && record.attempts == 1), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_the_callers_own_node_has_the_same_limit() {
    let service = Service::echo().await;
    let mut mesh = Mesh::start().await;
    let both = NodePlan::new("both").serve("orders", service.address()).listen("orders", "web");
    mesh.add(both.serving(SETTING)).await;
    mesh.settled().await;
    let mut idle = open(mesh.listener("both", "orders")).await;

    let took = reset_after(&mut idle).await;

    assert!(took >= IDLE * 9 / 10, "{took:?}");
    let records = mesh.records_when("both", |records| records.len() == 1).await;
    assert_eq!(records[0].outcome, "idle");
}
