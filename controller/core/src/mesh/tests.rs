//! What a change does, whom it concerns, and how sessions come and go.

use sinew_api::Snapshot;
use sinew_api::control::{FarewellReason, LinkReport, LinkState, Listen, Reject, Report};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_transport_core::ids::TrustDomain;

use super::*;

mod copies;

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const T0: Duration = Duration::from_secs(1000);

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn services(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| service(name)).collect()
}

/// A node that serves `serves` in slots from 0 and, as `web`, calls `calls`.
fn register(serves: &[&str], calls: &[&str]) -> Register {
    let serve = |(slot, name): (usize, &&str)| Serve {
        service: service(name),
        slot: u16::try_from(slot).expect("small"),
        labels: [("version".to_owned(), "v1".to_owned())].into(),
        capacity: CAPACITY_DEFAULT,
        health: Health::Up,
    };
    Register {
        version: "0.1.0".into(),
        boot: 1,
        addresses: vec!["0.0.0.0:7410".parse().expect("valid")],
        zone: None,
        serves: serves.iter().enumerate().map(serve).collect(),
        listens: calls
            .iter()
            .map(|name| Listen { service: service(name), source: Some(service("web")) })
            .collect(),
        serving: 0,
        certificate_expiry: 5000,
        have: None,
        ext: Vec::new(),
    }
}

const ALL: [&str; 4] = ["web", "orders", "stock", "mail"];

/// A new mesh that granted everything to n1 … n4.
fn mesh() -> Mesh {
    let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), BTreeMap::new());
    for name in ["n1", "n2", "n3", "n4"] {
        mesh.grant(&node(name), services(&ALL));
    }
    mesh
}

impl Mesh {
    fn up(&mut self, name: &str, serves: &[&str], calls: &[&str]) -> SessionId {
        self.register(&node(name), register(serves, calls), IP).expect("granted").session
    }

    /// What the session sends at its turn, which its node acknowledges.
    fn pushed(&mut self, name: &str, session: SessionId) -> Option<Snapshot> {
        match self.poll_turn(&node(name), session) {
            Turn::Push(push) => {
                assert!(self.on_ack(&node(name), session, push.snapshot.revision));
                Some((*push.snapshot).clone())
            }
            Turn::Rest => None,
            Turn::Leave(reason) => panic!("{name} is told to leave: {reason:?}"),
        }
    }
}

fn names(snapshot: &Snapshot) -> (Vec<String>, Vec<&str>) {
    let endpoints = snapshot
        .services
        .iter()
        .flat_map(|s| s.endpoints.iter().map(move |e| format!("{} at {}/{}", s.name, e.node, e.slot)));
    (endpoints.collect(), snapshot.peers.iter().map(|peer| peer.node.as_str()).collect())
}

#[test]
fn a_caller_sees_the_endpoints_and_nodes_that_it_needs_and_no_others() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &["web"], &["orders"]);
    mesh.up("n2", &["orders", "mail", "orders"], &[]);
    mesh.up("n3", &["orders"], &["stock"]);
    mesh.up("n4", &["stock", "mail"], &[]);

    let snapshot = mesh.pushed("n1", caller).expect("a first snapshot");

    let (endpoints, peers) = names(&snapshot);
    assert_eq!(endpoints, ["orders at n2/0", "orders at n2/2", "orders at n3/0"]);
    assert_eq!(peers, ["n2", "n3"]);
    assert_eq!(snapshot.granted, services(&ALL).into_iter().collect::<Vec<_>>());
    assert_eq!(snapshot.peers[0].addresses, ["10.0.0.1:7410".parse().expect("valid")]);
    assert_eq!(snapshot.services[0].endpoints[0].labels["version"], "v1");
}

#[test]
fn a_host_sees_its_callers_with_what_they_may_speak_for() {
    let mut mesh = mesh();
    let host = mesh.up("n1", &["orders"], &[]);
    mesh.grant(&node("n2"), services(&["web"]));
    mesh.up("n2", &[], &["orders"]);

    let snapshot = mesh.pushed("n1", host).expect("a first snapshot");

    assert_eq!(names(&snapshot), (vec![], vec!["n2"]));
    assert_eq!(snapshot.peers[0].granted, [service("web")]);
}

#[test]
fn a_node_that_calls_what_it_hosts_is_not_its_own_peer() {
    let mut mesh = mesh();
    let session = mesh.up("n1", &["orders"], &["orders"]);

    let snapshot = mesh.pushed("n1", session).expect("a first snapshot");

    assert_eq!(names(&snapshot), (vec!["orders at n1/0".to_owned()], vec![]));
}

#[test]
fn a_listener_for_a_service_that_nobody_hosts_yet_is_told_so() {
    let mut mesh = mesh();
    let session = mesh.up("n1", &[], &["orders"]);

    let snapshot = mesh.pushed("n1", session).expect("a first snapshot");

    assert_eq!(snapshot.services.len(), 1);
    assert!(snapshot.services[0].endpoints.is_empty());
}

