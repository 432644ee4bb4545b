//! Streams with a readable preamble that must not be served, or not yet.

use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::Code;
use sinew_transport_core::ids::{Revision, ServiceName};
use sinew_transport_core::wire::{self, Preamble};
use tokio::time::{Duration, Instant};

use crate::common::{Answer, BILLING, ORDERS, Peer, Stage, codes, preamble, reset_code, served, snapshot};
use crate::{Refused, is_served, refuses};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("valid")
}

async fn refused(preamble: Preamble, code: Code, outcome: &'static str, reason: &'static str) {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    refuses(&stage, &peer, &wire::encode(&preamble), &Refused { code, outcome, reason }).await;

    let named = stage.log.all().into_iter().find(|line| line.message == "stream refused").expect("a line");
    assert_eq!((named.field("caller"), named.field("code")), ("n1", code.name()), "{named:?}");
    assert!(named.field("reason").contains(reason), "{named:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_slot_that_does_not_exist_is_no_endpoint() {
    for endpoint in [2, u16::MAX] {
        let preamble = Preamble { endpoint, ..preamble() };
        refused(preamble, Code::NoEndpoint, "no_endpoint", "does not hold `orders`").await;
    }
}

#[tokio::test]
async fn a_slot_that_holds_another_service_is_no_endpoint() {
    let preamble = Preamble { endpoint: BILLING, ..preamble() };

    refused(preamble, Code::NoEndpoint, "no_endpoint", "slot 1 here does not hold `orders`").await;
}

#[tokio::test]
async fn the_same_name_in_another_namespace_is_another_service() {
    let preamble = Preamble { destination: name("orders.shop"), ..preamble() };

    refused(preamble, Code::NoEndpoint, "no_endpoint", "slot 0 here does not hold `orders.shop`").await;
}

#[tokio::test]
async fn a_source_that_the_callers_node_was_not_granted_is_denied() {
    // Granted to the node that is called, which does not help the caller.
    for source in ["admin", "billing", "web.shop"] {
        let preamble = Preamble { source: name(source), ..preamble() };
        refused(preamble, Code::Denied, "denied", "node `n1` was not granted").await;
    }
}

#[tokio::test]
async fn a_service_that_refuses_is_told_as_refused() {
    let preamble = Preamble { destination: name("billing"), endpoint: BILLING, ..preamble() };

    refused(preamble, Code::Refused, "refused", "Connection refused").await;
}

#[tokio::test]
async fn a_caller_that_the_snapshot_does_not_know_is_denied() {
    let stage = Stage::set().await;
    let (peer, stranger) = (stage.peer().await, Peer::greet("n9", &stage.authority, stage.data).await);

    let stream = stranger.say(&wire::encode(&preamble())).await;

    assert_eq!(codes(stream).await, (3, 3));
    let record = stage.record().await;
    assert_eq!((&record["caller"], &record["outcome"]), (&"n9".into(), &"denied".into()), "{record}");
    assert_eq!(
        record["reason"],
        "node `n9` is not known here; no snapshot that says otherwise (the caller has 5) came in 1s"
    );
    assert_eq!(stage.metrics().await.refused_streams(), [("DENIED", 1.0)].into());
    is_served(&stage, &peer).await;
    stage.end().await;
}

#[tokio::test]
async fn where_the_default_is_deny_nobody_is_served() {
    let mut stage = Stage::set().await;
    let peer = stage.peer().await;
    let mut deny = snapshot(6, &[("n1", "web")]);
    deny.default = DefaultPolicy::Deny;
    assert_eq!(stage.session.tell(&deny).await, Answer::ack(6));

    assert_eq!(codes(peer.say(&wire::encode(&preamble())).await).await, (3, 3));

    assert_eq!(stage.record().await["reason"], "no rule lets `web` call `orders`, and the default is deny");
    assert_eq!(stage.session.tell(&snapshot(7, &[("n1", "web")])).await, Answer::ack(7));
    is_served(&stage, &peer).await;
    stage.end().await;
}

/// A preamble of somebody who chose by revision 6, by which `shop` was granted; the node has 5.
fn by_newer() -> Vec<u8> {
    wire::encode(&Preamble { source: name("shop"), revision: Revision(6), ..preamble() })
}

#[tokio::test]
async fn a_caller_that_is_ahead_is_served_when_the_snapshot_arrives() {
    let mut stage = Stage::set().await;
    let peer = stage.peer().await;

    let ahead = peer.call(&by_newer()).await;
    // Streams are taken in turn, so that this one is served means that the other waits.
    is_served(&stage, &peer).await;
    assert_eq!(stage.records(), 1, "the one that waits is not over");
    stage.session.send(&snapshot(6, &[("n1", "shop")])).await;

    served(ahead).await;
    let record = stage.record().await;
    assert_eq!((&record["source"], &record["outcome"]), (&"shop".into(), &"ok".into()), "{record}");
    assert!(stage.metrics().await.refused_streams().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_caller_that_is_ahead_is_denied_when_the_snapshot_says_so_too() {
    let mut stage = Stage::set().await;
    let peer = stage.peer().await;

    let ahead = peer.say(&by_newer()).await;
    is_served(&stage, &peer).await;
    stage.session.send(&snapshot(6, &[("n1", "web")])).await;

    assert_eq!(codes(ahead).await, (3, 3));
    assert_eq!(stage.record().await["reason"], "node `n1` was not granted `shop`");
    stage.end().await;
}

#[tokio::test]
async fn a_caller_that_is_ahead_is_denied_after_a_second_without_a_snapshot() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;
    let begun = Instant::now();

    let ahead = peer.call(&by_newer()).await;
    is_served(&stage, &peer).await;

    assert_eq!(reset_code(ahead).await, u64::from(Code::Denied.number()));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let record = stage.record().await;
    assert_eq!(record["outcome"], "denied");
    let reason = record["reason"].as_str().expect("text");
    assert!(reason.ends_with("no snapshot that says otherwise (the caller has 6) came in 1s"), "{reason}");
    assert_eq!(stage.metrics().await.refused_streams(), [("DENIED", 1.0)].into());
    is_served(&stage, &peer).await;
    stage.end().await;
}

#[tokio::test]
async fn a_claim_to_be_ahead_does_not_make_a_service_appear() {
    let preamble = Preamble { endpoint: BILLING, revision: Revision(u64::MAX), ..preamble() };

    refused(preamble, Code::NoEndpoint, "no_endpoint", "does not hold `orders`").await;
}

#[tokio::test]
async fn a_caller_that_is_ahead_and_may_call_is_not_made_to_wait() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    let ahead = Preamble { revision: Revision(u64::MAX), endpoint: ORDERS, ..preamble() };
    served(peer.call(&wire::encode(&ahead)).await).await;

    assert_eq!(stage.record().await["outcome"], "ok");
    stage.end().await;
}
