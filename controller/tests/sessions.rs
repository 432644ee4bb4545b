//! Stories of control sessions, over real sockets: what nodes are told, when, and what happens at the end.

mod support;

use sinew_api::control::{FarewellReason, LinkReport, LinkState, Register, Report, Welcome};
use sinew_api::join::Token;
use sinew_transport::session::SessionEnd;
use sinew_transport_core::ids::Revision;
use support::Controller;
use support::node::{Heard, Node, endpoints, join, register};

#[tokio::test]
async fn a_node_is_welcomed_and_told_what_it_needs() {
    let controller = Controller::start().await;
    let credentials =
        join(&controller, &controller.token("n1", &["web", "orders"]).await).await.expect("joined");

    let mut node = Node::open(&controller, &credentials, &register(&["orders"], &["orders"])).await;

    let Some(Heard::Welcome(Welcome { controller: name, granted, .. })) = node.hear().await else {
        panic!("a welcome was due");
    };
    let snapshot = node.snapshot().await;
    assert_eq!(name.as_str(), "c1");
    assert_eq!(granted.iter().map(|s| s.as_str()).collect::<Vec<_>>(), ["orders", "web"]);
    assert_eq!(snapshot.granted, granted);
    assert_eq!(endpoints(&snapshot), ["orders at n1/0"]);
    assert!(snapshot.peers.is_empty());
}

