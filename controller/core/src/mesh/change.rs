//! Changes: which nodes each concerns, and one revision more.

use std::collections::BTreeSet;

use sinew_api::hosting::Health;
use sinew_api::snapshot::Labels;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};

use super::index::Index;
use super::node::Node;
use super::weigh::services_of;
use super::{Mesh, SessionId};
use crate::registration::Registration;

/// The largest mesh whose index is compared with its nodes after each change in debug builds: the
/// comparison walks over everything.
const CHECKED_NODES: usize = 32;

impl Mesh {
    /// Puts a node in place of what it was, and says which session that had.
    /// The new one may `have` in use what the old one acknowledged.
    pub(super) fn insert(
        &mut self,
        name: &NodeName,
        mut new: Node,
        have: Option<Revision>,
    ) -> Option<SessionId> {
        let mut old = self.nodes.remove(name);
        if let Some(old) = &mut old {
            new.rollout = std::mem::take(&mut old.rollout).resumed(have);
            new.acknowledged = new.rollout.held();
        }
        let supersedes = old.as_ref().and_then(Node::session);
        match old {
            Some(old) if old.registration == new.registration => {
                new.concerned = old.concerned;
                self.nodes.insert(name.clone(), new);
            }
            old => {
                let services = services_of(old.iter().chain([&new]).map(|node| &node.registration));
                let mut concerned = match &old {
                    Some(old) => self.between(name, &old.registration, &new.registration),
                    None => self.index.around(name, &new.registration),
                };
                if let Some(old) = old {
                    self.index.remove(name, &old.registration);
                }
                self.index.insert(name, &new.registration);
                self.nodes.insert(name.clone(), new);
                self.unsaved.insert(name.clone());
                concerned.append(&mut self.fill_weights(services));
                self.on_change(concerned);
            }
        }
        self.check_invariants();
        supersedes
    }

    /// Takes a node out, and lets those around it hear of that.
    pub(super) fn remove(&mut self, name: &NodeName) {
        if let Some(old) = self.nodes.get(name) {
            let mut concerned = self.index.around(name, &old.registration);
            concerned.append(&mut self.take_out(name));
            self.on_change(concerned);
            self.check_invariants();
        }
    }

    /// Takes a node out; whose weights are others now.
    pub(super) fn take_out(&mut self, name: &NodeName) -> BTreeSet<NodeName> {
        let Some(old) = self.nodes.remove(name) else { return BTreeSet::new() };
        self.index.remove(name, &old.registration);
        self.unsaved.insert(name.clone());
        self.weights.forget(name);
        self.fill_weights(services_of([&old.registration]))
    }

    /// One revision more, and its mark on those of these nodes that are registered.
    pub(super) fn on_change(&mut self, concerned: BTreeSet<NodeName>) {
        if let Some(holding) = &mut self.holding {
            holding.changed = true;
            holding.concerned.extend(concerned);
            return;
        }
        self.revision = Revision(self.revision.0 + 1);
        for name in concerned {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.concerned = self.revision;
            }
        }
    }

    /// Marks a node as concerned by a revision that is in force already.
    pub(super) fn concern(&mut self, name: &NodeName, revision: Revision) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.concerned = node.concerned.max(revision);
        }
    }

    /// The nodes that a change of one node's registration concerns; the index still holds the old one.
    /// Where the node is and how it is reached concerns all around it; beyond that, an endpoint concerns
    /// its service's callers, and a listener the hosts of the service it leads to.
    pub(super) fn between(
        &self,
        name: &NodeName,
        old: &Registration,
        new: &Registration,
    ) -> BTreeSet<NodeName> {
        if (old.addresses(), old.zone()) != (new.addresses(), new.zone()) {
            let mut around = self.index.around(name, old);
            around.append(&mut self.index.around(name, new));
            return around;
        }
        let (was, is) = (endpoints(old), endpoints(new));
        let services: BTreeSet<_> = was.symmetric_difference(&is).map(|(service, ..)| *service).collect();
        let callers = services.into_iter().flat_map(|service| self.index.callers(service));
        let (was, is) = (old.called(), new.called());
        let hosts = was.symmetric_difference(&is).flat_map(|service| self.index.endpoints(service));
        callers.chain(hosts.map(|endpoint| &endpoint.node)).chain([name]).cloned().collect()
    }

    /// In debug builds: the index says the same as the nodes, and every mark is a known revision.
    pub(super) fn check_invariants(&self) {
        if cfg!(debug_assertions) && self.nodes.len() <= CHECKED_NODES {
            let mut index = Index::default();
            for (name, node) in &self.nodes {
                index.insert(name, &node.registration);
                assert!(node.concerned <= self.revision, "a mark beyond the newest revision");
                assert!(node.acknowledged <= self.revision, "an acknowledgement of the future");
            }
            assert_eq!(index, self.index, "the index strayed from the nodes");
        }
    }
}

/// What callers see of a node's endpoints.
pub(super) fn endpoints(registration: &Registration) -> BTreeSet<(&ServiceName, u16, &Labels, u32)> {
    let up = registration.serves().iter().filter(|(_, hosted)| hosted.health == Health::Up);
    up.map(|(slot, hosted)| (&hosted.service, *slot, &hosted.labels, hosted.capacity)).collect()
}
