//! What the controller's HTTP API shows and takes: versioned JSON, promised to scripts.
//!
//! `GET /v1/status` answers [`Status`]; `GET /v1/weights/{service}` answers
//! [`ServiceWeights`](crate::weights::ServiceWeights); `POST /v1/tokens` takes [`NewToken`] and answers [`CreatedToken`].

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName, TrustDomain, Zone};
use utoipa::ToSchema;

use crate::control::LinkState;
use crate::hosting::Health;
use crate::schema::{Address, Ip, LabelsSchema};
use crate::snapshot::Labels;

/// The version that every answer carries.
pub const API_VERSION: &str = "sinew/v1";

/// The mesh as the controller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`API_VERSION`].
    pub api_version: String,
    /// The naming root.
    pub trust_domain: TrustDomain,
    /// The controller that answers.
    pub controller: NodeName,
    /// Version of its program.
    pub version: String,
    /// The state of the mesh.
    pub revision: Revision,
    /// Every node that is registered, by name.
    pub nodes: Vec<NodeStatus>,
    /// Every service that has endpoints or listeners, by name.
    pub services: Vec<ServiceStatus>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Where it is.
    pub zone: Option<Zone>,
    /// Whether it has a control session now.
    pub connected: bool,
    /// Version of its program.
    pub version: String,
    /// Its data sockets.
    #[schema(value_type = Vec<Address>)]
    pub addresses: Vec<SocketAddr>,
    /// The services it may host and speak for.
    pub granted: Vec<ServiceName>,
    /// The end of its certificate, seconds since 1970.
    pub certificate_expiry: u64,
    /// Its issue, seconds since 1970; none before the node's first report.
    #[serde(default)]
    pub certificate_issued: Option<u64>,
    /// How far its clock is ahead of the controller's, in milliseconds, the way of its report included; none
    /// before its first report.
    #[serde(default)]
    pub clock_skew_ms: Option<i64>,
    /// From where another process with the same identity came back after this one had taken over from it: a
    /// copied state directory.
    #[serde(default)]
    #[schema(value_type = Option<Ip>)]
    pub copy_at: Option<IpAddr>,
    /// The revision it acknowledged last.
    pub acknowledged: Revision,
    /// The revision it refused last, and why, unless it acknowledged a later one.
    pub rejected: Option<Rejected>,
    /// Its links, as it sees them.
    pub links: Vec<LinkStatus>,
}

/// A snapshot that a node refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// The revision.
    pub revision: Revision,
    /// What in it was wrong.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// One link as one end sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// The other end.
    pub node: NodeName,
    /// Up, suspect, or why not.
    pub state: LinkState,
    /// Smoothed round trip in microseconds, 0 when unknown.
    pub rtt_us: u64,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// The nodes with a listener for it.
    pub callers: Vec<NodeName>,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// The hosting node.
    pub node: NodeName,
    /// The place on that node.
    pub slot: u16,
    /// What splits and subsets go by.
    #[schema(value_type = LabelsSchema)]
    pub labels: Labels,
    /// How much it can take beside the others.
    pub capacity: u32,
    /// Whether it takes new connections.
    pub health: Health,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// The node that may join with it.
    pub node: NodeName,
    /// The services that the node may host and speak for.
    pub services: Vec<ServiceName>,
    /// For how long it can be used, in seconds.
    pub ttl_seconds: u64,
}

/// A token that was made. Its text is shown once: the controller keeps only a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedToken {
    /// [`API_VERSION`].
    pub api_version: String,
    /// The text to be carried to the node.
    pub token: String,
    /// The end of its time, seconds since 1970.
    pub expires: u64,
}

/// Why a call of the API failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// [`API_VERSION`].
    pub api_version: String,
    /// What was tried, what is wrong, and what to do.
    pub error: String,
}