#[tokio::test]
async fn a_caller_hears_of_endpoints_that_come_and_go() {
    let controller = Controller::start().await;
    let (mut caller, _) = Node::up(&controller, "n1", &[], &["orders"]).await;
    let empty = caller.snapshot().await;

    let (host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;
    let with = caller.snapshot().await;
    host.close();
    let without = caller.snapshot().await;

    assert_eq!(endpoints(&empty), Vec::<String>::new());
    assert_eq!(endpoints(&with), ["orders at n2/0"]);
    assert_eq!(with.peers[0].addresses, ["127.0.0.1:7410".parse().expect("valid")], "as seen from here");
    assert_eq!(endpoints(&without), Vec::<String>::new());
    assert!(empty.revision < with.revision && with.revision < without.revision);
}

#[tokio::test]
async fn a_host_hears_of_its_callers_and_what_they_may_speak_for() {
    let controller = Controller::start().await;
    let (mut host, _) = Node::up(&controller, "n1", &["orders"], &[]).await;
    host.snapshot().await;

    let _caller = Node::up(&controller, "n2", &[], &["orders"]).await;

    let snapshot = host.snapshot().await;
    let peers: Vec<_> = snapshot.peers.iter().map(|p| (p.node.as_str(), p.granted[0].as_str())).collect();
    assert_eq!(peers, [("n2", "web")]);
}

#[tokio::test]
async fn a_slow_node_finds_the_newest_state_and_holds_up_nobody() {
    let controller = Controller::start().await;
    let (mut slow, _) = Node::up(&controller, "slow", &[], &["orders"]).await;
    let (mut quick, _) = Node::up(&controller, "quick", &[], &["orders"]).await;
    let mut hosts = Vec::new();

    for number in 0..5 {
        hosts.push(Node::up(&controller, &format!("n{number}"), &["orders"], &[]).await);
    }

    quick.snapshot_where(|s| endpoints(s).len() == 5).await;
    slow.snapshot_where(|s| endpoints(s).len() == 5).await;
}

#[tokio::test]
async fn a_change_that_does_not_concern_a_node_is_not_sent_to_it() {
    let controller = Controller::start().await;
    let (mut quiet, _) = Node::up(&controller, "n1", &["mail"], &[]).await;
    quiet.snapshot().await;
    controller.metric_becomes("sinew_controller_acks_total", 1).await;

    let (mut host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;
    host.snapshot().await;
    let (mut caller, _) = Node::up(&controller, "n3", &[], &["mail"]).await;
    caller.snapshot().await;

    let next = quiet.snapshot().await;
    assert_eq!(next.peers[0].node.as_str(), "n3", "the first it hears of is its own caller");
}

#[tokio::test]
async fn the_newest_session_wins_and_the_older_is_told_why() {
    let controller = Controller::start().await;
    let (mut older, credentials) = Node::up(&controller, "n1", &["orders"], &[]).await;

    let mut newer = Node::welcomed(&controller, &credentials, &["orders"], &[]).await;

    let farewell = older.farewell().await;
    assert_eq!(farewell.reason, FarewellReason::Superseded);
    assert!(farewell.detail.contains("state directory was copied"), "{farewell:?}");
    assert_eq!(older.ended().await, SessionEnd::Closed("superseded".into()));
    newer.snapshot().await;
    let status = controller.status().await;
    assert_eq!((status.nodes.len(), status.nodes[0].connected), (1, true));
}

#[tokio::test]
async fn a_registration_with_mistakes_is_refused_with_all_of_them() {
    let controller = Controller::start().await;
    let credentials = join(&controller, &controller.token("n1", &["web"]).await).await.expect("joined");
    let wrong = Register { addresses: Vec::new(), ..register(&["billing"], &[]) };

    let mut node = Node::open(&controller, &credentials, &wrong).await;

    let farewell = node.farewell().await;
    assert_eq!(farewell.reason, FarewellReason::Invalid);
    assert!(farewell.detail.contains("no data address"), "{farewell:?}");
    assert!(farewell.detail.contains("serve `billing`: not granted"), "{farewell:?}");
    controller.metric_becomes("sinew_controller_session_ends_total{reason=\"invalid\"}", 1).await;
    assert!(controller.status().await.nodes.is_empty());
}

#[tokio::test]
async fn a_node_that_asks_for_more_than_it_is_granted_is_told_what_to_do() {
    let controller = Controller::start().await;
    let credentials = join(&controller, &controller.token("n1", &["web"]).await).await.expect("joined");

    let mut node = Node::open(&controller, &credentials, &register(&["billing"], &[])).await;

    let farewell = node.farewell().await;
    assert_eq!(farewell.reason, FarewellReason::NotGranted);
    assert!(farewell.detail.contains("sinew token create --node n1 --service billing"), "{farewell:?}");
}

#[tokio::test]
async fn what_a_node_says_is_seen_in_status() {
    let controller = Controller::start().await;
    let (mut caller, _) = Node::up(&controller, "n1", &[], &["orders"]).await;
    let (mut host, _) = Node::up(&controller, "n2", &["orders"], &[]).await;
    caller.snapshot_where(|s| !s.peers.is_empty()).await;
    host.offered().await;

    host.reject("service orders", "no room").await;
    let link =
        LinkReport { node: "n2".parse().expect("valid"), state: LinkState::Up, rtt_us: 250, loss_ppm: 0 };
    caller
        .report(&Report {
            certificate_expiry: 77,
            certificate_issued: 7,
            clock_ms: 0,
            links: vec![link],
            endpoints: Vec::new(),
            ext: Vec::new(),
        })
        .await;
    controller.metric_becomes("sinew_controller_rejects_total", 1).await;
    let status = loop {
        let status = controller.status().await;
        if status.nodes[0].certificate_expiry == 77 {
            break status;
        }
    };

    let [caller, host] = status.nodes.as_slice() else { panic!("two nodes: {status:?}") };
    assert_eq!((caller.acknowledged, caller.links[0].rtt_us), (status.revision, 250));
    assert_eq!(host.acknowledged, Revision(0));
    assert_eq!(host.rejected.as_ref().map(|r| r.reason.as_str()), Some("no room"));
    assert_eq!(status.services[0].endpoints[0].node.as_str(), "n2");
}

#[tokio::test]
async fn a_message_that_is_not_due_ends_the_session_and_the_endpoints_stay_for_a_while() {
    let controller = Controller::start().await;
    let (mut node, credentials) = Node::up(&controller, "n1", &["orders"], &[]).await;

    node.session.sender.send(&register(&["orders"], &[])).await.expect("sent");

    assert_eq!(node.farewell().await.reason, FarewellReason::Invalid);
    controller.metric_becomes("sinew_controller_session_ends_total{reason=\"malformed\"}", 1).await;
    let status = controller.status().await;
    assert_eq!((status.nodes.len(), status.nodes[0].connected), (1, false));
    Node::welcomed(&controller, &credentials, &["orders"], &[]).await;
}

#[tokio::test]
async fn a_controller_that_stops_says_so() {
    let controller = Controller::start().await;
    let (mut node, _) = Node::up(&controller, "n1", &["orders"], &[]).await;

    let (_, farewell) = tokio::join!(controller.stop(), node.farewell());

    assert_eq!(farewell.reason, FarewellReason::Stopping);
}

#[tokio::test]
async fn after_a_restart_nodes_come_back_with_their_certificates_and_no_snapshot_forgets_the_others() {
    let controller = Controller::start().await;
    let (mut caller, caller_credentials) = Node::up(&controller, "n1", &[], &["orders"]).await;
    let (_host, host_credentials) = Node::up(&controller, "n2", &["orders"], &[]).await;
    let before = caller.snapshot_where(|s| !endpoints(s).is_empty()).await;

    let controller = Controller::start_in(controller.stop().await).await;
    let mut caller = Node::welcomed(&controller, &caller_credentials, &[], &["orders"]).await;
    let _host = Node::welcomed(&controller, &host_credentials, &["orders"], &[]).await;

    let first = caller.snapshot().await;
    assert_eq!(endpoints(&first), ["orders at n2/0"], "nobody hears of an empty mesh");
    assert!(first.revision > before.revision, "revisions never go back");
}

#[tokio::test]
async fn a_used_token_stays_used_after_a_restart() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;
    let unused = controller.token("n2", &["web"]).await;
    join(&controller, &token).await.expect("joined");
    let controller = Controller::start_in(controller.stop().await).await;

    let again = join(&controller, &Token { ..token }).await;
    let first = join(&controller, &unused).await;

    assert!(again.is_err());
    assert!(first.is_ok());
}
