//! The mesh as the API shows it.
//!
//! A node that took the last snapshot that concerns it is shown at the mesh's revision, even when that is
//! higher: for this node nothing changed since. So "acknowledged equals revision" always reads "up to date".

use sinew_api::status::{API_VERSION, EndpointStatus, LinkStatus, NodeStatus, ServiceStatus, Status};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName, TrustDomain};

use super::Mesh;
use super::node::Node;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerer {
    /// The naming root.
    pub trust_domain: TrustDomain,
    /// The controller's name.
    pub controller: NodeName,
    /// Version of its program.
    pub version: String,
}

impl Mesh {
    /// Everything there is to see.
    #[must_use]
    pub fn status(&self, answerer: &Answerer) -> Status {
        Status {
            api_version: API_VERSION.to_owned(),
            trust_domain: answerer.trust_domain.clone(),
            controller: answerer.controller.clone(),
            version: answerer.version.clone(),
            revision: self.revision,
            nodes: self.nodes.iter().map(|(name, node)| self.node_status(name, node)).collect(),
            services: self.index.services().into_iter().map(|name| self.service_status(name)).collect(),
        }
    }

    fn node_status(&self, name: &NodeName, node: &Node) -> NodeStatus {
        NodeStatus {
            name: name.clone(),
            zone: node.registration.zone().cloned(),
            connected: node.session().is_some(),
            version: node.version.clone(),
            addresses: node.registration.addresses().to_vec(),
            granted: self.granted(name),
            certificate_expiry: node.certificate_expiry,
            certificate_issued: node.certificate_issued,
            clock_skew_ms: node.clock_skew_ms,
            copy_at: node.copy_at,
            acknowledged: self.acknowledged(node),
            rejected: node.rejected.clone(),
            links: node
                .links
                .iter()
                .map(|link| LinkStatus { node: link.node.clone(), state: link.state, rtt_us: link.rtt_us })
                .collect(),
        }
    }

    /// Whether a node acknowledged the last change that concerns it.
    #[must_use]
    pub fn is_up_to_date(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|node| node.acknowledged >= node.concerned)
    }

    fn acknowledged(&self, node: &Node) -> Revision {
        let took_all = node.acknowledged >= node.concerned;
        if took_all { self.revision } else { node.acknowledged }
    }

    fn service_status(&self, name: &ServiceName) -> ServiceStatus {
        let endpoints = self.index.endpoints(name).filter_map(|id| Some((id, self.hosted(id)?)));
        ServiceStatus {
            name: name.clone(),
            endpoints: endpoints
                .map(|(id, hosted)| EndpointStatus {
                    node: id.node.clone(),
                    slot: id.slot,
                    labels: hosted.labels.clone(),
                    capacity: hosted.capacity,
                    health: hosted.health,
                })
                .collect(),
            callers: self.index.callers(name).cloned().collect(),
        }
    }

    /// How many nodes have a session now.
    #[must_use]
    pub fn connected_count(&self) -> usize {
        self.nodes.values().filter(|node| node.session().is_some()).count()
    }
}
