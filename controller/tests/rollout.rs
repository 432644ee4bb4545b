//! What a change costs: whom it is told, and in how many bytes.

mod support;

use sinew_api::control::{REJECT_BASE, Register};
use support::Controller;
use support::node::{Heard, Node, endpoints, join, register};

/// Services of the mesh in which one endpoint changes.
const SERVICES: usize = 1000;
/// Hosts that share them: a token has no room for all.
const HOSTS: usize = 10;

/// The services of one host.
fn services(host: usize) -> Vec<String> {
    (0..SERVICES).filter(|n| n % HOSTS == host).map(|n| format!("service-{n}")).collect()
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn one_changed_endpoint_among_a_thousand_services_costs_its_callers_under_a_kibibyte_and_others_nothing()
 {
    let controller = Controller::start().await;
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        let (mut host, _) =
            Node::up(&controller, &format!("host-{number}"), &strs(&services(number)), &[]).await;
        host.snapshot().await;
        hosts.push(host);
    }
    let all: Vec<_> = (0..HOSTS).flat_map(services).collect();
    let (mut caller, _) = Node::up(&controller, "caller", &[], &strs(&all)).await;
    caller.snapshot_where(|snapshot| endpoints(snapshot).len() == SERVICES).await;
    let (mut other, _) = Node::up(&controller, "other", &[], &["service-1"]).await;
    other.snapshot().await;
    // Each host hears of its callers; then all is calm.
    for (number, host) in hosts.iter_mut().enumerate() {
        let callers = if number == 1 { 2 } else { 1 };
        host.snapshot_where(|snapshot| snapshot.peers.len() == callers).await;
    }
    controller.calm().await;
    let before = pushed(&controller).await;

    let (mut fresh, _) = Node::up(&controller, "fresh", &["service-500"], &[]).await;

    let now = caller.snapshot_where(|snapshot| endpoints(snapshot).len() == SERVICES + 1).await;
    assert!(endpoints(&now).contains(&"service-500 at fresh/0".to_owned()));
    let len = caller.delta_len.expect("a difference");
    assert!(len < 1024, "{len} bytes");
    fresh.snapshot().await;
    controller.calm().await;
    let after = pushed(&controller).await;
    assert_eq!(after.deltas - before.deltas, 1, "only the caller is told a difference");
    assert_eq!(after.wholes - before.wholes, 1, "only the new one is told all");
}

struct Pushed {
    wholes: u64,
    deltas: u64,
}

async fn pushed(controller: &Controller) -> Pushed {
    Pushed {
        wholes: controller.metric("sinew_controller_pushes_total{kind=\"whole\"}").await,
        deltas: controller.metric("sinew_controller_pushes_total{kind=\"delta\"}").await,
    }
}

#[tokio::test]
async fn a_node_that_comes_back_with_what_it_had_is_sent_only_what_changed() {
    // Its session broke, which the controller has not noticed yet.
    let controller = Controller::start().await;
    let (mut caller, credentials) = Node::up(&controller, "n1", &[], &["orders"]).await;
    let first = caller.snapshot().await;
    controller.calm().await;

    let mut register = register(&[], &["orders"]);
    register.have = Some(first.revision);
    let mut back = Node::open(&controller, &credentials, &register).await;
    back.holds(first);
    assert!(matches!(back.hear().await, Some(Heard::Welcome(_))));
    let (_host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;

    let next = back.snapshot().await;
    assert_eq!(endpoints(&next), ["orders at n2/0"]);
    assert!(back.delta_len.is_some(), "the first that it hears is a difference");
}

#[tokio::test]
async fn a_node_that_holds_something_else_is_sent_the_whole() {
    let controller = Controller::start().await;
    let (mut caller, _) = Node::up(&controller, "n1", &[], &["orders"]).await;
    caller.snapshot().await;
    let (_host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;
    caller.offered().await;
    assert!(caller.delta_len.is_some());

    caller.reject(REJECT_BASE, "another revision is in use").await;

    let whole = caller.snapshot().await;
    assert_eq!((endpoints(&whole), caller.delta_len), (vec!["orders at n2/0".to_owned()], None));
}

#[tokio::test]
async fn a_snapshot_that_was_refused_is_not_sent_again_until_something_changes() {
    let controller = Controller::start().await;
    let (mut caller, _) = Node::up(&controller, "n1", &[], &["orders"]).await;
    caller.snapshot().await;
    let (_host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;
    let offered = caller.offered().await;

    caller.reject("service orders", "no room").await;
    controller.metric_becomes("sinew_controller_rejects_total", 1).await;
    let (_other, _) = Node::up(&controller, "n3", &["orders"], &[]).await;

    let next = caller.snapshot().await;
    assert!(next.revision > offered.revision);
    assert_eq!(endpoints(&next), ["orders at n2/0", "orders at n3/0"]);
}

/// Endpoints with as many and as long labels as are taken: a megabyte is one node's.
fn fat_host() -> Register {
    let names: Vec<_> = std::iter::repeat_n("orders", 180).collect();
    let labels: std::collections::BTreeMap<_, _> =
        (0..16).map(|n| (format!("{n:063}"), "x".repeat(256))).collect();
    let mut register = register(&names, &[]);
    register.serves.iter_mut().for_each(|serve| serve.labels.clone_from(&labels));
    register
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_said_and_holds_nothing_up() {
    let controller = Controller::start().await;
    let mut hosts = Vec::new();
    for number in 0..11 {
        let token = controller.token(&format!("host-{number}"), &["orders"]).await;
        let credentials = join(&controller, &token).await.expect("joined");
        let mut host = Node::open(&controller, &credentials, &fat_host()).await;
        assert!(matches!(host.hear().await, Some(Heard::Welcome(_))));
        hosts.push(host);
    }

    let (mut caller, _) = Node::up(&controller, "caller", &[], &["orders"]).await;
    controller.metric_becomes("sinew_controller_pushes_too_large_total", 1).await;

    let status = controller.status().await;
    let refused = status.nodes.iter().find(|node| node.name.as_str() == "caller").expect("registered");
    let why = refused.rejected.as_ref().expect("it is said in status");
    assert!(refused.connected && why.reason.contains("fewer services"), "{why:?}");
    // As soon as it fits, it is sent: nobody waits for an answer to what was not.
    for host in hosts.drain(..5) {
        host.close();
    }
    caller.snapshot_where(|snapshot| endpoints(snapshot).len() == 6 * 180).await;
}
