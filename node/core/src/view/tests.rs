//! What compiling keeps, what it makes anew, and what it rejects.

use proptest::prelude::*;
use sinew_api::snapshot::{Service, WEIGHT_MAX};

use super::*;

fn node(text: &str) -> NodeName {
    NodeName::new(text).expect("valid")
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("valid")
}

fn own() -> NodeName {
    node("self")
}

fn peer(text: &str) -> Peer {
    Peer { node: node(text), zone: None, addresses: Vec::new(), granted: vec![name("web")], serving: 0 }
}

fn endpoint(text: &str, slot: u16) -> Endpoint {
    Endpoint { node: node(text), slot, labels: Labels::new(), weight: WEIGHT_MAX }
}

fn id(text: &str, slot: u16) -> EndpointId {
    EndpointId { node: node(text), slot }
}

/// A snapshot with one service, `orders`, and as peers the nodes of its endpoints.
fn snapshot(endpoints: Vec<Endpoint>) -> Snapshot {
    let nodes: BTreeSet<String> =
        endpoints.iter().map(|e| e.node.to_string()).filter(|n| n != "self").collect();
    Snapshot {
        revision: Revision(1),
        granted: vec![name("shop")],
        services: vec![Service { name: name("orders"), endpoints }],
        peers: nodes.iter().map(|n| peer(n)).collect(),
        ..Snapshot::default()
    }
}

fn compile(snapshot: Snapshot, previous: Option<&View>) -> View {
    View::compile(&own(), snapshot, previous).expect("no rule is broken")
}

fn rejected(snapshot: Snapshot) -> Rejected {
    View::compile(&own(), snapshot, None).expect_err("a rule is broken")
}

fn record<'a>(view: &'a View, id: &EndpointId) -> &'a Arc<EndpointRecord> {
    view.service(&name("orders")).expect("known").endpoint(id).expect("there")
}

#[test]
fn an_empty_view_knows_and_grants_nothing() {
    let view = View::empty();

    assert_eq!(view.revision, Revision(0));
    assert!(view.granted.is_empty());
    assert!(view.service(&name("orders")).is_none() && view.peer(&node("n1")).is_none());
    assert_eq!(view.may_speak_for(&own(), &name("web")), None);
}

#[test]
fn a_view_answers_by_name_and_lists_endpoints_in_order() {
    let view = compile(snapshot(vec![endpoint("n2", 1), endpoint("n2", 0), endpoint("n1", 7)]), None);

    let ids: Vec<String> =
        view.service(&name("orders")).expect("known").endpoints.iter().map(|e| e.id.to_string()).collect();
    assert_eq!(ids, ["n1/7", "n2/0", "n2/1"]);
    assert_eq!(view.endpoints_on(&node("n2")).count(), 2);
    assert_eq!(view.peers().count(), 2);
    assert_eq!(view.revision, Revision(1));
}

#[test]
fn who_may_speak_for_what_is_asked_of_peers_and_of_this_node_alike() {
    let view = compile(snapshot(vec![endpoint("n1", 0)]), None);

    assert_eq!(view.may_speak_for(&node("n1"), &name("web")), Some(true));
    assert_eq!(view.may_speak_for(&node("n1"), &name("shop")), Some(false));
    assert_eq!(view.may_speak_for(&own(), &name("shop")), Some(true));
    assert_eq!(view.may_speak_for(&own(), &name("web")), Some(false));
    assert_eq!(view.may_speak_for(&node("n9"), &name("web")), None);
}

#[test]
fn an_endpoint_that_left_and_came_back_begins_anew() {
    let first = compile(snapshot(vec![endpoint("n1", 0), endpoint("n2", 0)]), None);
    record(&first, &id("n1", 0)).load.on_latency(1, 5000);

    let without = compile(snapshot(vec![endpoint("n2", 0)]), Some(&first));
    let again = compile(snapshot(vec![endpoint("n1", 0), endpoint("n2", 0)]), Some(&without));

    assert!(!record(&again, &id("n1", 0)).load.is_measured());
    assert!(Arc::ptr_eq(record(&first, &id("n2", 0)), record(&again, &id("n2", 0))));
}

#[test]
fn new_labels_forget_nothing() {
    let first = compile(snapshot(vec![endpoint("n1", 0)]), None);
    let mut changed = endpoint("n1", 0);
    changed.labels.insert("version".into(), "v2".into());

    let second = compile(snapshot(vec![changed]), Some(&first));

    let (before, after) = (record(&first, &id("n1", 0)), record(&second, &id("n1", 0)));
    assert_eq!(after.labels["version"], "v2");
    assert!(Arc::ptr_eq(&before.load, &after.load) && Arc::ptr_eq(&before.breaker, &after.breaker));
}

