//! What an operator declared, arranged by the node that it concerns.

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::hosting::{CAPACITY_DEFAULT, HealthCheck};
use sinew_api::resource::{Endpoint, Listener, Resources};
use sinew_api::snapshot::{Assigned, AssignedListener, DefaultPolicy};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

/// All resources, arranged by node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The answer to a call that no rule decides.
    pub(crate) default: Option<DefaultPolicy>,
    nodes: BTreeMap<NodeName, DeclaredNode>,
}

/// What was declared for one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeclaredNode {
    /// In place of what its token grants.
    pub(crate) grants: Option<BTreeSet<ServiceName>>,
    /// In place of what it says itself.
    pub(crate) zone: Option<Zone>,
    /// Endpoints beside its own, sorted.
    pub(crate) assigned: Vec<Assigned>,
    /// Listeners beside its own, sorted.
    pub(crate) listeners: Vec<AssignedListener>,
}

/// For whom nothing was declared.
static NOTHING: DeclaredNode =
    DeclaredNode { grants: None, zone: None, assigned: Vec::new(), listeners: Vec::new() };

impl Declared {
    /// Arranges a set of resources, which must be valid.
    #[must_use]
    pub fn new(resources: &Resources) -> Self {
        let default = resources.mesh().and_then(|mesh| mesh.default_policy);
        let mut this = Self { default, nodes: BTreeMap::new() };
        for node in resources.nodes() {
            let entry = this.nodes.entry(node.name.clone()).or_default();
            entry.grants.clone_from(&node.grants);
            entry.zone.clone_from(&node.zone);
        }
        for endpoint in resources.endpoints() {
            let assigned = assigned(endpoint, resources);
            this.nodes.entry(endpoint.node.clone()).or_default().assigned.push(assigned);
        }
        for listener in resources.listeners() {
            let Listener { node, address, service, source } = listener.clone();
            this.nodes.entry(node).or_default().listeners.push(AssignedListener { service, source, address });
        }
        for node in this.nodes.values_mut() {
            node.assigned.sort();
            node.listeners.sort();
        }
        this
    }

    /// What was declared for a node.
    pub(crate) fn node(&self, name: &NodeName) -> &DeclaredNode {
        self.nodes.get(name).unwrap_or(&NOTHING)
    }

    /// Whether anything was declared for a node.
    pub(crate) fn is_about(&self, name: &NodeName) -> bool {
        self.nodes.contains_key(name)
    }

    /// The nodes for which another thing is declared here than there.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<NodeName> {
        let names = self.nodes.keys().chain(other.nodes.keys());
        names.filter(|name| self.node(name) != other.node(name)).cloned().collect()
    }
}

/// What an endpoint says, over what its node and its service say for all of theirs.
fn assigned(endpoint: &Endpoint, resources: &Resources) -> Assigned {
    let mut labels = resources.node(&endpoint.node).map(|node| node.labels.clone()).unwrap_or_default();
    labels.extend(endpoint.labels.clone());
    let service = resources.service(&endpoint.service);
    let otherwise = service.map_or_else(HealthCheck::default, |s| s.health.over(HealthCheck::default()));
    Assigned {
        service: endpoint.service.clone(),
        address: endpoint.address,
        labels,
        capacity: endpoint.capacity.unwrap_or(CAPACITY_DEFAULT),
        health: endpoint.health.over(otherwise),
    }
}

#[cfg(test)]
mod tests;
