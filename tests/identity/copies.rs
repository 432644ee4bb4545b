//! One state directory used twice: the newer process wins, the older is told why and stays away, and the
//! operator is shown.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::rotation::call;
use crate::support::{Mesh, NodePlan, Service, until};

/// Longer than the older process waits before it tries again for the first time, and the second.
const WATCHED: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_with_one_identity_the_newer_stays_and_the_older_is_told_why() {
    let echo = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", echo.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;

    mesh.add_copy("caller", "copy").await;
    let told = until("the older to be told", || async {
        let log = mesh.log("caller");
        if log.contains("was the state directory copied?") { Ok(()) } else { Err(log) }
    });
    told.await.unwrap();
    let shown = until("status to show that the older came back", || async {
        let status = mesh.status().await;
        let node = status.nodes.iter().find(|node| node.name.as_str() == "caller").unwrap();
        node.copy_at.filter(|_| node.connected).ok_or_else(|| format!("{node:?}"))
    });
    let at = shown.await.unwrap();
    assert!(at.is_loopback());
    let before = registrations(&mesh);
    let watched = Instant::now() + WATCHED;
    while Instant::now() < watched {
        assert_eq!(call(mesh.listener("copy", "orders"), b"still here").await.unwrap(), b"still here");
        sleep(Duration::from_millis(50)).await;
    }

    assert_eq!(registrations(&mesh), before, "they take turns:\n{}", mesh.controller_log());
    let log = mesh.log("copy");
    assert!(!log.contains("was the state directory copied?"), "the newer is in the right:\n{log}");
    mesh.stop("copy").await;
    let back = until("the older to be taken once the newer is gone", || async {
        let now = registrations(&mesh);
        if now > before { Ok(()) } else { Err(mesh.log("caller")) }
    });
    back.await.unwrap();
}

/// How often the controller took a registration of `caller`.
fn registrations(mesh: &Mesh) -> usize {
    let log = std::fs::read_to_string(mesh.controller_state().with_file_name("controller.log")).unwrap();
    let theirs = |line: &&str| line.contains("node registered") && line.contains("caller");
    log.lines().filter(theirs).count()
}