#[test]
fn a_slot_that_changes_its_service_begins_anew() {
    let first = compile(snapshot(vec![endpoint("n1", 0)]), None);
    let mut renamed = snapshot(vec![endpoint("n1", 0)]);
    renamed.services[0].name = name("billing");

    let second = compile(renamed, Some(&first));

    let after = &second.service(&name("billing")).expect("known").endpoints[0];
    assert!(!Arc::ptr_eq(&record(&first, &id("n1", 0)).load, &after.load));
}

#[test]
fn an_endpoint_on_this_node_needs_no_peer() {
    let view = compile(snapshot(vec![endpoint("self", 0)]), None);

    assert!(view.peers().next().is_none());
    assert_eq!(view.endpoints_on(&own()).count(), 1);
}

#[test]
fn an_endpoint_on_a_node_that_is_no_peer_is_rejected() {
    let mut stray = snapshot(vec![endpoint("n1", 3)]);
    stray.peers.clear();

    let why = rejected(stray);

    assert_eq!(why.name, "service orders");
    assert!(why.reason.contains("n1/3"), "{why}");
}

#[test]
fn whatever_is_listed_twice_is_rejected() {
    let endpoint_twice = snapshot(vec![endpoint("n1", 0), endpoint("n1", 1), endpoint("n1", 0)]);
    let mut peer_twice = snapshot(vec![endpoint("n1", 0)]);
    peer_twice.peers.push(peer("n1"));
    let mut service_twice = snapshot(vec![]);
    service_twice.services.push(Service { name: name("orders"), endpoints: vec![] });

    assert!(rejected(endpoint_twice).reason.contains("n1/0"));
    assert_eq!(rejected(peer_twice).name, "peer n1");
    assert_eq!(rejected(service_twice).name, "service orders");
}

#[test]
fn more_endpoints_than_the_limits_are_rejected() {
    let many = |count: usize| -> Vec<Endpoint> {
        (0..count).map(|i| endpoint("n1", u16::try_from(i).expect("fits"))).collect()
    };
    assert!(View::compile(&own(), snapshot(many(SERVICE_ENDPOINTS_MAX)), None).is_ok());

    let service = rejected(snapshot(many(SERVICE_ENDPOINTS_MAX + 1)));
    let mut all = snapshot(vec![]);
    all.peers.push(peer("n1"));
    for i in 0..11 {
        all.services.push(Service { name: name(&format!("s{i}")), endpoints: many(9_999) });
    }
    let all = rejected(all);

    assert_eq!(service.reason, "10001 endpoints, at most 10000 are taken");
    assert_eq!((all.name.as_str(), all.reason.contains("100000")), ("snapshot", true));
}

proptest! {
    #[test]
    fn exactly_the_endpoints_that_stay_keep_their_records(
        before in prop::collection::btree_set(0u16..20, 0..20),
        after in prop::collection::btree_set(0u16..20, 0..20),
    ) {
        let endpoints = |slots: &BTreeSet<u16>| slots.iter().map(|s| endpoint("n1", *s)).collect();
        let first = compile(snapshot(endpoints(&before)), None);

        let second = compile(snapshot(endpoints(&after)), Some(&first));

        prop_assert_eq!(second.endpoints_on(&node("n1")).count(), after.len());
        for slot in after {
            let id = id("n1", slot);
            let kept = first
                .service(&name("orders"))
                .and_then(|s| s.endpoint(&id))
                .is_some_and(|old| Arc::ptr_eq(old, record(&second, &id)));
            prop_assert_eq!(kept, before.contains(&slot));
        }
    }
}

#[test]
fn other_weights_forget_nothing_and_follow_their_endpoints_when_sorted() {
    let weighing = |text, weight| Endpoint { weight, ..endpoint(text, 0) };
    let before = compile(snapshot(vec![endpoint("n1", 0), endpoint("n2", 0)]), None);
    record(&before, &id("n1", 0)).load.on_open();

    let after = compile(snapshot(vec![weighing("n2", 7), weighing("n1", 900)]), Some(&before));

    assert_eq!(record(&after, &id("n1", 0)).load.in_flight(), 1);
    assert!(Arc::ptr_eq(record(&before, &id("n1", 0)), record(&after, &id("n1", 0))));
    assert_eq!(*after.service(&name("orders")).expect("known").shares, Shares::new([900, 7]));
}
