//! A history of control sessions: three nodes say anything, in any order, and the controller's state holds.
//!
//! Each step is a byte (which node, and what it does) and for what is said a length of two bytes and a payload. After
//! each step the nodes that have a session take their turns, as a controller does for them. What a node is pushed by
//! difference must be what it is pushed as a whole; what is pushed must compile.

use std::collections::BTreeMap;
use std::time::Duration;

use sinew_api::control::{Register, Reject, Report};
use sinew_api::hosting::Serving;
use sinew_api::snapshot::{DefaultPolicy, WEIGHT_MAX};
use sinew_api::{Snapshot, delta};
use sinew_controller_core::{Mesh, SessionEnd, SessionId, Turn};
use sinew_node_core::View;
use sinew_transport_core::wire::{self, Message};
use sinew_transport_core::{NodeName, Revision};

use crate::control::{SESSION_IP, granted};
use crate::wire::node;

/// More steps say nothing new and cost time.
const STEPS_MAX: usize = 64;

struct World {
    mesh: Mesh,
    names: [NodeName; 3],
    sessions: BTreeMap<NodeName, SessionId>,
    held: BTreeMap<NodeName, Snapshot>,
    now: Duration,
}

/// A whole history; taken when at least one node registered.
pub fn session(mut bytes: &[u8]) -> bool {
    let names = ["n1", "n2", "n3"].map(node);
    let grants = names.iter().map(|name| (name.clone(), granted())).collect();
    let mesh = Mesh::new(DefaultPolicy::Allow, Revision(0), grants);
    let (sessions, held) = Default::default();
    let mut world = World { mesh, names, sessions, held, now: Duration::ZERO };
    let mut registered = false;
    for _ in 0..STEPS_MAX {
        let Some((step, rest)) = bytes.split_first() else { break };
        let Some((len, rest)) = rest.split_first_chunk::<2>() else { break };
        let (payload, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        bytes = rest;
        let before = world.mesh.revision();
        registered |= world.step(*step, payload);
        assert!(world.mesh.revision() >= before, "revisions never go back");
        world.turns();
        assert!(!world.turns(), "a second turn without a change pushes nothing");
    }
    registered
}

impl World {
    fn step(&mut self, step: u8, payload: &[u8]) -> bool {
        let name = self.names[usize::from(step >> 4) % self.names.len()].clone();
        let session = self.sessions.get(&name).copied();
        match (step & 15, session) {
            (0, _) => return said(payload).is_some_and(|register| self.register(&name, register)),
            (1, Some(session)) => {
                if let Some(serving) = said::<Serving>(payload) {
                    let before = self.all();
                    if self.mesh.on_serving(&name, session, serving).is_err() {
                        assert_eq!(self.all(), before, "what is refused changes nothing");
                    }
                }
            }
            (2, Some(session)) => {
                if let Some(report) = said::<Report>(payload) {
                    assert!(self.mesh.on_report(0, &name, session, report));
                }
            }
            (3, Some(session)) => {
                if let Some(reject) = said::<Reject>(payload) {
                    self.mesh.on_reject(&name, session, reject);
                }
            }
            (4, Some(session)) => {
                self.sessions.remove(&name);
                let end = if payload.is_empty() { SessionEnd::Lost } else { SessionEnd::Closed };
                self.mesh.on_session_end(self.now, &name, session, end);
            }
            (5, _) => {
                self.now += Duration::from_secs(u64::from(payload.first().copied().unwrap_or(1)));
                self.mesh.handle_timeout(self.now);
            }
            _ => {}
        }
        false
    }

    fn register(&mut self, name: &NodeName, register: Register) -> bool {
        // What a node says it has, it has.
        let have = self.held.get(name).map(|held| held.revision).filter(|_| register.have.is_some());
        let Ok(registered) = self.mesh.register(name, Register { have, ..register }, SESSION_IP) else {
            return false;
        };
        if have.is_none() {
            self.held.remove(name);
        }
        self.sessions.insert(name.clone(), registered.session);
        true
    }

    /// What each node would be told now.
    fn all(&self) -> [Option<Snapshot>; 3] {
        self.names.each_ref().map(|name| self.mesh.snapshot(name))
    }

    /// Every session takes its turn; whether one was pushed something.
    fn turns(&mut self) -> bool {
        let mut pushed = false;
        for (name, session) in self.sessions.clone() {
            match self.mesh.poll_turn(&name, session) {
                Turn::Rest => {}
                Turn::Leave(_) => drop(self.sessions.remove(&name)),
                Turn::Push(push) => {
                    pushed = true;
                    let whole = (*push.snapshot).clone();
                    if let Some(difference) = push.delta {
                        let held = &self.held[&name];
                        assert_eq!(delta::apply(held, difference).as_ref(), Ok(&whole));
                    }
                    View::compile(&name, whole.clone(), None).expect("what a controller sends is taken");
                    let mut weights = whole.services.iter().flat_map(|s| &s.endpoints).map(|e| e.weight);
                    assert!(weights.all(|weight| weight <= WEIGHT_MAX));
                    self.mesh.on_ack(&name, session, whole.revision);
                    self.held.insert(name, whole);
                }
            }
        }
        pushed
    }
}

fn said<M: Message>(payload: &[u8]) -> Option<M> {
    wire::decode(payload).ok()
}
