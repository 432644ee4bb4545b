//! What an operator declared comes into force.
//!
//! What is declared must be on disk before any node is told, and disks are slow. So it goes in two steps:
//! [`Mesh::begin_declaring`] says which revision it will be; until [`Mesh::declare`] or [`Mesh::abandon`] no node is
//! told anything, and what changes meanwhile joins the same revision.

use std::collections::BTreeSet;

use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};

use super::Mesh;
use super::weigh::services_of;
use crate::declared::Declared;

/// A change that waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// Whom other changes concern that came meanwhile.
    pub(super) concerned: BTreeSet<NodeName>,
    /// Whether there were any.
    pub(super) changed: bool,
}

impl Mesh {
    /// Says the revision from which the next declaration will be in force.
    pub fn begin_declaring(&mut self) -> Revision {
        self.holding.get_or_insert_default();
        Revision(self.revision.0 + 1)
    }

    /// Takes another answer to calls that no rule decides, unless a declaration has one.
    pub fn set_default(&mut self, default: DefaultPolicy) {
        let before = std::mem::replace(&mut self.default, default);
        if before != default && self.declared.default.is_none() {
            self.on_change(self.nodes.keys().cloned().collect());
        }
    }

    /// Puts a declaration into force, in place of the one before: the revision that
    /// [`Mesh::begin_declaring`] said.
    pub fn declare(&mut self, declared: Declared) -> Revision {
        let held = self.holding.take().unwrap_or_default();
        let old = std::mem::replace(&mut self.declared, declared);
        let mut concerned = held.concerned;
        if old.default != self.declared.default {
            concerned.extend(self.nodes.keys().cloned());
        }
        let differ = old.differences(&self.declared);
        for name in &differ {
            concerned.append(&mut self.redeclare(name, &old));
        }
        self.on_change(concerned);
        let absent = differ.into_iter().filter(|name| !self.nodes.contains_key(name));
        self.awaited.extend(absent.map(|name| (name, self.revision)).collect::<Vec<_>>());
        self.awaited.retain(|name, _| self.declared.is_about(name));
        self.check_invariants();
        self.revision
    }

    /// Gives a declaration up that could not be kept. Its revision is never used: part of it may be on disk.
    pub fn abandon(&mut self) {
        if let Some(held) = self.holding.take() {
            self.revision = Revision(self.revision.0 + 1);
            if held.changed {
                self.on_change(held.concerned);
            }
        }
    }

    /// Lets one node's declaration take effect, and says whom that concerns.
    fn redeclare(&mut self, name: &NodeName, old: &Declared) -> BTreeSet<NodeName> {
        let Some(node) = self.nodes.get(name) else { return BTreeSet::new() };
        let registration = node.registration.clone().declared(self.declared.node(name));
        let mut concerned = self.between(name, &node.registration, &registration);
        let services = services_of([&node.registration, &registration]);
        self.index.remove(name, &node.registration);
        self.index.insert(name, &registration);
        if let Some(node) = self.nodes.get_mut(name) {
            node.registration = registration;
        }
        concerned.append(&mut self.fill_weights(services));
        let before = old.node(name).grants.as_ref().or(self.grants.get(name)).cloned();
        concerned.append(&mut self.regranted(name, before.as_ref()));
        concerned
    }

    /// What a node is granted: as declared, or else by its token.
    pub(super) fn grants_of(&self, name: &NodeName) -> Option<&BTreeSet<ServiceName>> {
        self.declared.node(name).grants.as_ref().or(self.grants.get(name))
    }

    /// Lets other grants than `before` take effect: whom that concerns. A registration that asks for more than
    /// is granted now is dropped, and its session told at its next turn.
    pub(super) fn regranted(
        &mut self,
        name: &NodeName,
        before: Option<&BTreeSet<ServiceName>>,
    ) -> BTreeSet<NodeName> {
        let now = self.grants_of(name).cloned();
        if now.as_ref() == before {
            return BTreeSet::new();
        }
        let Some(node) = self.nodes.get(name) else { return BTreeSet::new() };
        let mut concerned = self.index.around(name, &node.registration);
        if !node.registration.ungranted(name, &now.unwrap_or_default()).is_empty() {
            concerned.append(&mut self.take_out(name));
        }
        concerned
    }
}

#[cfg(test)]
mod tests;
