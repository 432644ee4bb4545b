//! The state of the mesh: who is granted what, who hosts and calls what, who is here.
//!
//! **The rule:** every change that a node must hear of makes one revision more and marks exactly the
//! nodes that it concerns; a change that nobody must hear of (an identical registration, a report) does
//! neither. A session asks [`Mesh::poll_turn`] after each change and each answer of its node, and is told
//! to rest, to push what changed up to this moment, or to leave. So nothing is queued for a slow node, and the
//! newest state wins.
//!
//! **Sessions:** the newest session with one identity wins; the older finds out at its next turn. When a
//! session is closed its endpoints go at once. When it is lost they stay for [`FORGET_AFTER`], because
//! agents find dead peers by themselves and a short loss of the session must not disturb traffic.
//!
//! **After a restart** the mesh is what it was: whoever keeps it saves every registration
//! ([`Mesh::take_unsaved`]) and brings them back ([`Mesh::restore`]) as sessions that were lost at that moment. So
//! no node gets a snapshot that forgets the others, and nobody waits.
//!
//! Whoever holds a `Mesh` calls [`Mesh::handle_timeout`] at [`Mesh::poll_timeout`].

mod change;
mod declare;
mod index;
mod node;
mod restore;
mod rollout;
mod serving;
mod status;
mod view;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sinew_api::control::Register;
use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use sinew_transport_core::runs::Runs;

use crate::declared::Declared;
use crate::registration::{Mistake, Registration};
use crate::weights::Weights;
use declare::Holding;
use index::Index;
use node::{Node, Presence};

pub use rollout::{Push, Turn};
pub use status::Answerer;

/// How long the endpoints of a lost session stay. Longer than a controller's restart or a node's
/// back-off, shorter than anyone waits before asking why a dead node is still listed.
pub const FORGET_AFTER: Duration = Duration::from_secs(30);

/// The most nodes that may join one mesh: what snapshots of 8 MiB and pushes in a second are good for.
pub const MAX_NODES: usize = 10_000;

/// The state of the mesh. See the module's text.
#[derive(Debug)]
pub struct Mesh {
    default: DefaultPolicy,
    revision: Revision,
    grants: BTreeMap<NodeName, BTreeSet<ServiceName>>,
    nodes: BTreeMap<NodeName, Node>,
    index: Index,
    weights: Weights,
    /// When weights are made next.
    weigh_at: Duration,
    sessions: u64,
    /// Nodes whose registration was changed since it was last asked for.
    unsaved: BTreeSet<NodeName>,
    declared: Declared,
    /// Nodes for which something was declared that were not registered then, until they are.
    awaited: BTreeMap<NodeName, Revision>,
    /// A declaration on its way to the disk.
    holding: Option<Holding>,
}

/// One control session, among all that there ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(u64);

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// The node closed it: it stops.
    Closed,
    /// It broke or fell silent; the node may well be alive.
    Lost,
}

/// A registration that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The session's number from now on.
    pub session: SessionId,
    /// The session that this one takes over from.
    pub supersedes: Option<SessionId>,
    /// Whether that session was another run of the program.
    pub another_run: bool,
    /// What the node is granted.
    pub granted: Vec<ServiceName>,
}

impl Mesh {
    /// A mesh in which nobody is here yet. `revision` is the last that was ever handed out, `grants` what
    /// earlier runs granted.
    #[must_use]
    pub fn new(
        default: DefaultPolicy,
        revision: Revision,
        grants: BTreeMap<NodeName, BTreeSet<ServiceName>>,
    ) -> Self {
        Self {
            default,
            revision,
            grants,
            nodes: BTreeMap::new(),
            index: Index::default(),
            weights: Weights::default(),
            weigh_at: Duration::ZERO,
            sessions: 0,
            unsaved: BTreeSet::new(),
            declared: Declared::default(),
            awaited: BTreeMap::new(),
            holding: None,
        }
    }

    /// The state's number.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many nodes are registered, those included whose session was lost a moment ago.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// What every node is granted by its token, for whoever keeps it.
    #[must_use]
    pub fn grants(&self) -> &BTreeMap<NodeName, BTreeSet<ServiceName>> {
        &self.grants
    }