#[test]
fn an_identical_registration_changes_nothing_but_the_session() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let old = mesh.up("n2", &["orders"], &[]);
    mesh.pushed("n1", caller).expect("a first snapshot");
    let before = mesh.revision();

    let again = Register { boot: 2, version: "0.2.0".into(), ..register(&["orders"], &[]) };
    let registered = mesh.register(&node("n2"), again, IP).expect("granted");

    assert_eq!(mesh.revision(), before);
    assert_eq!(registered.supersedes, Some(old));
    assert_eq!(mesh.pushed("n1", caller), None);
    assert!(mesh.pushed("n2", registered.session).is_some(), "a new session needs a snapshot");
}

#[test]
fn the_newest_session_wins_and_the_older_is_told() {
    let mut mesh = mesh();
    let old = mesh.up("n1", &["orders"], &[]);
    let new = mesh.up("n1", &["stock"], &[]);

    assert_eq!(mesh.poll_turn(&node("n1"), old), Turn::Leave(FarewellReason::Superseded));
    assert!(mesh.pushed("n1", new).is_some());

    mesh.on_session_end(T0, &node("n1"), old, SessionEnd::Closed);

    assert_eq!(mesh.node_count(), 1, "the end of an old session must not touch the new one");
    assert!(!mesh.on_ack(&node("n1"), old, mesh.revision()));
}

#[test]
fn a_wrong_registration_leaves_the_older_session_alone() {
    let mut mesh = mesh();
    let old = mesh.up("n1", &["orders"], &[]);
    let before = mesh.revision();

    let refused = mesh.register(&node("n1"), register(&["secrets"], &[]), IP);

    assert!(refused.is_err());
    assert_eq!(mesh.revision(), before);
    assert!(mesh.pushed("n1", old).is_some());
}

#[test]
fn a_node_that_never_joined_is_granted_nothing() {
    let mut mesh = mesh();

    let mistakes = mesh.register(&node("n9"), register(&["orders"], &[]), IP).expect_err("not granted");

    assert_eq!(mistakes[0].reason(), FarewellReason::NotGranted);
}

#[test]
fn the_endpoints_of_a_closed_session_go_at_once() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["orders"], &[]);
    mesh.pushed("n1", caller).expect("first");

    mesh.on_session_end(T0, &node("n2"), host, SessionEnd::Closed);

    let snapshot = mesh.pushed("n1", caller).expect("a change");
    assert_eq!(names(&snapshot), (vec![], vec![]));
}

#[test]
fn the_endpoints_of_a_lost_session_stay_for_a_while() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["orders"], &[]);
    mesh.pushed("n1", caller).expect("first");

    mesh.on_session_end(T0, &node("n2"), host, SessionEnd::Lost);

    assert_eq!(mesh.pushed("n1", caller), None);
    assert_eq!(mesh.poll_timeout(), Some(T0 + FORGET_AFTER));
    assert!(!mesh.handle_timeout(T0 + FORGET_AFTER - Duration::from_millis(1)));
    assert!(mesh.handle_timeout(T0 + FORGET_AFTER));
    assert_eq!(names(&mesh.pushed("n1", caller).expect("a change")), (vec![], vec![]));
    assert_eq!(mesh.poll_timeout(), None);
}

#[test]
fn a_lost_node_that_comes_back_in_time_disturbs_nobody() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["orders"], &[]);
    mesh.pushed("n1", caller).expect("first");
    mesh.on_session_end(T0, &node("n2"), host, SessionEnd::Lost);

    mesh.up("n2", &["orders"], &[]);

    assert_eq!(mesh.poll_timeout(), None);
    assert_eq!(mesh.pushed("n1", caller), None);
}

#[test]
fn a_change_concerns_only_the_nodes_that_use_what_changed() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let other = mesh.up("n2", &["mail"], &["stock"]);
    mesh.up("n3", &["stock"], &[]);
    let _first = (mesh.pushed("n1", caller), mesh.pushed("n2", other));

    mesh.up("n3", &["stock", "orders"], &[]);

    assert!(mesh.pushed("n1", caller).is_some());
    assert_eq!(mesh.pushed("n2", other), None, "it calls only stock, which stayed");
}

#[test]
fn moving_to_another_zone_concerns_callers_and_hosts() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["stock"], &[]);
    let stranger = mesh.up("n4", &["mail"], &[]);
    mesh.up("n3", &["orders"], &["stock"]);
    let _first = (mesh.pushed("n1", caller), mesh.pushed("n2", host), mesh.pushed("n4", stranger));

    let moved = Register { zone: Some("eu-2".parse().expect("valid")), ..register(&["orders"], &["stock"]) };
    mesh.register(&node("n3"), moved, IP).expect("granted");

    assert!(mesh.pushed("n1", caller).is_some());
    assert!(mesh.pushed("n2", host).is_some());
    assert_eq!(mesh.pushed("n4", stranger), None);
}

