//! What a set of resources means for one node.

use std::collections::BTreeSet;

use sinew_api::hosting::{CAPACITY_DEFAULT, HealthCheck};
use sinew_api::resource::{Change, Endpoint, Resource, ResourceKey, Resources};
use sinew_api::snapshot::{Assigned, AssignedListener};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

/// What was declared about a node, ready for its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Where it is; none: as it says itself.
    pub zone: Option<Zone>,
    /// What it may host and speak for; none: as its token says.
    pub grants: Option<BTreeSet<ServiceName>>,
    /// What it hosts beside its own configuration, sorted.
    pub assigned: Vec<Assigned>,
    /// Its listeners beside those of its own configuration, sorted.
    pub listeners: Vec<AssignedListener>,
}

/// What was declared about a node. Endpoints have their node's labels below their own, and the health check of
/// their service below theirs.
#[must_use]
pub fn declared(resources: &Resources, name: &NodeName) -> Declared {
    let node = resources.node(name);
    let assign = |endpoint: &Endpoint| {
        let mut labels = node.map(|node| node.labels.clone()).unwrap_or_default();
        labels.extend(endpoint.labels.clone());
        let of_service =
            resources.service(&endpoint.service).map(|service| service.health).unwrap_or_default();
        Assigned {
            service: endpoint.service.clone(),
            address: endpoint.address,
            labels,
            capacity: endpoint.capacity.unwrap_or(CAPACITY_DEFAULT),
            health: endpoint.health.over(of_service.over(HealthCheck::default())),
        }
    };
    let mut assigned: Vec<_> = resources.endpoints_on(name).map(assign).collect();
    assigned.sort();
    let mut listeners: Vec<_> = resources
        .listeners_on(name)
        .map(|listener| AssignedListener {
            service: listener.service.clone(),
            source: listener.source.clone(),
            address: listener.address,
        })
        .collect();
    listeners.sort();
    Declared {
        zone: node.and_then(|node| node.zone.clone()),
        grants: node.and_then(|node| node.grants.clone()),
        assigned,
        listeners,
    }
}

/// The nodes for which something else is declared after a change than before. A change of [`ResourceKey::Mesh`]
/// concerns every node and adds none here.
#[must_use]
pub fn concerned(before: &Resources, after: &Resources, change: &Change) -> BTreeSet<NodeName> {
    let mut possible: BTreeSet<&NodeName> = change.keys().filter_map(ResourceKey::node).collect();
    let services: BTreeSet<&ServiceName> = change
        .keys()
        .filter_map(|key| match key {
            ResourceKey::Service(service) => Some(service),
            _ => None,
        })
        .collect();
    if !services.is_empty() {
        let endpoints = before.iter().chain(after.iter()).filter_map(|(_, resource)| match resource {
            Resource::Endpoint(endpoint) if services.contains(&endpoint.service) => Some(&endpoint.node),
            _ => None,
        });
        possible.extend(endpoints);
    }
    possible.into_iter().filter(|node| declared(before, node) != declared(after, node)).cloned().collect()
}
