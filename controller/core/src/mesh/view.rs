//! What one node needs to know, and nothing else.

use sinew_api::Snapshot;
use sinew_api::hosting::Health;
use sinew_api::snapshot::{Endpoint, Peer, Service};
use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};

use super::Mesh;
use crate::registration::Hosted;

impl Mesh {
    /// A node's whole configuration: the services of its listeners with all their endpoints, the nodes
    /// that host those or call what it hosts, and its own grants. None when it is not registered.
    #[must_use]
    pub fn snapshot(&self, name: &NodeName) -> Option<Snapshot> {
        let registration = &self.nodes.get(name)?.registration;
        let services = registration.called().into_iter().map(|service| self.service(service, name)).collect();
        let peers = self.index.around(name, registration);
        let declared = self.declared.node(name);
        Some(Snapshot {
            revision: self.revision,
            default: self.declared.default.unwrap_or(self.default),
            granted: self.granted(name),
            services,
            peers: peers.iter().filter(|peer| *peer != name).filter_map(|peer| self.peer(peer)).collect(),
            assigned: declared.assigned.clone(),
            listeners: declared.listeners.clone(),
        })
    }

    /// What a node is granted, sorted.
    pub(super) fn granted(&self, name: &NodeName) -> Vec<ServiceName> {
        self.grants_of(name).into_iter().flatten().cloned().collect()
    }

    fn service(&self, name: &ServiceName, caller: &NodeName) -> Service {
        let endpoints = self.index.endpoints(name).filter_map(|id| self.endpoint(id, caller)).collect();
        Service { name: name.clone(), endpoints }
    }

    /// An endpoint as one caller sees it; none when it takes no new connections.
    fn endpoint(&self, id: &EndpointId, caller: &NodeName) -> Option<Endpoint> {
        let hosted = self.hosted_up(id)?;
        Some(Endpoint {
            node: id.node.clone(),
            slot: id.slot,
            labels: hosted.labels.clone(),
            weight: self.weights.told(&hosted.service, caller, id),
        })
    }

    /// What stands in a node's slot.
    pub(super) fn hosted(&self, id: &EndpointId) -> Option<&Hosted> {
        self.nodes.get(&id.node)?.registration.serves().get(&id.slot)
    }

    /// The same, when it takes new connections.
    pub(super) fn hosted_up(&self, id: &EndpointId) -> Option<&Hosted> {
        self.hosted(id).filter(|hosted| hosted.health == Health::Up)
    }

    fn peer(&self, name: &NodeName) -> Option<Peer> {
        let registration = &self.nodes.get(name)?.registration;
        Some(Peer {
            node: name.clone(),
            zone: registration.zone().cloned(),
            addresses: registration.addresses().to_vec(),
            granted: self.granted(name),
            serving: registration.version(),
        })
    }
}
