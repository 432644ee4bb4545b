//! Over a restart of the controller: registrations are saved as they change, and brought back as they were.
//!
//! A node that is brought back counts as lost at the moment of the restart: it has [`super::FORGET_AFTER`] to come
//! back, and until then its endpoints stay where they were. Agents find out by themselves which of them live.

use std::collections::BTreeMap;
use std::time::Duration;

use sinew_transport_core::ids::NodeName;

use super::node::{Node, Presence};
use super::{Mesh, SessionId};
use crate::registration::Registration;
use sinew_transport_core::runs::Runs;

impl Mesh {
    /// Brings registrations back that an earlier run saved, once grants and declarations are there. One that
    /// asks for more than is granted now is not.
    pub fn restore(&mut self, now: Duration, saved: BTreeMap<NodeName, Registration>) {
        for (name, registration) in saved {
            let granted = self.grants_of(&name).cloned().unwrap_or_default();
            if registration.ungranted(&name, &granted).is_empty() {
                let registration = registration.declared(self.declared.node(&name));
                let mut node = Node::new(SessionId(0), registration, String::new(), 0, Runs::new(0));
                node.presence = Presence::LostAt(now);
                self.insert(&name, node, None);
            }
        }
        self.unsaved.clear();
    }

    /// Whether a registration was changed since it was last saved.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// The registrations that were changed since they were last asked for; none: the node is gone.
    pub fn take_unsaved(&mut self) -> BTreeMap<NodeName, Option<Registration>> {
        let names = std::mem::take(&mut self.unsaved);
        let saved = |name: &NodeName| self.nodes.get(name).map(|node| node.registration.clone());
        names.into_iter().map(|name| (name.clone(), saved(&name))).collect()
    }

    /// Gives registrations back that could not be saved.
    pub fn still_unsaved(&mut self, names: impl IntoIterator<Item = NodeName>) {
        self.unsaved.extend(names);
    }
}

#[cfg(test)]
mod tests;
