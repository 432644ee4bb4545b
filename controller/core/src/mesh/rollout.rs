//! How one node is brought up to date: what it holds, what is on its way, what it answered.
//!
//! **The rule:** one push at a time. The next one starts from what the node has acknowledged, so a refused push
//! spoils nothing, and what changed meanwhile goes in one piece. A node that comes back and still holds what it
//! acknowledged last gets only the difference; any other gets the whole.

use std::sync::Arc;

use sinew_api::apply::{self, LagReason, Laggard};
use sinew_api::control::{FarewellReason, REJECT_BASE, Reject};
use sinew_api::status::API_VERSION;
use sinew_api::{Delta, Snapshot, delta};
use sinew_transport_core::ids::{NodeName, Revision};

use super::node::{Node, Presence};
use super::{Mesh, SessionId};

/// What a session should do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, until something changes or the node answers.
    Rest,
    /// Send this to the node, and tell [`Mesh::on_ack`] or [`Mesh::on_reject`] what it says.
    Push(Push),
    /// Tell the node why, and end.
    Leave(FarewellReason),
}

/// A snapshot on its way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The whole of it.
    pub snapshot: Arc<Snapshot>,
    /// The difference from what the node holds, if that is known: it is enough.
    pub delta: Option<Delta>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// What the node acknowledged last.
    held: Option<Arc<Snapshot>>,
    /// What it was sent, and has not answered yet.
    pushed: Option<Arc<Snapshot>>,
    /// The last push that it answered in this session; none: it must be sent something first.
    answered: Option<Revision>,
}

impl Rollout {
    /// For the node's next session, at whose beginning it says what it has in use.
    pub(super) fn resumed(self, have: Option<Revision>) -> Self {
        let held = self.held.filter(|held| have == Some(held.revision));
        let answered = held.as_ref().map(|held| held.revision);
        Self { held, pushed: None, answered }
    }

    /// What the node holds, for sure.
    pub(super) fn held(&self) -> Revision {
        self.held.as_ref().map(|held| held.revision).unwrap_or_default()
    }

    /// Whether the node should be sent what it must know since `concerned`.
    fn is_due(&self, concerned: Revision) -> bool {
        !self.awaits_answer() && self.answered.is_none_or(|answered| answered < concerned)
    }

    /// Whether a push is on its way.
    fn awaits_answer(&self) -> bool {
        self.pushed.is_some()
    }

    /// Sends a snapshot; none when the node holds the same already.
    fn push(&mut self, snapshot: Snapshot) -> Option<Push> {
        let delta = self.held.as_ref().map(|held| delta::diff(held, &snapshot));
        if delta.as_ref().is_some_and(Delta::is_empty) {
            self.answered = Some(snapshot.revision);
            return None;
        }
        let snapshot = Arc::new(snapshot);
        self.pushed = Some(Arc::clone(&snapshot));
        Some(Push { snapshot, delta })
    }

    /// The push of that revision is in use. False when there is no such.
    fn on_ack(&mut self, revision: Revision) -> bool {
        let Some(pushed) = self.pushed.take_if(|pushed| pushed.revision == revision) else { return false };
        self.held = Some(pushed);
        self.answered = Some(revision);
        true
    }

    /// The push of that revision was refused. False when there is no such.
    fn on_reject(&mut self, reject: &Reject) -> bool {
        if self.pushed.take_if(|pushed| pushed.revision == reject.revision).is_none() {
            return false;
        }
        self.answered = Some(reject.revision);
        if reject.name == REJECT_BASE {
            // It holds something else than we believed: the whole, at once.
            *self = Self::default();
        }
        true
    }
}

impl Mesh {
    /// Whether every node that a revision concerns has acknowledged it.
    #[must_use]
    pub fn is_rolled_out(&self, revision: Revision) -> bool {
        self.awaited.values().all(|since| *since != revision)
            && self.nodes.values().all(|node| node.concerned < revision || node.acknowledged >= revision)
    }

    /// How far a revision has got: the nodes that it concerns and that have not acknowledged it.
    #[must_use]
    pub fn rollout(&self, revision: Revision) -> apply::Rollout {
        let concerned = || self.nodes.iter().filter(|(_, node)| node.concerned >= revision);
        let awaited = || self.awaited.iter().filter(|(_, since)| **since == revision);
        let late = concerned().filter(|(_, node)| node.acknowledged < revision);
        let late = late.map(|(name, node)| laggard(name, node, revision));
        let away = awaited().map(|(name, _)| Laggard {
            node: name.clone(),
            why: LagReason::Away,
            detail: "it has not registered; is its agent running?".to_owned(),
        });
        apply::Rollout {
            api_version: API_VERSION.to_owned(),
            revision,
            concerned: concerned().count() + awaited().count(),
            laggards: late.chain(away).collect(),
        }
    }

    /// What this session should do next.
    #[must_use]
    pub fn poll_turn(&mut self, name: &NodeName, session: SessionId) -> Turn {
        let may_push = self.holding.is_none();
        let Some(node) = self.nodes.get(name) else {
            return Turn::Leave(FarewellReason::NotGranted);
        };
        if node.presence != Presence::Here(session) {
            return Turn::Leave(FarewellReason::Superseded);
        }
        if !may_push || !node.rollout.is_due(node.concerned) {
            return Turn::Rest;
        }
        let Some(snapshot) = self.snapshot(name) else { return Turn::Rest };
        let Some(node) = self.nodes.get_mut(name) else { return Turn::Rest };
        match node.rollout.push(snapshot) {
            Some(push) => Turn::Push(push),
            None => {
                node.acknowledged = node.acknowledged.max(node.concerned);
                Turn::Rest
            }
        }
    }

    /// Whether a push to a node is on its way: it was sent, and the node has not answered.
    #[must_use]
    pub fn awaits_answer(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.rollout.awaits_answer())
    }

    /// Takes a node's word that it uses a push. False when it is nobody's to say: the session is not the
    /// node's, or there was no such push.
    pub fn on_ack(&mut self, name: &NodeName, session: SessionId, revision: Revision) -> bool {
        let Some(node) = self.here(name, session) else { return false };
        let pushed = node.rollout.on_ack(revision);
        if pushed {
            node.on_ack(revision);
        }
        pushed
    }

    /// Takes a node's word that it refused a push. False as in [`Mesh::on_ack`].
    pub fn on_reject(&mut self, name: &NodeName, session: SessionId, reject: Reject) -> bool {
        let Some(node) = self.here(name, session) else { return false };
        let pushed = node.rollout.on_reject(&reject);
        if pushed && reject.name != REJECT_BASE {
            node.on_reject(reject);
        }
        pushed
    }
}

fn laggard(name: &NodeName, node: &Node, revision: Revision) -> Laggard {
    let refused = node.rejected.as_ref().filter(|rejected| rejected.revision >= revision);
    let (why, detail) = match (refused, node.session()) {
        (Some(rejected), _) => (
            LagReason::Rejected,
            format!("it refused revision {revision}: {}: {}", rejected.name, rejected.reason),
        ),
        (None, None) => {
            (LagReason::Away, "its session was lost; is it running, and can it reach us?".to_owned())
        }
        (None, Some(_)) => (LagReason::Busy, "it has not answered yet".to_owned()),
    };
    Laggard { node: name.clone(), why, detail }
}

#[cfg(test)]
mod tests;
