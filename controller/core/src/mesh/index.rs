//! Who hosts and who calls each service: the way from a change to the nodes that it concerns, without a
//! walk over the whole mesh.

use std::collections::{BTreeMap, BTreeSet};

use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};

use crate::registration::Registration;

/// Both directions of "uses", by service. Empty sets are not kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    hosts: BTreeMap<ServiceName, BTreeSet<EndpointId>>,
    callers: BTreeMap<ServiceName, BTreeSet<NodeName>>,
}

impl Index {
    /// Enters what a node hosts and calls.
    pub(super) fn insert(&mut self, node: &NodeName, registration: &Registration) {
        for (slot, hosted) in registration.serves() {
            let endpoint = EndpointId { node: node.clone(), slot: *slot };
            self.hosts.entry(hosted.service.clone()).or_default().insert(endpoint);
        }
        for service in registration.called() {
            self.callers.entry(service.clone()).or_default().insert(node.clone());
        }
    }

    /// Takes out what [`Index::insert`] entered.
    pub(super) fn remove(&mut self, node: &NodeName, registration: &Registration) {
        for (slot, hosted) in registration.serves() {
            let endpoint = EndpointId { node: node.clone(), slot: *slot };
            remove_from(&mut self.hosts, &hosted.service, &endpoint);
        }
        for service in registration.called() {
            remove_from(&mut self.callers, service, node);
        }
    }

    /// The endpoints of a service, sorted by node and slot.
    pub(super) fn endpoints(&self, service: &ServiceName) -> impl Iterator<Item = &EndpointId> {
        self.hosts.get(service).into_iter().flatten()
    }

    /// The nodes with a listener for a service, sorted.
    pub(super) fn callers(&self, service: &ServiceName) -> impl Iterator<Item = &NodeName> {
        self.callers.get(service).into_iter().flatten()
    }

    /// Every service that is hosted or called, sorted.
    pub(super) fn services(&self) -> BTreeSet<&ServiceName> {
        self.hosts.keys().chain(self.callers.keys()).collect()
    }

    /// The nodes that this one shares a service with: those that call what it hosts, those that host
    /// what it calls, and itself.
    pub(super) fn around(&self, node: &NodeName, registration: &Registration) -> BTreeSet<NodeName> {
        let callers = registration.hosted().into_iter().flat_map(|service| self.callers(service));
        let hosts =
            registration.called().into_iter().flat_map(|service| self.endpoints(service)).map(|e| &e.node);
        callers.chain(hosts).chain([node]).cloned().collect()
    }
}

fn remove_from<T: Ord>(map: &mut BTreeMap<ServiceName, BTreeSet<T>>, service: &ServiceName, item: &T) {
    if let Some(set) = map.get_mut(service) {
        set.remove(item);
        if set.is_empty() {
            map.remove(service);
        }
    }
}
