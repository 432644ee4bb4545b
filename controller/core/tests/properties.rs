//! What holds for every history of a mesh, not only for the ones that somebody thought of.
//!
//! A model as naive as possible (no index, no marks) says what each node must know; the mesh is compared
//! with it after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use sinew_api::control::{EndpointReport, LinkReport, LinkState, Listen, Register, Report};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::snapshot::DefaultPolicy;
use sinew_api::{Snapshot, delta};
use sinew_controller_core::{Mesh, SessionEnd, SessionId, Turn};
use sinew_transport_core::ids::{EndpointId, NodeName, Revision, ServiceName};

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NODES: u8 = 4;
const SERVICES: u8 = 4;

/// One thing that happens; numbers stand for names.
#[derive(Debug, Clone)]
enum Step {
    Register {
        node: u8,
        zone: Option<u8>,
        serves: Vec<(u8, u8)>,
        calls: Vec<u8>,
        keeps: bool,
    },
    End {
        node: u8,
        closed: bool,
    },
    Wait {
        seconds: u64,
    },
    Grant {
        node: u8,
        services: Vec<u8>,
    },
    /// A node tells of an endpoint, and a second passes.
    Report {
        node: u8,
        host: u8,
        slot: u8,
        latency_ms: u64,
        errors: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    let serves = prop::collection::vec((0..SERVICES, 0..2_u8), 0..3);
    let calls = prop::collection::vec(0..SERVICES, 0..3);
    prop_oneof![
        6 => (node.clone(), prop::option::of(0..2_u8), serves, calls, any::<bool>())
            .prop_map(|(node, zone, serves, calls, keeps)| Step::Register { node, zone, serves, calls, keeps }),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, closed)| Step::End { node, closed }),
        1 => (1..40_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (node.clone(), prop::collection::vec(0..SERVICES, 1..4))
            .prop_map(|(node, services)| Step::Grant { node, services }),
        4 => (node, 0..NODES, 0..2_u8, 0..500_u64, 0..3_u8)
            .prop_map(|(node, host, slot, latency_ms, errors)| Step::Report { node, host, slot, latency_ms, errors }),
    ]
}

fn node(number: u8) -> NodeName {
    NodeName::new(&format!("n{number}")).expect("valid")
}

fn service(number: u8) -> ServiceName {
    ServiceName::new(&format!("s{number}")).expect("valid")
}

fn register(zone: Option<u8>, serves: &[(u8, u8)], calls: &[u8], source: &ServiceName) -> Register {
    Register {
        version: String::new(),
        boot: 0,
        addresses: vec!["127.0.0.1:7410".parse().expect("valid")],
        zone: zone.map(|z| format!("z{z}").parse().expect("valid")),
        serves: serves
            .iter()
            .zip(0..)
            .map(|((number, label), slot)| Serve {
                service: service(*number),
                slot,
                labels: [("v".to_owned(), label.to_string())].into(),
                capacity: CAPACITY_DEFAULT,
                health: Health::Up,
            })
            .collect(),
        listens: calls
            .iter()
            .map(|number| Listen { service: service(*number), source: Some(source.clone()) })
            .collect(),
        serving: 0,
        certificate_expiry: 0,
        have: None,
        ext: Vec::new(),
    }
}

fn report(host: u8, slot: u8, service: Option<ServiceName>, latency_ms: u64, errors: u8) -> Report {
    let endpoint = |service| EndpointReport {
        service,
        endpoint: EndpointId { node: node(host), slot: slot.into() },
        latency_us: latency_ms * 1000,
        turns: 10,
        in_flight: 1,
        successes: 1,
        errors: errors.into(),
    };
    let link = LinkReport { node: node(host), state: LinkState::Up, rtt_us: 300, loss_ppm: 0 };
    Report {
        certificate_expiry: 0,
        certificate_issued: 0,
        clock_ms: 0,
        links: vec![link],
        endpoints: service.into_iter().map(endpoint).collect(),
        ext: Vec::new(),
    }
}

/// Services with their endpoints (node, slot, label), and peers.
type Needs = (Vec<(ServiceName, Vec<(NodeName, u16, String)>)>, BTreeSet<NodeName>);

