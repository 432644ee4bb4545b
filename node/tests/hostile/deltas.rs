//! Differences between snapshots: applied, refused, or starting from what is not in use.

use sinew_api::control::{REJECT_BASE, Reject};
use sinew_api::{Snapshot, delta};
use sinew_transport_core::ids::Revision;
use sinew_transport_core::wire;

use crate::common::{Answer, Stage, snapshot};
use crate::is_served;

/// What the stage's node has in use.
fn in_use() -> Snapshot {
    snapshot(5, &[("n1", "web")])
}

async fn tell(stage: &mut Stage, from: &Snapshot, to: &Snapshot) -> Answer {
    stage.session.say(&wire::encode(&delta::diff(from, to))).await;
    stage.session.answer().await
}

#[tokio::test]
async fn a_difference_is_taken_and_the_next_starts_from_it() {
    let mut stage = Stage::set().await;
    let (six, seven) = (snapshot(6, &[]), snapshot(7, &[("n1", "web")]));

    assert_eq!(tell(&mut stage, &in_use(), &six).await, Answer::ack(6));
    assert_eq!(tell(&mut stage, &six, &seven).await, Answer::ack(7));

    let peer = stage.peer().await;
    is_served(&stage, &peer).await;
    stage.end().await;
}

#[tokio::test]
async fn a_difference_from_what_is_not_in_use_changes_nothing_and_asks_for_the_whole() {
    let mut stage = Stage::set().await;
    let elsewhere = snapshot(4, &[]);

    let answer = tell(&mut stage, &elsewhere, &snapshot(6, &[])).await;

    let Answer::Reject(Reject { revision, name, reason }) = answer else { panic!("{answer:?}") };
    assert_eq!((revision, name.as_str()), (Revision(6), REJECT_BASE));
    assert!(reason.contains("revision 4") && reason.contains("revision 5"), "{reason}");
    let peer = stage.peer().await;
    is_served(&stage, &peer).await;
    assert_eq!(stage.session.tell(&snapshot(6, &[("n1", "web")])).await, Answer::ack(6));
    stage.end().await;
}

#[tokio::test]
async fn after_a_refused_difference_the_next_starts_from_what_stayed_in_use() {
    let mut stage = Stage::set().await;
    let twice = Snapshot { peers: vec![], ..snapshot(6, &[]) };
    let mut bad = delta::diff(&in_use(), &twice);
    // An endpoint on a node that is no peer.
    bad.services.push(delta::ServiceDelta {
        name: "orders".parse().expect("valid"),
        endpoints: vec![sinew_api::snapshot::Endpoint {
            node: "ghost".parse().expect("valid"),
            slot: 0,
            labels: std::collections::BTreeMap::new(),
            weight: 1000,
        }],
        gone: vec![],
    });
    stage.session.say(&wire::encode(&bad)).await;
    let refused = stage.session.answer().await;

    let next = tell(&mut stage, &in_use(), &snapshot(7, &[("n1", "web")])).await;

    assert!(matches!(refused, Answer::Reject(Reject { revision: Revision(6), .. })), "{refused:?}");
    assert_eq!(next, Answer::ack(7));
    stage.end().await;
}
