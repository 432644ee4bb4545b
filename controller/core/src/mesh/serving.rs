//! Endpoints that come, change or go while their node's session lives.
//!
//! Only the callers of the services whose endpoints changed, as callers see them, must hear of it; an endpoint
//! that was down and now drains concerns nobody. What a node may not say changes nothing and ends its session with
//! the reason, like a wrong registration: it would otherwise believe that it is called.

use std::collections::BTreeSet;

use sinew_api::hosting::Serving;
use sinew_transport_core::ids::NodeName;

use super::change::endpoints;
use super::weigh::services_of;
use super::{Mesh, SessionId};
use crate::registration::Mistake;

impl Mesh {
    /// Takes a node's word about what it hosts. `Ok(true)` when a caller must hear of it; `Ok(false)` also when it
    /// is old news, or the session is not the node's.
    ///
    /// # Errors
    /// Every mistake in it; nothing has changed then.
    pub fn on_serving(
        &mut self,
        name: &NodeName,
        session: SessionId,
        serving: Serving,
    ) -> Result<bool, Vec<Mistake>> {
        let granted = self.grants_of(name).cloned().unwrap_or_default();
        let Some(node) = self.here(name, session) else { return Ok(false) };
        if serving.version <= node.registration.version() {
            return Ok(false);
        }
        let next = node.registration.serving(serving, name, &granted)?;
        let old = std::mem::replace(&mut node.registration, next.clone());
        let (was, is) = (endpoints(&old), endpoints(&next));
        let services: BTreeSet<_> = was.symmetric_difference(&is).map(|(service, ..)| *service).collect();
        self.index.remove(name, &old);
        self.index.insert(name, &next);
        self.unsaved.insert(name.clone());
        let callers = services.iter().flat_map(|service| self.index.callers(service)).cloned();
        let mut concerned: BTreeSet<NodeName> = callers.collect();
        // Whoever calls a service that this node hosts from now on, or no more, is its peer by that.
        let (hosted, hosts) = (old.hosted(), next.hosted());
        let moved: BTreeSet<_> = hosted.symmetric_difference(&hosts).copied().collect();
        concerned.extend(moved.iter().flat_map(|service| self.index.callers(service)).cloned());
        if !moved.is_empty() {
            concerned.insert(name.clone());
        }
        let told = !services.is_empty() || !moved.is_empty();
        if told {
            concerned.append(&mut self.fill_weights(services_of([&old, &next])));
            self.on_change(concerned);
        }
        self.check_invariants();
        Ok(told)
    }
}

#[cfg(test)]
mod tests;
