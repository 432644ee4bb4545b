//! What a node's admin listener shows and takes, on the node's own machine: versioned JSON, promised to scripts.
//!
//! `GET /v1/endpoints` answers [`NodeEndpoints`]; `GET /v1/links` answers [`NodeLinks`]; `POST /v1/register` takes [`Registering`] and answers
//! [`Registered`]; `POST /v1/deregister` takes [`Deregistering`] and answers [`Deregistered`]; `POST /v1/ping` takes
//! [`Pinging`] and answers [`Pinged`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};

use crate::control::LinkState;
use crate::hosting::Health;
use crate::snapshot::Labels;

/// The most labels of an endpoint, as controllers take them.
pub const LABELS_MAX: usize = 16;

/// The most that an endpoint may declare as its capacity: a million to one is no ratio that anybody measured.
pub const CAPACITY_MAX: u32 = 1_000_000;

/// Where an endpoint was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A `[[serve]]` entry of the node's configuration.
    Config,
    /// The operator's resources, by way of the controller.
    Assigned,
    /// `sinew register` on the node's machine.
    Registered,
}

/// An endpoint to be registered; one that was registered before is brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registering {
    /// The service.
    pub service: ServiceName,
    /// Where it listens on the node's machine.
    pub address: SocketAddr,
    /// What splits and subsets go by; at most [`LABELS_MAX`].
    #[serde(default)]
    pub labels: Labels,
    /// As in [`crate::hosting::Serve`]; none: [`crate::hosting::CAPACITY_DEFAULT`].
    #[serde(default)]
    pub capacity: Option<u32>,
}

/// The answer to [`Registering`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node.
    pub node: NodeName,
    /// The endpoint.
    pub endpoint: NodeEndpoint,
}

/// Endpoints to be taken out: those that were registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deregistering {
    /// The service.
    pub service: ServiceName,
    /// Where it listens; none: wherever it was registered.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Let what runs finish before it is gone from the table. Without it, it is gone at once; what runs is not cut
    /// off either way.
    #[serde(default)]
    pub drain: bool,
}

/// The answer to [`Deregistering`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deregistered {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node.
    pub node: NodeName,
    /// What is gone, or drains.
    pub endpoints: Vec<NodeEndpoint>,
}

/// How long an answer of another node is waited for unless [`Pinging`] says; in milliseconds.
pub const PING_TIMEOUT_MS: u32 = 1000;

/// The longest wait that [`Pinging`] may ask for: well below the time that a call of the admin listener has.
pub const PING_TIMEOUT_MS_MAX: u32 = 5000;

/// One echo to be asked of another node, over the link that this node has with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pinging {
    /// The other node.
    pub node: NodeName,
    /// How long its answer is waited for, in milliseconds: 1 to [`PING_TIMEOUT_MS_MAX`]; none: [`PING_TIMEOUT_MS`].
    #[serde(default)]
    pub timeout_ms: Option<u32>,
}

/// The answer to [`Pinging`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pinged {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node that asked.
    pub from: NodeName,
    /// The node that was asked.
    pub node: NodeName,
    /// Version of its program.
    pub version: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Which of the connections with it.
    pub lane: u16,
    /// From the question to the answer, in microseconds; none when there was no answer in time.
    pub round_trip_us: Option<u64>,
}

/// One node's way to its controller and to other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeLinks {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node.
    pub node: NodeName,
    /// Version of its program.
    pub version: String,
    /// The revision in use; none before the first snapshot.
    pub revision: Option<Revision>,
    /// Whether it is on its way out.
    pub draining: bool,
    /// Whether it has a control session.
    pub session: bool,
    /// The nodes that it knows, by name.
    pub peers: Vec<NodePeer>,
}

/// One node as another sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePeer {
    /// The peer.
    pub node: NodeName,
    /// How it is reached.
    pub state: LinkState,
    /// Whether a link is wanted: services are called there.
    pub wanted: bool,
    /// Version of its program; none without a link.
    pub version: Option<String>,
    /// Where it is: the link's other end, or where it would be dialled.
    pub address: Option<SocketAddr>,
    /// Smoothed round trip of its best link, in microseconds; none without a link.
    pub round_trip_us: Option<u64>,
    /// Why the last dial failed; empty when it did not.
    pub error: String,
}

/// Everything behind one node, and where its applications call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEndpoints {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node.
    pub node: NodeName,
    /// The services that it may host and speak for.
    pub granted: Vec<ServiceName>,
    /// By slot.
    pub endpoints: Vec<NodeEndpoint>,
    /// The listeners that the operator declared for it.
    pub listeners: Vec<NodeListener>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEndpoint {
    /// The service.
    pub service: ServiceName,
    /// Its place on the node.
    pub slot: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How much it can take beside the others.
    pub capacity: u32,
    /// Whether it takes new connections.
    pub health: Health,
    /// Where it was declared.
    pub origin: Origin,
    /// Connections in progress.
    pub connections: u32,
}

/// One listener that the operator declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeListener {
    /// The service that is called there.
    pub service: ServiceName,
    /// The service for which callers speak; none: the node's only grant.
    #[serde(rename = "as")]
    pub source: Option<ServiceName>,
    /// What was declared.
    pub address: SocketAddr,
    /// Where it listens; none while it can't.
    pub bound: Option<SocketAddr>,
    /// Why it can't; empty when it listens.
    pub error: String,
}
