//! What a restarted controller knows of its nodes, and what it forgets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use sinew_api::control::{Listen, Register};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{Revision, ServiceName};

use super::super::{FORGET_AFTER, SessionEnd, Turn};
use super::*;

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Duration = Duration::from_secs(5);

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn grants() -> BTreeMap<NodeName, BTreeSet<ServiceName>> {
    ["n1", "n2"].map(|name| (node(name), [service("orders"), service("web")].into())).into()
}

fn register(serves: &[&str], calls: &[&str]) -> Register {
    let serve = |(slot, name): (u16, &&str)| Serve {
        service: service(name),
        slot,
        labels: BTreeMap::new(),
        capacity: CAPACITY_DEFAULT,
        health: Health::Up,
    };
    let listen = |name: &&str| Listen { service: service(name), source: Some(service("web")) };
    Register {
        version: String::new(),
        boot: 0,
        addresses: vec!["127.0.0.1:7410".parse().expect("valid")],
        zone: None,
        serves: (0..).zip(serves).map(serve).collect(),
        serving: 7,
        listens: calls.iter().map(listen).collect(),
        certificate_expiry: 0,
        have: None,
        ext: Vec::new(),
    }
}

/// A mesh in which n1 calls what n2 hosts, and what it saved.
fn saved() -> BTreeMap<NodeName, Registration> {
    let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), grants());
    mesh.register(&node("n1"), register(&[], &["orders"]), IP).expect("granted");
    mesh.register(&node("n2"), register(&["orders"], &[]), IP).expect("granted");
    let unsaved = mesh.take_unsaved();
    unsaved.into_iter().map(|(name, registration)| (name, registration.expect("registered"))).collect()
}

fn restored(saved: BTreeMap<NodeName, Registration>) -> Mesh {
    let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(9), grants());
    mesh.restore(NOW, saved);
    mesh
}

/// The nodes of the endpoints of the only service that n1 calls.
fn hosts(mesh: &Mesh) -> Vec<String> {
    let snapshot = mesh.snapshot(&node("n1")).expect("registered");
    snapshot.services[0].endpoints.iter().map(|endpoint| endpoint.node.to_string()).collect()
}

#[test]
fn who_comes_back_first_is_told_of_the_others_as_they_were() {
    let mut mesh = restored(saved());

    let session = mesh.register(&node("n1"), register(&[], &["orders"]), IP).expect("granted").session;

    let Turn::Push(push) = mesh.poll_turn(&node("n1"), session) else { panic!("its first snapshot") };
    assert_eq!(push.snapshot.services[0].endpoints.len(), 1);
    assert_eq!(push.snapshot.peers[0].serving, 7);
    assert!(push.snapshot.revision > Revision(9), "it is told by a new number");
}

#[test]
fn who_does_not_come_back_is_forgotten_like_any_lost_node() {
    let mut mesh = restored(saved());
    mesh.register(&node("n1"), register(&[], &["orders"]), IP).expect("granted");

    mesh.handle_timeout(NOW + FORGET_AFTER - Duration::from_millis(1));
    assert_eq!(hosts(&mesh), ["n2"]);
    mesh.handle_timeout(NOW + FORGET_AFTER);

    assert_eq!(hosts(&mesh), Vec::<String>::new());
    assert_eq!(mesh.take_unsaved().get(&node("n2")), Some(&None), "and so it is saved");
}

#[test]
fn a_registration_that_is_not_granted_any_more_is_not_brought_back() {
    let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(9), grants());
    mesh.grant(&node("n2"), [service("web")].into());

    mesh.restore(NOW, saved());

    assert_eq!(hosts(&mesh), Vec::<String>::new());
}

#[test]
fn what_was_saved_reads_back_the_same() {
    let saved = saved();

    let text = serde_json::to_string(&saved).expect("plain data");

    assert_eq!(serde_json::from_str::<BTreeMap<NodeName, Registration>>(&text).expect("as written"), saved);
}

#[test]
fn only_what_was_changed_is_saved_again() {
    let mut mesh = restored(saved());
    assert!(!mesh.has_unsaved());

    let session = mesh.register(&node("n1"), register(&[], &["orders"]), IP).expect("granted").session;
    assert!(!mesh.has_unsaved(), "it is as it was");
    mesh.on_session_end(NOW, &node("n1"), session, SessionEnd::Lost);
    assert!(!mesh.has_unsaved(), "that it is away is not kept");
    mesh.register(&node("n1"), register(&["web"], &["orders"]), IP).expect("granted");

    assert_eq!(mesh.take_unsaved().into_keys().collect::<Vec<_>>(), [node("n1")]);
    assert!(!mesh.has_unsaved());
    mesh.still_unsaved([node("n1")]);
    assert!(mesh.has_unsaved());
}
