//! Certificates that end while no controller lives: traffic goes on by grace, also over connections that are
//! made after the end; and once the controller is back, everybody renews before anything is lost.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::connections::now;
use crate::rotation::call;
use crate::support::{Mesh, NodePlan, Service, until};

/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_while_no_controller_lives_count_by_grace_and_are_renewed_when_it_is_back() {
    let echo = Service::echo().await;
    let mut mesh = Mesh::start_with("certificate_ttl = \"10s\"").await;
    mesh.add(NodePlan::new("n1").serve("orders", echo.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web").set("dead_after", "\"1s\"")).await;
    mesh.settled().await;
    let expiries = mesh.status().await.nodes.into_iter().map(|node| node.certificate_expiry);
    let last = Duration::from_secs(expiries.max().unwrap() + 1);

    mesh.kill_controller().await;
    while now() <= last {
        calls(&mesh).await;
        sleep(Duration::from_millis(100)).await;
    }
    // A new connection, made with two certificates whose end is over.
    mesh.pause("n1").await;
    mesh.metrics_when("caller", |metrics| metrics.value("sinew_peer_up", &[("peer", "n1")]) == Some(0.0))
        .await;
    sleep(Duration::from_millis(1500)).await;
    mesh.resume("n1");
    let graced = |metrics: &crate::support::Metrics| {
        metrics.count("sinew_expired_certificates_accepted_total", &[]) >= 1.0
    };
    mesh.metrics_when("caller", graced).await;
    mesh.metrics_when("caller", |metrics| metrics.value("sinew_peer_up", &[("peer", "n1")]) == Some(1.0))
        .await;
    calls(&mesh).await;

    mesh.start_controller().await;
    let renewed = until("both to renew, under calls", || async {
        calls(&mesh).await;
        let status = mesh.status().await;
        let young = |expiry: u64| Duration::from_secs(expiry) > now();
        let here =
            status.nodes.iter().filter(|node| node.connected && young(node.certificate_expiry)).count();
        if here == 2 { Ok(()) } else { Err(format!("{here} of 2: {status:?}")) }
    });
    renewed.await.unwrap_or_else(|why| panic!("{why}\n{}", mesh.log("n1")));
    // The connection that lived by grace is replaced by one that needs none.
    let metric = "sinew_peer_certificate_expiration_timestamp_seconds";
    let young = |metrics: &crate::support::Metrics| {
        metrics.value(metric, &[("peer", "n1")]).is_some_and(|until| until > now().as_secs_f64())
    };
    mesh.metrics_when("caller", young).await;
    calls(&mesh).await;
}

/// Some calls, all of which succeed.
async fn calls(mesh: &Mesh) {
    for said in ["one", "two", "three"] {
        let listener = mesh.listener("caller", "orders");
        let answer = timeout(CALL_TIMEOUT, call(listener, said.as_bytes())).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer\n{}", mesh.log("caller")));
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", mesh.log("caller")));
        assert_eq!(answer, said.as_bytes());
    }
}