#[test]
fn other_grants_concern_the_peers_and_end_a_session_that_asks_for_more() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["orders"], &[]);
    let _first = (mesh.pushed("n1", caller), mesh.pushed("n2", host));

    mesh.grant(&node("n1"), services(&["web"]));
    let narrower = mesh.pushed("n2", host).expect("a change");
    mesh.grant(&node("n1"), services(&["mail"]));
    let without = mesh.pushed("n2", host).expect("a change");

    assert_eq!(narrower.peers[0].granted, [service("web")]);
    assert!(without.peers.is_empty());
    assert_eq!(mesh.poll_turn(&node("n1"), caller), Turn::Leave(FarewellReason::NotGranted));
}

#[test]
fn granting_the_same_again_changes_nothing() {
    let mut mesh = mesh();
    mesh.up("n1", &["orders"], &[]);
    let before = mesh.revision();

    mesh.grant(&node("n1"), services(&ALL));

    assert_eq!(mesh.revision(), before);
}

#[test]
fn a_full_mesh_has_room_only_for_nodes_that_joined_before() {
    let grant = |i: usize| (node(&format!("n{i}")), services(&["web"]));
    let grants = (0..MAX_NODES).map(grant).collect();
    let mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), grants);

    assert!(mesh.has_room_for(&node("n0")));
    assert!(!mesh.has_room_for(&node("new")));
}

#[test]
fn status_shows_nodes_services_and_what_was_acknowledged() {
    let mut mesh = mesh();
    let caller = mesh.up("n1", &[], &["orders"]);
    let host = mesh.up("n2", &["orders"], &[]);
    let revision = mesh.revision();
    let link = LinkReport { node: node("n2"), state: LinkState::Suspect, rtt_us: 250, loss_ppm: 0 };
    let report = Report {
        certificate_expiry: 6000,
        certificate_issued: 1000,
        clock_ms: 90_000,
        links: vec![link],
        endpoints: Vec::new(),
        ext: Vec::new(),
    };
    mesh.pushed("n1", caller).expect("a first snapshot");
    assert!(mesh.on_report(60_000, &node("n1"), caller, report));
    assert!(matches!(mesh.poll_turn(&node("n2"), host), Turn::Push(_)));
    let reject = Reject { revision, name: "service orders".into(), reason: "x".repeat(9999) };
    assert!(mesh.on_reject(&node("n2"), host, reject));
    mesh.on_session_end(T0, &node("n2"), host, SessionEnd::Lost);
    let (trust_domain, controller) = (TrustDomain::new("mesh.local").expect("valid"), node("c1"));

    let status = mesh.status(&Answerer { trust_domain, controller, version: "1".into() });

    let [n1, n2] = status.nodes.as_slice() else { panic!("two nodes: {:?}", status.nodes) };
    assert_eq!((n1.connected, n1.acknowledged, n1.certificate_expiry), (true, revision, 6000));
    assert_eq!(n1.clock_skew_ms, Some(30_000));
    assert_eq!((n1.links[0].state, n1.links[0].rtt_us), (LinkState::Suspect, 250));
    assert_eq!((n2.connected, n2.acknowledged), (false, Revision(0)));
    assert_eq!(n2.rejected.as_ref().map(|r| (r.revision, r.reason.len())), Some((revision, 500)));
    let [orders] = status.services.as_slice() else { panic!("one service: {:?}", status.services) };
    assert_eq!((orders.endpoints[0].node.as_str(), orders.callers[0].as_str()), ("n2", "n1"));
}

#[test]
fn a_node_that_nothing_concerns_stays_up_to_date() {
    let mut mesh = mesh();
    let quiet = mesh.up("n1", &["mail"], &[]);
    mesh.pushed("n1", quiet).expect("a first snapshot");

    mesh.up("n2", &["orders"], &[]);
    let (trust_domain, controller) = (TrustDomain::new("mesh.local").expect("valid"), node("c1"));
    let status = mesh.status(&Answerer { trust_domain, controller, version: "1".into() });

    assert_eq!(status.nodes[0].acknowledged, status.revision);
    assert_eq!(status.nodes[1].acknowledged, Revision(0));
}

#[test]
fn a_later_acknowledgement_clears_a_reject_and_a_future_one_is_not_taken() {
    let mut mesh = mesh();
    let session = mesh.up("n1", &["orders"], &[]);
    let refused = mesh.revision();
    assert!(matches!(mesh.poll_turn(&node("n1"), session), Turn::Push(_)));
    mesh.on_reject(
        &node("n1"),
        session,
        Reject { revision: refused, name: String::new(), reason: String::new() },
    );
    mesh.grant(&node("n1"), services(&["orders"]));

    assert!(!mesh.on_ack(&node("n1"), session, Revision(99)));
    mesh.pushed("n1", session).expect("a change");

    assert_eq!(mesh.nodes[&node("n1")].rejected, None);
}
