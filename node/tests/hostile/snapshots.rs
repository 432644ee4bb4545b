//! Snapshots that must not be taken into use, and control sessions that make no sense: what was in use
//! before stays in use, and traffic goes on.

use std::collections::BTreeMap;

use sinew_api::Snapshot;
use sinew_api::control::{MAX_CHUNKS, MAX_FRAME, Register, Reject, SnapshotChunk, Welcome};
use sinew_api::snapshot::{Endpoint, Service};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use sinew_transport_core::wire::{self, Head, Message, SKIPPABLE};

use crate::common::{Answer, Stage, chunk, snapshot};
use crate::{UNKNOWN, frame, is_served};

fn service(name: &str, endpoints: &[(&str, u16)]) -> Service {
    let endpoint = |&(node, slot): &(&str, u16)| Endpoint {
        node: NodeName::new(node).expect("valid"),
        slot,
        labels: BTreeMap::new(),
        weight: 1000,
    };
    Service {
        name: ServiceName::new(name).expect("valid"),
        endpoints: endpoints.iter().map(endpoint).collect(),
    }
}

/// A snapshot that would be right, but for its services.
fn with(services: Vec<Service>) -> Snapshot {
    Snapshot { services, ..snapshot(9, &[("n1", "web")]) }
}

/// It is rejected by name and with a reason, and nothing has changed; the next good one is taken.
async fn rejects(bad: Snapshot, name: &str, reason: &str) {
    let mut stage = Stage::set().await;
    let peer = stage.peer().await;

    let answer = stage.session.tell(&bad).await;

    let Answer::Reject(rejected) = answer else { panic!("rejected, not {answer:?}") };
    let expected = Reject { revision: Revision(9), name: name.into(), reason: reason.into() };
    assert_eq!(rejected, expected);
    let metrics = stage.metrics().await;
    assert_eq!(metrics.get("sinew_snapshots_rejected_total"), 1.0);
    assert_eq!(metrics.get("sinew_config_revision"), 5.0, "the one before stays in use");
    is_served(&stage, &peer).await;
    let next = snapshot(10, &[("n1", "web")]);
    assert_eq!(stage.session.tell(&next).await, Answer::ack(10), "on the same session");
    let metrics = stage.metrics().await;
    assert_eq!(metrics.get("sinew_config_revision"), 10.0);
    assert_eq!(metrics.get("sinew_snapshots_rejected_total"), 1.0);
    stage.end().await;
}

#[tokio::test]
async fn an_endpoint_that_is_listed_twice_is_rejected() {
    let twice = service("orders", &[("self", 0), ("n1", 0), ("self", 0)]);

    rejects(with(vec![twice]), "service orders", "endpoint self/0 is listed twice").await;
}

#[tokio::test]
async fn an_endpoint_on_a_node_that_is_no_peer_is_rejected() {
    let stray = service("orders", &[("self", 0), ("ghost", 3)]);

    rejects(with(vec![stray]), "service orders", "endpoint ghost/3 is on a node that is no peer").await;
}

#[tokio::test]
async fn a_service_that_is_listed_twice_is_rejected() {
    let services = vec![service("orders", &[("self", 0)]), service("orders", &[])];

    rejects(with(services), "service orders", "is listed twice").await;
}

#[tokio::test]
async fn a_peer_that_is_listed_twice_is_rejected() {
    // The second would take away what the first was granted.
    let twice = snapshot(9, &[("n1", "admin"), ("n1", "shop")]);

    rejects(twice, "peer n1", "is listed twice").await;
}

#[tokio::test]
async fn a_snapshot_in_pieces_is_taken_when_the_last_is_there() {
    let mut stage = Stage::set().await;
    let bytes = wire::encode_part(&snapshot(6, &[("n1", "shop")]));
    let third = bytes.len().div_ceil(3);

    for (index, piece) in (0..3).zip(bytes.chunks(third)) {
        assert_eq!(stage.metrics().await.get("sinew_config_revision"), 5.0);
        stage.session.say(&chunk(6, index, 3, piece.to_vec())).await;
    }

    assert_eq!(stage.session.answer().await, Answer::ack(6));
    stage.end().await;
}

#[tokio::test]
async fn frames_of_a_later_version_are_skipped() {
    let mut stage = Stage::set().await;

    stage.session.say(&frame(UNKNOWN, SKIPPABLE, &[0; 5000]).repeat(100)).await;

    assert_eq!(stage.session.tell(&snapshot(6, &[])).await, Answer::ack(6), "the session goes on");
    stage.end().await;
}

