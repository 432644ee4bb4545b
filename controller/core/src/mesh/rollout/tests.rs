//! One node, push by push: what it is sent, when, and what its answers change.

use sinew_api::snapshot::{DefaultPolicy, Peer};

use super::*;

fn snapshot(revision: u64, default: DefaultPolicy) -> Snapshot {
    Snapshot { revision: Revision(revision), default, ..Snapshot::default() }
}

/// A rollout whose node uses revision 5.
fn at_5() -> Rollout {
    let mut rollout = Rollout::default();
    rollout.push(snapshot(5, DefaultPolicy::Allow)).expect("the first");
    assert!(rollout.on_ack(Revision(5)));
    rollout
}

fn reject(revision: u64, name: &str) -> Reject {
    Reject { revision: Revision(revision), name: name.into(), reason: String::new() }
}

#[test]
fn the_first_push_is_whole_and_the_next_is_the_difference() {
    let mut rollout = Rollout::default();
    let first = rollout.push(snapshot(5, DefaultPolicy::Allow)).expect("the first");
    rollout.on_ack(Revision(5));

    let next = rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    assert_eq!(first.delta, None);
    let delta = next.delta.expect("a difference");
    assert_eq!((delta.from, delta.to, delta.default), (Revision(5), Revision(6), Some(DefaultPolicy::Deny)));
}

#[test]
fn nothing_is_pushed_before_the_last_push_was_answered() {
    let mut rollout = at_5();
    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    assert!(!rollout.is_due(Revision(7)));
    assert!(rollout.on_ack(Revision(6)));
    assert!(rollout.is_due(Revision(7)));
    assert!(!rollout.is_due(Revision(6)));
}

#[test]
fn an_answer_is_awaited_to_the_newest_push_and_not_to_one_before() {
    let mut rollout = at_5();
    assert!(!rollout.awaits_answer());

    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");
    rollout.on_ack(Revision(6));
    rollout.push(snapshot(7, DefaultPolicy::Allow)).expect("it differs");
    rollout.on_ack(Revision(6));

    assert!(rollout.awaits_answer());
    rollout.on_reject(&reject(7, "service orders"));
    assert!(!rollout.awaits_answer());
}

#[test]
fn an_answer_to_what_was_not_asked_is_not_taken() {
    let mut rollout = at_5();
    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    assert!(
        !rollout.on_ack(Revision(5)) && !rollout.on_ack(Revision(7)) && !rollout.on_reject(&reject(7, "x"))
    );
    assert_eq!(rollout.held(), Revision(5));
}

#[test]
fn after_a_reject_the_next_push_starts_from_what_is_in_use() {
    let mut rollout = at_5();
    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    assert!(rollout.on_reject(&reject(6, "service orders")));

    assert!(!rollout.is_due(Revision(6)), "the same again would be refused again");
    let next = rollout.push(snapshot(7, DefaultPolicy::Deny)).expect("it differs");
    assert_eq!(next.delta.map(|delta| delta.from), Some(Revision(5)));
}

#[test]
fn who_does_not_hold_what_we_believed_gets_the_whole_at_once() {
    let mut rollout = at_5();
    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    assert!(rollout.on_reject(&reject(6, REJECT_BASE)));

    assert!(rollout.is_due(Revision(6)));
    assert_eq!(rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("the whole").delta, None);
}

#[test]
fn a_node_that_comes_back_with_what_it_had_is_sent_only_what_changed_since() {
    let back = at_5().resumed(Some(Revision(5)));
    let restored = at_5().resumed(Some(Revision(4)));
    let fresh = at_5().resumed(None);

    assert!(!back.is_due(Revision(5)) && back.is_due(Revision(6)));
    assert!(restored.is_due(Revision(5)) && fresh.is_due(Revision(5)));
    assert_eq!((back.held(), restored.held(), fresh.held()), (Revision(5), Revision(0), Revision(0)));
}

#[test]
fn what_was_on_its_way_when_a_session_broke_is_not_taken_for_in_use() {
    let mut rollout = at_5();
    rollout.push(snapshot(6, DefaultPolicy::Deny)).expect("it differs");

    let mut back = rollout.resumed(Some(Revision(5)));

    assert!(!back.on_ack(Revision(6)));
    assert!(back.is_due(Revision(6)));
}

#[test]
fn a_change_that_leaves_the_snapshot_as_it_was_is_not_sent() {
    let mut rollout = at_5();

    assert_eq!(rollout.push(snapshot(6, DefaultPolicy::Allow)), None);
    assert!(!rollout.is_due(Revision(6)));
}

#[test]
fn one_changed_peer_costs_little_beside_a_thousand() {
    let peer = |n: usize, address: &str| Peer {
        node: NodeName::new(&format!("n{n}")).expect("valid"),
        zone: None,
        addresses: vec![address.parse().expect("valid")],
        granted: Vec::new(),
        serving: 0,
    };
    let mut rollout = Rollout::default();
    let before: Vec<_> = (0..1000).map(|n| peer(n, "10.0.0.1:7410")).collect();
    let mut after = before.clone();
    after[500] = peer(500, "10.0.0.2:7410");
    rollout.push(Snapshot { peers: before, ..snapshot(5, DefaultPolicy::Allow) }).expect("the first");
    rollout.on_ack(Revision(5));

    let next =
        rollout.push(Snapshot { peers: after, ..snapshot(6, DefaultPolicy::Allow) }).expect("a change");

    assert_eq!(next.delta.expect("a difference").peers.len(), 1);
}
