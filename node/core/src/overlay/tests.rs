//! Who is believed about what, and which of two words wins.

use proptest::prelude::*;
use sinew_api::hosting::HealthCheck;
use sinew_api::snapshot::Peer;
use sinew_transport_core::Revision;

use super::*;
use crate::ServeLimits;
use crate::hosting::{Origin, Table, Wanted};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("valid")
}

fn node(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

fn serve(slot: u16, service: &str, health: Health) -> Serve {
    Serve { service: name(service), slot, labels: BTreeMap::new(), capacity: 100, health }
}

fn endpoint(node_name: &str, slot: u16) -> Endpoint {
    Endpoint { node: node(node_name), slot, labels: BTreeMap::new(), weight: 500 }
}

/// `me` calls `orders`, which n1 and n2 may host: n1 has it in slot 0, by its version 10.
fn snapshot() -> Snapshot {
    let peer = |name_: &str| Peer {
        node: node(name_),
        zone: None,
        addresses: vec![],
        granted: vec![name("orders")],
        serving: 10,
    };
    Snapshot {
        revision: Revision(5),
        granted: vec![name("web")],
        services: vec![
            Service { name: name("orders"), endpoints: vec![endpoint("n1", 0)] },
            Service { name: name("stock"), endpoints: vec![] },
        ],
        peers: vec![peer("n1"), peer("n2")],
        ..Snapshot::default()
    }
}

fn whole(version: u64, serves: &[Serve]) -> Serving {
    Serving { version, whole: true, changes: serves.iter().map(|s| (s.slot, Some(s.clone()))).collect() }
}

fn heard(overlay: &mut Overlay, peer: &str, serving: Serving) -> bool {
    overlay.hear(&snapshot(), &node(peer), 1, serving).expect("few")
}

/// The endpoints of `orders` with their weights.
fn orders(overlay: &Overlay, snapshot: &Snapshot) -> Vec<(String, u16)> {
    let laid = overlay.over(snapshot, (&node("me"), &BTreeMap::new()));
    let endpoints = laid.services[0].endpoints.iter();
    endpoints.map(|e| (format!("{}/{}", e.node, e.slot), e.weight)).collect()
}

fn at(text: &str, weight: u16) -> (String, u16) {
    (text.to_owned(), weight)
}

#[test]
fn what_went_down_is_gone_and_what_came_up_is_there() {
    let mut overlay = Overlay::default();

    heard(&mut overlay, "n1", whole(11, &[serve(0, "orders", Health::Down)]));
    heard(&mut overlay, "n2", whole(11, &[serve(3, "orders", Health::Up)]));

    assert_eq!(orders(&overlay, &snapshot()), [at("n2/3", WEIGHT_MAX)]);
}

#[test]
fn a_peer_that_says_one_slot_twice_spoils_nobody_elses_news() {
    let mut overlay = Overlay::default();
    let contradicts = |slot| (slot, Some(serve(0, "orders", Health::Up)));

    heard(
        &mut overlay,
        "n1",
        Serving { version: 11, whole: true, changes: vec![contradicts(4), contradicts(5)] },
    );
    heard(&mut overlay, "n2", whole(11, &[serve(3, "orders", Health::Up)]));

    assert_eq!(
        orders(&overlay, &snapshot()),
        [at("n1/4", WEIGHT_MAX), at("n1/5", WEIGHT_MAX), at("n2/3", WEIGHT_MAX)]
    );
    let laid = overlay.over(&snapshot(), (&node("me"), &BTreeMap::new()));
    assert!(crate::View::compile(&node("me"), laid, None).is_ok());
}

#[test]
fn an_endpoint_that_stays_keeps_its_weight() {
    let mut overlay = Overlay::default();

    heard(&mut overlay, "n1", whole(11, &[serve(0, "orders", Health::Up), serve(1, "orders", Health::Up)]));

    assert_eq!(orders(&overlay, &snapshot()), [at("n1/0", 500), at("n1/1", WEIGHT_MAX)]);
}

#[test]
fn a_word_that_the_snapshot_has_overtaken_counts_for_nothing() {
    let mut overlay = Overlay::default();
    heard(&mut overlay, "n1", whole(11, &[]));
    assert_eq!(orders(&overlay, &snapshot()), []);
    let mut caught_up = snapshot();
    caught_up.peers[0].serving = 11;

    assert_eq!(orders(&overlay, &caught_up), [at("n1/0", 500)]);
}

#[test]
fn an_older_word_and_a_difference_without_its_beginning_are_no_news() {
    let mut overlay = Overlay::default();
    let difference = |version| Serving { version, whole: false, changes: vec![(0, None)] };

    assert!(!heard(&mut overlay, "n1", difference(12)));
    assert!(heard(&mut overlay, "n1", whole(12, &[serve(0, "orders", Health::Up)])));
    assert!(!heard(&mut overlay, "n1", difference(11)));
    assert!(!heard(&mut overlay, "n1", whole(12, &[])));

    assert_eq!(orders(&overlay, &snapshot()).len(), 1);
    assert!(heard(&mut overlay, "n1", difference(13)));
    assert_eq!(orders(&overlay, &snapshot()), []);
}

#[test]
fn a_whole_may_come_in_parts_of_one_version() {
    let mut overlay = Overlay::default();
    let part = Serving { whole: false, ..whole(11, &[serve(1, "orders", Health::Up)]) };

    assert!(heard(&mut overlay, "n1", whole(11, &[serve(0, "orders", Health::Up)])));
    assert!(heard(&mut overlay, "n1", part.clone()));
    assert!(!heard(&mut overlay, "n1", part), "told twice, by two connections");

    assert_eq!(orders(&overlay, &snapshot()).len(), 2);
}

#[test]
fn nobody_is_believed_about_services_that_it_was_not_granted() {
    let mut overlay = Overlay::default();

    heard(&mut overlay, "n2", whole(11, &[serve(0, "stock", Health::Up)]));

    let laid = overlay.over(&snapshot(), (&node("me"), &BTreeMap::new()));
    assert_eq!(laid, snapshot());
}

#[test]
fn whoever_is_no_peer_is_not_believed_until_a_snapshot_says_so() {
    let mut overlay = Overlay::default();
    heard(&mut overlay, "n9", whole(11, &[serve(0, "orders", Health::Up)]));
    assert_eq!(orders(&overlay, &snapshot()), [at("n1/0", 500)]);
    let mut known = snapshot();
    known.peers.push(Peer { node: node("n9"), ..known.peers[0].clone() });

    assert_eq!(orders(&overlay, &known), [at("n1/0", 500), at("n9/0", WEIGHT_MAX)]);
}

#[test]
fn strangers_and_endpoints_have_limits() {
    let mut overlay = Overlay::default();
    for i in 0..STRANGERS_MAX {
        assert!(heard(&mut overlay, &format!("s{i}"), whole(1, &[])));
    }

    assert!(!heard(&mut overlay, "one-too-many", whole(1, &[])));
    assert!(heard(&mut overlay, "n1", whole(11, &[])), "who is known has room");
    let many: Vec<_> = (0..1001).map(|slot| serve(slot, "orders", Health::Up)).collect();
    assert_eq!(overlay.hear(&snapshot(), &node("n1"), 1, whole(12, &many)), Err(TooMany(1001)));
}

#[test]
fn another_run_of_a_peers_program_begins_anew() {
    let mut overlay = Overlay::default();
    heard(&mut overlay, "n1", whole(90, &[]));

    // Its clock was set back meanwhile.
    let news = overlay.hear(&snapshot(), &node("n1"), 2, whole(11, &[serve(4, "orders", Health::Up)]));

    assert_eq!(news, Ok(true));
    assert_eq!(orders(&overlay, &snapshot()), [at("n1/4", WEIGHT_MAX)]);
}

#[test]
fn what_stands_behind_this_node_is_taken_from_its_own_table() {
    let mut snapshot = snapshot();
    snapshot.granted.push(name("orders"));
    snapshot.services[0].endpoints.insert(0, endpoint("me", 0));
    let own = [(1, serve(1, "orders", Health::Up)), (2, serve(2, "orders", Health::Down))].into();

    let laid = Overlay::default().over(&snapshot, (&node("me"), &own));

    let of_me: Vec<_> = laid.services[0].endpoints.iter().filter(|e| e.node == node("me")).collect();
    assert_eq!(of_me.iter().map(|e| e.slot).collect::<Vec<_>>(), [1]);
}

/// Something that happens to a table of `orders`.
fn step(table: &mut Table, now_us: u64, step: (u8, u16)) {
    let (what, slot) = step;
    let wanted = |port: u16| Wanted {
        service: name("orders"),
        address: ([127, 0, 0, 1], port).into(),
        labels: BTreeMap::new(),
        capacity: 100,
        check: HealthCheck::OFF,
        limits: ServeLimits::default(),
    };
    match what {
        0 => drop(table.remove(slot)),
        1 => table.drain(slot),
        _ => drop(table.add(now_us, Origin::Registered, wanted(slot))),
    }
}

proptest! {
    #[test]
    fn whoever_hears_every_change_on_any_connection_knows_what_is_up(
        steps in prop::collection::vec(((0_u8..3, 0_u16..5), 0_usize..3, any::<bool>()), 1..40),
    ) {
        let (mut table, mut overlay) = (Table::new(20), Overlay::default());
        // The version that each of three connections was told; none: it is new.
        let mut told = [None; 3];
        for (now_us, (what, lane, lost)) in (1..).zip(steps) {
            step(&mut table, now_us, what);
            let version = table.version();
            let serving = match told[lane] {
                None => whole(version, &table.serves().into_values().collect::<Vec<_>>()),
                Some(before) => Serving { version, whole: false, changes: table.changes_since(before) },
            };
            heard(&mut overlay, "n1", serving);
            told[lane] = (!lost).then_some(version);

            let serves = table.serves();
            let up = serves.values().filter(|serve| serve.health == Health::Up);
            let up: Vec<_> = up.map(|serve| format!("n1/{}", serve.slot)).collect();
            let known: Vec<_> = orders(&overlay, &snapshot()).into_iter().map(|(id, _)| id).collect();
            prop_assert_eq!(known, up);
        }
    }
}
