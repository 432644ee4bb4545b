//! Whom weights concern, and when they are made.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use sinew_api::Snapshot;
use sinew_api::control::{EndpointReport, LinkReport, LinkState, Listen, Register};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::snapshot::{DefaultPolicy, WEIGHT_MAX};
use sinew_transport_core::ids::{EndpointId, Revision};

use super::*;
use crate::mesh::SessionId;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    mesh: Mesh,
    now: Duration,
    sessions: BTreeMap<&'static str, SessionId>,
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

impl World {
    /// n1 and n2 host orders, n3 hosts stock; a and b call orders, c calls stock.
    fn new() -> Self {
        let mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), BTreeMap::new());
        let mut world = Self { mesh, now: 100 * SECOND, sessions: BTreeMap::new() };
        for (name, hosts, calls) in [
            ("n1", "orders", ""),
            ("n2", "orders", ""),
            ("n3", "stock", ""),
            ("a", "", "orders"),
            ("b", "", "orders"),
            ("c", "", "stock"),
        ] {
            world.up(name, hosts, calls, CAPACITY_DEFAULT);
        }
        world
    }

    fn up(&mut self, name: &'static str, hosts: &str, calls: &str, capacity: u32) {
        let all = ["orders", "stock", "web"].map(service);
        self.mesh.grant(&node(name), all.into());
        let serve = |name| Serve {
            service: service(name),
            slot: 0,
            labels: BTreeMap::new(),
            capacity,
            health: Health::Up,
        };
        let register = Register {
            version: String::new(),
            boot: 0,
            addresses: vec!["10.0.0.1:7410".parse().expect("valid")],
            zone: None,
            serves: Some(hosts).filter(|h| !h.is_empty()).map(serve).into_iter().collect(),
            serving: 0,
            listens: Some(calls)
                .filter(|c| !c.is_empty())
                .map(|c| Listen { service: service(c), source: Some(service("web")) })
                .into_iter()
                .collect(),
            certificate_expiry: 0,
            have: None,
            ext: Vec::new(),
        };
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let registered = self.mesh.register(&node(name), register, ip).expect("granted");
        self.sessions.insert(name, registered.session);
    }

    fn report(&mut self, from: &str, of: &[(&str, u64)]) {
        let endpoint = |(host, latency_us): &(&str, u64)| EndpointReport {
            service: service("orders"),
            endpoint: EndpointId { node: node(host), slot: 0 },
            latency_us: *latency_us,
            turns: 50,
            in_flight: 1,
            successes: 50,
            errors: 0,
        };
        let link = |(host, _): &(&str, u64)| LinkReport {
            node: node(host),
            state: LinkState::Up,
            rtt_us: 100,
            loss_ppm: 0,
        };
        let report = Report {
            certificate_expiry: 0,
            certificate_issued: 0,
            clock_ms: 0,
            links: of.iter().map(link).collect(),
            endpoints: of.iter().map(endpoint).collect(),
            ext: Vec::new(),
        };
        assert!(self.mesh.on_report(0, &node(from), self.sessions[from], report));
    }

    fn second(&mut self) -> bool {
        self.now += SECOND;
        self.mesh.handle_timeout(self.now)
    }

    /// Those that are concerned by something later than that.
    fn concerned(&self, since: Revision) -> Vec<&'static str> {
        self.sessions.keys().copied().filter(|name| self.mesh.nodes[&node(name)].concerned > since).collect()
    }

    fn snapshot(&self, name: &str) -> Snapshot {
        self.mesh.snapshot(&node(name)).expect("registered")
    }

    fn weights(&self, name: &str) -> Vec<u16> {
        self.snapshot(name).services[0].endpoints.iter().map(|e| e.weight).collect()
    }
}

#[test]
fn a_weight_that_moved_concerns_those_who_call_the_service_and_nobody_else() {
    let mut world = World::new();
    let before = world.mesh.revision();

    world.report("a", &[("n1", 100_000), ("n2", 1000)]);
    let heard = world.second();

    assert!(heard);
    assert_eq!(world.concerned(before), ["a", "b"]);
    for caller in ["a", "b"] {
        assert!(world.weights(caller)[0] < 100 && world.weights(caller)[1] == WEIGHT_MAX);
    }
}

#[test]
fn what_stays_as_it_was_makes_no_revision() {
    let mut world = World::new();
    let before = world.mesh.revision();

    for _ in 0..30 {
        world.report("a", &[("n1", 1000), ("n2", 1100)]);
        assert!(!world.second());
    }

    assert_eq!(world.mesh.revision(), before);
}

#[test]
fn time_is_asked_for_only_once_there_is_something_to_weigh() {
    let mut world = World::new();
    assert_eq!(world.mesh.poll_timeout(), None);

    world.report("a", &[("n1", 1000)]);
    assert!(world.mesh.weighs() && world.mesh.poll_timeout() <= Some(world.now));

    world.second();
    assert_eq!(world.mesh.poll_timeout(), Some(world.now + WEIGH_EVERY));
}

#[test]
fn the_first_snapshot_of_a_fresh_caller_has_the_weights() {
    let mut world = World::new();
    world.report("a", &[("n1", 100_000), ("n2", 1000)]);
    world.second();

    world.up("d", "", "orders", CAPACITY_DEFAULT);

    assert!(world.weights("d")[0] < 100, "{:?}", world.weights("d"));
}

#[test]
fn declared_capacity_counts_before_anything_was_measured() {
    let mut world = World::new();

    world.up("n4", "orders", "", 2 * CAPACITY_DEFAULT);

    assert_eq!(world.weights("a"), [WEIGHT_MAX / 2, WEIGHT_MAX / 2, WEIGHT_MAX]);
    assert!(!world.second(), "nothing is left to tell");
}

#[test]
fn a_node_that_leaves_takes_what_was_known_of_it_with_it() {
    let mut world = World::new();
    world.report("a", &[("n1", 100_000), ("n2", 1000)]);
    world.second();

    let session = world.sessions["n1"];
    world.mesh.on_session_end(world.now, &node("n1"), session, crate::SessionEnd::Closed);
    world.up("n1", "orders", "", CAPACITY_DEFAULT);

    assert_eq!(world.weights("a"), [WEIGHT_MAX, WEIGHT_MAX]);
}

#[test]
fn nobody_is_heard_on_what_it_does_not_call_or_what_is_not_there() {
    let mut world = World::new();

    world.report("c", &[("n1", 100_000), ("n2", 1000)]);
    world.report("a", &[("n3", 100_000), ("n9", 1000)]);

    assert!(!world.mesh.weighs());
}