/// The mesh, its sessions, what each node has in use, and the moment.
struct World {
    mesh: Mesh,
    sessions: BTreeMap<u8, SessionId>,
    registered: BTreeMap<u8, Register>,
    /// What each node was sent last; kept while its session lasts.
    held: BTreeMap<u8, Snapshot>,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let everything: BTreeSet<_> = (0..SERVICES).map(service).collect();
        let mut mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), BTreeMap::new());
        for number in 0..NODES {
            mesh.grant(&node(number), everything.clone());
        }
        Self {
            mesh,
            sessions: BTreeMap::new(),
            registered: BTreeMap::new(),
            held: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Register { node: number, zone, serves, calls, keeps } => {
                let source = self.mesh.grants()[&node(number)].first().cloned().expect("never empty");
                let have = self.held.get(&number).filter(|_| keeps).map(|held| held.revision);
                let register = Register { have, ..register(zone, &serves, &calls, &source) };
                if let Ok(registered) = self.mesh.register(&node(number), register.clone(), IP) {
                    self.sessions.insert(number, registered.session);
                    self.registered.insert(number, register);
                    self.held.retain(|n, _| *n != number || keeps);
                }
            }
            Step::End { node: number, closed } => {
                if let Some(session) = self.sessions.remove(&number) {
                    let end = if closed { SessionEnd::Closed } else { SessionEnd::Lost };
                    self.mesh.on_session_end(self.now, &node(number), session, end);
                }
            }
            Step::Wait { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.mesh.handle_timeout(self.now);
            }
            Step::Report { node: number, host, slot, latency_ms, errors } => {
                if let (Some(session), Some(hosting)) =
                    (self.sessions.get(&number), self.registered.get(&host))
                {
                    let service = hosting.serves.get(usize::from(slot)).map(|serve| serve.service.clone());
                    let report = report(host, slot, service, latency_ms, errors);
                    self.mesh.on_report(0, &node(number), *session, report);
                }
                self.now += Duration::from_secs(1);
                self.mesh.handle_timeout(self.now);
            }
            Step::Grant { node: number, services } => {
                self.mesh.grant(&node(number), services.into_iter().map(service).collect());
            }
        }
    }

    /// Every session takes its turn.
    fn turn(&mut self) -> usize {
        let mut pushes = 0;
        for (number, session) in self.sessions.clone() {
            match self.mesh.poll_turn(&node(number), session) {
                Turn::Rest => {}
                Turn::Push(push) => {
                    pushes += 1;
                    let now = match push.delta {
                        Some(delta) => delta::apply(&self.held[&number], delta).expect("it starts there"),
                        None => (*push.snapshot).clone(),
                    };
                    assert_eq!(now, *push.snapshot);
                    assert!(self.mesh.on_ack(&node(number), session, now.revision));
                    self.held.insert(number, now);
                }
                Turn::Leave(_) => {
                    self.sessions.remove(&number);
                }
            }
        }
        pushes
    }

    /// What a node must know, told from the registrations of all who are registered.
    fn expected(&self, number: u8) -> Needs {
        let here: BTreeMap<_, _> = self
            .registered
            .iter()
            .filter(|(n, _)| self.mesh.snapshot(&node(**n)).is_some())
            .map(|(n, register)| (node(*n), register))
            .collect();
        let me = here[&node(number)];
        let called: BTreeSet<_> = me.listens.iter().map(|l| l.service.clone()).collect();
        let hosted: BTreeSet<_> = me.serves.iter().map(|s| s.service.clone()).collect();
        let endpoints = |service: &ServiceName| {
            let at = here.iter().flat_map(|(n, register)| register.serves.iter().map(move |s| (n, s)));
            at.filter(|(_, s)| s.service == *service)
                .map(|(n, s)| (n.clone(), s.slot, s.labels["v"].clone()))
                .collect::<Vec<_>>()
        };
        let peers = here.iter().filter(|(n, register)| {
            **n != node(number)
                && (register.serves.iter().any(|s| called.contains(&s.service))
                    || register.listens.iter().any(|l| hosted.contains(&l.service)))
        });
        let peers = peers.map(|(n, _)| n.clone()).collect();
        (called.iter().map(|service| (service.clone(), endpoints(service))).collect(), peers)
    }
}

proptest! {
    #[test]
    fn whoever_took_its_turns_knows_what_it_needs_and_no_more(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            let before = world.mesh.revision();
            world.apply(step);
            prop_assert!(world.mesh.revision() >= before, "revisions never go back");
            world.turn();

            for number in world.sessions.keys() {
                let held = &world.held[number];
                // Apart from its number, what a node holds is what it would be sent now.
                let now = world.mesh.snapshot(&node(*number)).expect("registered");
                prop_assert_eq!(&Snapshot { revision: now.revision, ..held.clone() }, &now);
                let services: Vec<_> = now.services.into_iter().map(|s| {
                    let endpoints = s.endpoints.into_iter().map(|e| (e.node, e.slot, e.labels["v"].clone()));
                    (s.name, endpoints.collect::<Vec<_>>())
                }).collect();
                let peers = now.peers.into_iter().map(|p| p.node).collect();
                prop_assert_eq!((services, peers), world.expected(*number));
            }
            prop_assert_eq!(world.turn(), 0, "a second turn without a change pushes nothing");
        }
    }
}
