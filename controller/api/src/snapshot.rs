//! One node's whole configuration, holding only what that node needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName, Zone};
use utoipa::ToSchema;

use crate::hosting::HealthCheck;
use crate::schema::{Address, LabelsSchema};

/// Labels of an endpoint, e.g. `version = "v2"`.
pub type Labels = BTreeMap<String, String>;

/// The answer to a call that no rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// Callers with an identity and a granted source may call.
    #[default]
    Allow,
    /// Nobody may call.
    Deny,
}

/// What one node knows of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
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
    /// What the operator declared that this node hosts, beside its own configuration.
    pub assigned: Vec<Assigned>,
    /// The listeners that the operator declared for this node, beside its own configuration.
    pub listeners: Vec<AssignedListener>,
}

/// An endpoint that the operator declared for a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    /// The service.
    pub service: ServiceName,
    /// Where it listens on the node's machine.
    #[schema(value_type = Address)]
    pub address: SocketAddr,
    /// What splits and subsets go by.
    #[schema(value_type = LabelsSchema)]
    pub labels: Labels,
    /// How much it can take beside the others, as in [`crate::hosting::Serve`].
    pub capacity: u32,
    /// How the node finds out whether it answers.
    pub health: HealthCheck,
}

/// A listener that the operator declared for a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignedListener {
    /// The service that is called.
    pub service: ServiceName,
    /// The service for which the caller speaks; none: the node's only grant.
    pub source: Option<ServiceName>,
    /// The local socket.
    #[schema(value_type = Address)]
    pub address: SocketAddr,
}

/// A service and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
#[schema(as = ServiceInSnapshot)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its endpoints, sorted by node and slot.
    pub endpoints: Vec<Endpoint>,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
#[schema(as = EndpointInSnapshot)]
pub struct Endpoint {
    /// The hosting node.
    pub node: NodeName,
    /// The place on that node.
    pub slot: u16,
    /// What splits and subsets go by.
    #[schema(value_type = LabelsSchema)]
    pub labels: Labels,
    /// How many of this node's new connections it should get, beside the other endpoints of its service: 0 to
    /// [`WEIGHT_MAX`], the best one's. 0: only when no other can take them.
    pub weight: u16,
}

/// The weight of the endpoint that is best for a node; of all of them as long as nothing was measured.
pub const WEIGHT_MAX: u16 = 1000;

/// Another node, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// Its name; its certificate must carry it.
    pub node: NodeName,
    /// Where it is.
    pub zone: Option<Zone>,
    /// The data sockets: for each address a run of entries, of which entry *i* is where its shard *i* listens.
    #[schema(value_type = Vec<Address>)]
    pub addresses: Vec<SocketAddr>,
    /// The services that it may speak for.
    pub granted: Vec<ServiceName>,
    /// The version of what it hosts that this snapshot was made from ([`crate::hosting::Serving::version`]).
    pub serving: u64,
}
