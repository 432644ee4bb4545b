//! One node's whole configuration, holding only what that node needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName, Zone};

/// Labels of an endpoint, e.g. `version = "v2"`.
pub type Labels = BTreeMap<String, String>;

/// The answer to a call that no rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// Callers with an identity and a granted source may call.
    #[default]
    Allow,
    /// Nobody may call.
    Deny,
}

/// What one node knows of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Snapshot {
    /// The state of the mesh that this was made from.
    pub revision: Revision,
    /// The answer to a call that no rule decides.
    pub default: DefaultPolicy,
    /// The services that this node may host and speak for.
    pub granted: Vec<ServiceName>,
    /// The services that this node's listeners lead to, with all their endpoints.
    pub services: Vec<Service>,
    /// The nodes that host those endpoints or call this node's services.
    pub peers: Vec<Peer>,
}

/// A service and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its endpoints, sorted by node and slot.
    pub endpoints: Vec<Endpoint>,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Endpoint {
    /// The hosting node.
    pub node: NodeName,
    /// The place on that node.
    pub slot: u16,
    /// What splits and subsets go by.
    pub labels: Labels,
}

/// Another node, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Peer {
    /// Its name; its certificate must carry it.
    pub node: NodeName,
    /// Where it is.
    pub zone: Option<Zone>,
    /// The data sockets: entry *i* is where its shard *i* listens.
    pub addresses: Vec<SocketAddr>,
    /// The services that it may speak for.
    pub granted: Vec<ServiceName>,
}
