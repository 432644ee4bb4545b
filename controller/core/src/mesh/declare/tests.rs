//! Whom a declaration concerns, and what happens while it is on its way to the disk.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sinew_api::apply::LagReason;
use sinew_api::control::{Listen, Register, Reject};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::resource::{Listener, MeshSettings, Node, Resource, Resources};
use sinew_api::snapshot::{DefaultPolicy, Labels};

use super::super::{SessionEnd, SessionId, Turn};
use super::*;

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn declared(resources: Vec<Resource>) -> Declared {
    Declared::new(&resources.into_iter().collect::<Resources>())
}

fn deny() -> Resource {
    Resource::Mesh(MeshSettings { default_policy: Some(DefaultPolicy::Deny) })
}

fn machine(name: &str, zone: Option<&str>, grants: Option<&[&str]>) -> Resource {
    Resource::Node(Node {
        name: node(name),
        zone: zone.map(|zone| zone.parse().expect("valid")),
        labels: Labels::new(),
        grants: grants.map(|grants| grants.iter().map(|name| service(name)).collect()),
    })
}

fn listener(on: &str, name: &str) -> Resource {
    Resource::Listener(Listener {
        node: node(on),
        address: "127.0.0.1:5001".parse().expect("valid"),
        service: service(name),
        source: None,
    })
}

/// `host` serves orders, `caller` calls it, `other` neither; all have what they need.
struct Story {
    mesh: Mesh,
    sessions: Vec<(&'static str, SessionId)>,
}

impl Story {
    fn new() -> Self {
        let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), Default::default());
        let mut sessions = Vec::new();
        for (name, serves, calls) in
            [("host", Some("orders"), None), ("caller", None, Some("orders")), ("other", None, None)]
        {
            mesh.grant(&node(name), [service("orders"), service("web")].into());
            let register = register(serves, calls);
            let session = mesh.register(&node(name), register, IP).expect("granted").session;
            sessions.push((name, session));
        }
        let mut this = Self { mesh, sessions };
        this.turn();
        this
    }

    /// Every session takes its turn: who was told something.
    fn turn(&mut self) -> Vec<&'static str> {
        let mut told = Vec::new();
        for (name, session) in self.sessions.clone() {
            match self.mesh.poll_turn(&node(name), session) {
                Turn::Push(push) => {
                    assert!(self.mesh.on_ack(&node(name), session, push.snapshot.revision));
                    told.push(name);
                }
                Turn::Rest => {}
                Turn::Leave(reason) => {
                    told.push(if reason == sinew_api::control::FarewellReason::NotGranted {
                        "left"
                    } else {
                        panic!("{reason:?}")
                    });
                }
            }
        }
        told
    }

    fn declare(&mut self, resources: Vec<Resource>) -> Revision {
        let said = self.mesh.begin_declaring();
        let revision = self.mesh.declare(declared(resources));
        assert_eq!(said, revision);
        revision
    }
}

fn register(serves: Option<&str>, calls: Option<&str>) -> Register {
    let serve = |name: &str| Serve {
        service: service(name),
        slot: 0,
        labels: Labels::new(),
        capacity: CAPACITY_DEFAULT,
        health: Health::Up,
    };
    let listen = |name: &str| Listen { service: service(name), source: Some(service("web")) };
    Register {
        version: String::new(),
        boot: 0,
        addresses: vec!["127.0.0.1:7410".parse().expect("valid")],
        zone: None,
        serves: serves.map(serve).into_iter().collect(),
        serving: 0,
        listens: calls.map(listen).into_iter().collect(),
        certificate_expiry: 0,
        have: None,
        ext: Vec::new(),
    }
}

#[test]
fn a_declared_policy_concerns_everyone() {
    let mut story = Story::new();

    story.declare(vec![deny()]);

    assert_eq!(story.turn(), ["host", "caller", "other"]);
    assert_eq!(story.mesh.snapshot(&node("other")).expect("here").default, DefaultPolicy::Deny);
    story.declare(vec![]);
    assert_eq!(story.mesh.snapshot(&node("other")).expect("here").default, DefaultPolicy::Allow);
}

#[test]
fn a_declared_zone_concerns_those_around_the_node() {
    let mut story = Story::new();

    story.declare(vec![machine("host", Some("a"), None)]);

    // The host itself is told nothing that it would see: its own zone is not in its snapshot.
    assert_eq!(story.turn(), ["caller"]);
    let peer = &story.mesh.snapshot(&node("caller")).expect("here").peers[0];
    assert_eq!(peer.zone, Some("a".parse().expect("valid")));
}

#[test]
fn a_declared_listener_brings_its_node_the_endpoints_and_the_hosts_their_caller() {
    let mut story = Story::new();

    story.declare(vec![listener("other", "orders")]);

    assert_eq!(story.turn(), ["host", "other"]);
    let snapshot = story.mesh.snapshot(&node("other")).expect("here");
    assert_eq!(snapshot.services[0].endpoints.len(), 1);
    assert_eq!((snapshot.listeners.len(), snapshot.peers[0].node.as_str()), (1, "host"));
}