    /// Whether there is room for this node: it joined before, or the mesh is not full.
    #[must_use]
    pub fn has_room_for(&self, node: &NodeName) -> bool {
        self.grants.len() < MAX_NODES || self.grants.contains_key(node)
    }

    /// Grants services to a node by a token, in place of those of the token before; what is declared goes
    /// first. A registration that asks for more than that
    /// is dropped at once, and its session told at its next turn.
    pub fn grant(&mut self, node: &NodeName, services: BTreeSet<ServiceName>) {
        let before = self.grants_of(node).cloned();
        self.grants.insert(node.clone(), services);
        let concerned = self.regranted(node, before.as_ref());
        if !concerned.is_empty() {
            self.on_change(concerned);
            self.check_invariants();
        }
    }

    /// Takes a registration from a new session that speaks from `session_ip`. The node's older session,
    /// if there is one, is superseded. A wrong registration changes nothing, for the older session either.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn register(
        &mut self,
        name: &NodeName,
        register: Register,
        session_ip: IpAddr,
    ) -> Result<Registered, Vec<Mistake>> {
        let granted = self.grants_of(name).cloned().unwrap_or_default();
        let runs = self.runs_after(name, register.boot, session_ip)?;
        let (version, certificate_expiry) = (register.version.clone(), register.certificate_expiry);
        let have = register.have;
        let registration = Registration::check(register, name, &granted, session_ip)?;
        let registration = registration.declared(self.declared.node(name));

        self.sessions += 1;
        let session = SessionId(self.sessions);
        let here = self.nodes.get(name).filter(|node| node.session().is_some());
        let another_run = here.is_some_and(|node| node.runs.current() != runs.current());
        let copy_at = here.filter(|_| !another_run).and_then(|node| node.copy_at);
        let new = Node { copy_at, ..Node::new(session, registration, version, certificate_expiry, runs) };
        let supersedes = self.insert(name, new, have);
        if let Some(awaited) = self.awaited.remove(name) {
            self.concern(name, awaited);
        }
        Ok(Registered { session, supersedes, another_run, granted: granted.into_iter().collect() })
    }

    /// The runs of a node's program after this one, `boot`, has registered. A run that was superseded does not
    /// come back while the one that took over is here: else two would take turns for ever.
    fn runs_after(&mut self, name: &NodeName, boot: u64, from: IpAddr) -> Result<Runs, Vec<Mistake>> {
        let Some(node) = self.nodes.get_mut(name) else { return Ok(Runs::new(boot)) };
        if node.session().is_some() && node.runs.was_superseded(boot) {
            node.copy_at = Some(from);
            return Err(vec![Mistake::Superseded { node: name.clone() }]);
        }
        Ok(node.runs.clone().then(boot))
    }

    /// Tells that a session ended. Only the node's newest session matters.
    pub fn on_session_end(&mut self, now: Duration, name: &NodeName, session: SessionId, end: SessionEnd) {
        let Some(node) = self.here(name, session) else { return };
        match end {
            SessionEnd::Closed => self.remove(name),
            SessionEnd::Lost => node.presence = Presence::LostAt(now),
        }
    }

    /// When [`Mesh::handle_timeout`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let forget = self.nodes.values().filter_map(Node::forget_at).min();
        forget.into_iter().chain(self.weigh_at()).min()
    }

    /// Does what is due: forgets nodes that were lost too long ago, makes weights. True when
    /// sessions should ask for their turn.
    pub fn handle_timeout(&mut self, now: Duration) -> bool {
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        let gone: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, node)| due(node.forget_at()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            self.remove(name);
        }
        let weighed = due(self.weigh_at()) && self.weigh(now);
        weighed || !gone.is_empty()
    }

    fn here(&mut self, name: &NodeName, session: SessionId) -> Option<&mut Node> {
        self.nodes.get_mut(name).filter(|node| node.presence == Presence::Here(session))
    }
}

#[cfg(test)]
mod tests;