/// The session ends, for that reason in the log; what was in use stays in use; the node comes back, and
/// takes the next good snapshot.
async fn ends_the_session(bytes: &[u8], reason: &str) {
    let mut stage = Stage::set().await;
    let peer = stage.peer().await;
    let good = snapshot(8, &[("n1", "web")]);

    stage.session.say(bytes).await;
    stage.session.over().await;

    let over = stage.log.next("the end", |line| line.message.starts_with("control session over")).await;
    assert!(over.field("over").contains(reason), "{over:?}");
    is_served_without_controller(&stage, &peer).await;
    let mut again = stage.controller.session().await;
    let same = Register { have: Some(Revision(5)), ..stage.session.register.clone() };
    assert_eq!(again.register, same, "the same node as before, with what it was sent before");
    again.welcome().await;
    assert_eq!(again.tell(&good).await, Answer::ack(8));
    is_served(&stage, &peer).await;
    stage.end().await;
}

async fn is_served_without_controller(stage: &Stage, peer: &crate::common::Peer) {
    let metrics = stage.metrics().await;
    assert_eq!(metrics.get("sinew_control_session_up"), 0.0);
    assert_eq!(metrics.get("sinew_config_revision"), 5.0, "the one before stays in use");
    assert_eq!(metrics.get("sinew_snapshots_rejected_total"), 0.0, "it was none");
    is_served(stage, peer).await;
}

fn encoded() -> Vec<u8> {
    wire::encode_part(&snapshot(7, &[("n1", "admin")]))
}

const OUT_OF_ORDER: &str = "before the chunks of a snapshot in order";

#[tokio::test]
async fn a_snapshot_that_begins_in_its_middle_ends_the_session() {
    ends_the_session(&chunk(7, 1, 2, encoded()), OUT_OF_ORDER).await;
}

#[tokio::test]
async fn a_missing_piece_ends_the_session() {
    let pieces = [chunk(7, 0, 3, vec![]), chunk(7, 2, 3, encoded())].concat();

    ends_the_session(&pieces, OUT_OF_ORDER).await;
}

#[tokio::test]
async fn a_piece_of_another_snapshot_ends_the_session() {
    let pieces = [chunk(7, 0, 2, vec![]), chunk(8, 1, 2, encoded())].concat();

    ends_the_session(&pieces, OUT_OF_ORDER).await;
}

#[tokio::test]
async fn too_many_pieces_end_the_session_at_the_first() {
    ends_the_session(&chunk(7, 0, MAX_CHUNKS + 1, encoded()), OUT_OF_ORDER).await;
}

#[tokio::test]
async fn a_snapshot_of_garbage_ends_the_session() {
    ends_the_session(&chunk(7, 0, 1, vec![0xff; 1000]), "does not decode").await;
}

#[tokio::test]
async fn a_snapshot_that_is_cut_short_ends_the_session() {
    let cut = encoded()[..encoded().len() - 1].to_vec();

    ends_the_session(&chunk(7, 0, 1, cut), "does not decode").await;
}

#[tokio::test]
async fn a_snapshot_with_something_behind_it_ends_the_session() {
    ends_the_session(&chunk(7, 0, 1, [encoded(), vec![0]].concat()), "1 bytes too many").await;
}

#[tokio::test]
async fn garbage_in_place_of_a_piece_ends_the_session() {
    ends_the_session(&frame(SnapshotChunk::KIND, 0, &[0xff; 100]), "does not decode").await;
}

#[tokio::test]
async fn garbage_in_place_of_a_welcome_ends_the_session() {
    ends_the_session(&frame(Welcome::KIND, 0, &[0xff; 100]), "does not decode").await;
}

#[tokio::test]
async fn a_control_frame_over_1_mib_ends_the_session_by_its_head() {
    let head = Head { len: MAX_FRAME + 1, kind: SnapshotChunk::KIND, flags: 0 };

    ends_the_session(&head.to_bytes(), "claims 1048577 bytes, more than the 1048576").await;
}

#[tokio::test]
async fn an_unknown_control_frame_that_may_not_be_skipped_ends_the_session() {
    ends_the_session(&frame(UNKNOWN, 0, b""), "frame kind 9999 is not known here").await;
}