#[test]
fn declared_grants_go_before_the_tokens_and_end_a_session_that_asks_for_more() {
    let mut story = Story::new();

    story.declare(vec![machine("host", None, Some(&["web"])), machine("caller", None, Some(&["web"]))]);

    assert_eq!(story.turn(), ["left", "caller"], "the host serves what it may not any more");
    assert_eq!(story.mesh.snapshot(&node("caller")).expect("here").granted, [service("web")]);
    story.declare(vec![]);
    let granted = story.mesh.snapshot(&node("caller")).expect("here").granted;
    assert_eq!(granted, [service("orders"), service("web")], "the token's are back");
}

#[test]
fn declaring_the_same_again_concerns_nobody() {
    let mut story = Story::new();
    story.declare(vec![deny(), listener("other", "orders")]);
    story.turn();

    story.declare(vec![deny(), listener("other", "orders")]);

    assert_eq!(story.turn(), Vec::<&str>::new());
}

#[test]
fn nobody_is_told_anything_while_a_declaration_is_on_its_way_to_the_disk() {
    let mut story = Story::new();
    let said = story.mesh.begin_declaring();

    story.mesh.grant(&node("caller"), [service("web")].into());

    assert_eq!(story.turn(), Vec::<&str>::new());
    assert_eq!(story.mesh.revision().0 + 1, said.0);
    assert_eq!(story.mesh.declare(declared(vec![])), said, "what changed meanwhile joins it");
    assert_eq!(story.turn(), ["host", "caller"]);
}

#[test]
fn a_declaration_that_was_not_kept_changes_nothing_and_its_revision_is_never_used() {
    let mut story = Story::new();
    let said = story.mesh.begin_declaring();
    story.mesh.grant(&node("caller"), [service("web")].into());

    story.mesh.abandon();

    assert!(story.mesh.revision() > said);
    assert_eq!(story.turn(), ["host", "caller"], "the grant is told all the same");
    let quiet = story.mesh.begin_declaring();
    story.mesh.abandon();
    assert_eq!((story.mesh.revision(), story.turn()), (quiet, vec![]));
}

/// How far a revision has got; both answers of the mesh agree.
fn rollout(story: &Story, revision: Revision) -> sinew_api::apply::Rollout {
    let rollout = story.mesh.rollout(revision);
    assert_eq!(story.mesh.is_rolled_out(revision), rollout.laggards.is_empty());
    rollout
}

#[test]
fn a_rollout_names_who_has_not_acknowledged_and_why() {
    let mut story = Story::new();

    let revision = story.declare(vec![listener("other", "orders"), machine("fresh", Some("a"), None)]);
    let begun = rollout(&story, revision);
    story.turn();
    let told = rollout(&story, revision);
    let register = register(None, None);
    story.mesh.grant(&node("fresh"), [service("web")].into());
    let session = story.mesh.register(&node("fresh"), register, IP).expect("granted").session;
    story.sessions.push(("fresh", session));
    let here = rollout(&story, revision);
    story.turn();
    let done = rollout(&story, revision);

    let late = |rollout: &sinew_api::apply::Rollout| {
        let laggards = rollout.laggards.iter();
        laggards.map(|laggard| (laggard.node.as_str().to_owned(), laggard.why)).collect::<Vec<_>>()
    };
    let [host, other, fresh] = ["host", "other", "fresh"].map(str::to_owned);
    assert_eq!(
        late(&begun),
        [(host, LagReason::Busy), (other, LagReason::Busy), (fresh.clone(), LagReason::Away)]
    );
    assert_eq!(late(&told), [(fresh.clone(), LagReason::Away)]);
    assert_eq!(late(&here), [(fresh, LagReason::Busy)]);
    assert_eq!((late(&done), done.concerned), (vec![], 3));
}

#[test]
fn a_rollout_waits_for_who_was_lost_and_tells_who_refused_and_why() {
    let mut story = Story::new();
    let (other, session) = (node("other"), story.sessions[2].1);
    let late = |rollout: sinew_api::apply::Rollout| {
        let laggards = rollout.laggards.into_iter();
        laggards.map(|l| (l.node.as_str().to_owned(), l.why, l.detail)).collect::<Vec<_>>()
    };

    let first = story.declare(vec![listener("other", "orders")]);
    let (host, lost) = story.sessions.remove(0);
    story.mesh.on_session_end(Duration::ZERO, &node(host), lost, SessionEnd::Lost);
    story.turn();
    let without_host = late(rollout(&story, first));
    let second = story.declare(vec![]);
    assert!(matches!(story.mesh.poll_turn(&other, session), Turn::Push(_)));
    let reject = Reject { revision: second, name: "listener".into(), reason: "no room".into() };
    assert!(story.mesh.on_reject(&other, session, reject));
    let refused = late(rollout(&story, second));

    assert!(matches!(&without_host[..], [(name, LagReason::Away, _)] if name == "host"), "{without_host:?}");
    let [(_, LagReason::Away, _), (name, LagReason::Rejected, why)] = &refused[..] else {
        panic!("{refused:?}")
    };
    assert!(name == "other" && why.contains("listener: no room"), "{why}");
}
