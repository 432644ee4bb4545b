//! Endpoints that come and go within a session: who hears of it, and what is refused.

use std::collections::BTreeMap;

use sinew_api::control::{FarewellReason, Listen, Register};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{Revision, ServiceName};

use super::super::Turn;
use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn serve(slot: u16, name: &str, health: Health) -> Serve {
    Serve { service: service(name), slot, labels: BTreeMap::new(), capacity: CAPACITY_DEFAULT, health }
}

/// A mesh in which `host` has `orders` starting in slot 0, `caller` calls `orders`, and `other` calls `stock`.
struct Stage {
    mesh: Mesh,
    host: SessionId,
    sessions: Vec<(&'static str, SessionId)>,
}

impl Stage {
    fn set() -> Self {
        let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), BTreeMap::new());
        let mut up = |name: &str, serves: Vec<Serve>, calls: &[&str]| {
            mesh.grant(&node(name), ["web", "orders", "stock"].map(service).into());
            let listen = |name: &&str| Listen { service: service(name), source: Some(service("web")) };
            let register = Register {
                version: "0.1.0".into(),
                boot: 1,
                addresses: vec!["10.0.0.1:7410".parse().expect("valid")],
                zone: None,
                serves,
                serving: 100,
                listens: calls.iter().map(listen).collect(),
                certificate_expiry: 5000,
                have: None,
                ext: Vec::new(),
            };
            let ip = "10.0.0.1".parse().expect("valid");
            mesh.register(&node(name), register, ip).expect("granted").session
        };
        let host = up("host", vec![serve(0, "orders", Health::Starting)], &[]);
        let sessions = vec![
            ("host", host),
            ("caller", up("caller", vec![], &["orders"])),
            ("other", up("other", vec![], &["stock"])),
        ];
        let mut stage = Self { mesh, host, sessions };
        stage.told();
        stage
    }

    fn says(&mut self, version: u64, changes: &[(u16, Option<Serve>)]) -> Result<bool, Vec<Mistake>> {
        let serving = Serving { version, whole: false, changes: changes.to_vec() };
        self.mesh.on_serving(&node("host"), self.host, serving)
    }

    /// The nodes that are sent something now, which they acknowledge.
    fn told(&mut self) -> Vec<&'static str> {
        let mut told = Vec::new();
        for (name, session) in self.sessions.clone() {
            if let Turn::Push(push) = self.mesh.poll_turn(&node(name), session) {
                assert!(self.mesh.on_ack(&node(name), session, push.snapshot.revision));
                told.push(name);
            }
        }
        told
    }

    fn endpoints(&self) -> usize {
        self.mesh.snapshot(&node("caller")).expect("registered").services[0].endpoints.len()
    }
}

#[test]
fn an_endpoint_that_comes_up_or_goes_concerns_its_callers_and_nobody_else() {
    let mut stage = Stage::set();
    assert_eq!(stage.endpoints(), 0, "it is not up yet");

    assert_eq!(stage.says(101, &[(0, Some(serve(0, "orders", Health::Up)))]), Ok(true));
    assert_eq!((stage.told(), stage.endpoints()), (vec!["caller"], 1));

    for health in [Health::Draining, Health::Up, Health::Down] {
        let version = stage.mesh.nodes[&node("host")].registration.version() + 1;
        assert_eq!(stage.says(version, &[(0, Some(serve(0, "orders", health)))]), Ok(true));
        assert_eq!((stage.told(), stage.endpoints()), (vec!["caller"], usize::from(health == Health::Up)));
    }
}

#[test]
fn what_no_caller_can_see_makes_no_revision() {
    let mut stage = Stage::set();
    let before = stage.mesh.revision();

    assert_eq!(stage.says(101, &[(0, Some(serve(0, "orders", Health::Down)))]), Ok(false));

    assert_eq!((stage.mesh.revision(), stage.told()), (before, vec![]));
    assert_eq!(stage.mesh.nodes[&node("host")].registration.version(), 101);
}

#[test]
fn old_news_and_the_word_of_an_older_session_change_nothing() {
    let mut stage = Stage::set();

    assert_eq!(stage.says(100, &[(0, Some(serve(0, "orders", Health::Up)))]), Ok(false));
    stage.host = SessionId(99);
    assert_eq!(stage.says(200, &[(0, Some(serve(0, "orders", Health::Up)))]), Ok(false));

    assert_eq!(stage.endpoints(), 0);
}

#[test]
fn a_service_that_the_node_did_not_host_before_makes_it_a_peer_of_its_callers() {
    let mut stage = Stage::set();

    assert_eq!(stage.says(101, &[(1, Some(serve(1, "stock", Health::Up)))]), Ok(true));

    assert_eq!(stage.told(), ["host", "other"]);
    assert_eq!(stage.mesh.snapshot(&node("other")).expect("registered").peers[0].serving, 101);
    assert_eq!(stage.says(102, &[(1, None)]), Ok(true));
    assert_eq!(stage.told(), ["host", "other"]);
    assert!(stage.mesh.snapshot(&node("other")).expect("registered").peers.is_empty());
}

#[test]
fn what_is_not_in_a_whole_word_is_gone() {
    let mut stage = Stage::set();
    let serving = |version, changes| Serving { version, whole: true, changes };

    let up = serving(101, vec![(7, Some(serve(7, "orders", Health::Up)))]);
    stage.mesh.on_serving(&node("host"), stage.host, up).expect("granted");

    let slots: Vec<_> = stage.mesh.nodes[&node("host")].registration.serves().keys().copied().collect();
    assert_eq!(slots, [7]);
}

#[test]
fn what_was_not_granted_is_refused_with_its_reason_and_changes_nothing() {
    let mut stage = Stage::set();

    let refused = stage
        .says(101, &[(0, Some(serve(0, "orders", Health::Up))), (1, Some(serve(1, "secret", Health::Up)))]);

    let mistakes = refused.expect_err("not granted");
    assert_eq!(mistakes[0].reason(), FarewellReason::NotGranted);
    assert!(mistakes[0].to_string().contains("sinew deregister secret"), "{}", mistakes[0]);
    assert_eq!((stage.endpoints(), stage.told()), (0, vec![]));
}

#[test]
fn more_than_a_node_may_host_is_refused() {
    let mut stage = Stage::set();
    let many: Vec<_> = (0..1001).map(|slot| (slot, Some(serve(slot, "orders", Health::Up)))).collect();

    let mistakes = stage.says(101, &many).expect_err("too many");

    assert_eq!(mistakes[0].reason(), FarewellReason::Invalid);
}
