//! Resources: what an operator declares, by `sinew apply`.
//!
//! A [`Resource`] is one thing with a name, a [`ResourceKey`]; a mesh has one [`Resources`] set, and a
//! [`Change`] is the difference between two. As JSON a resource is an object with its `kind`; unknown keys are
//! refused. What may stand in one and beside another is checked where the controller decides
//! (`sinew-controller-core`), for files and JSON alike. These types promise only that names are names.

mod change;
mod health;
mod key;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};
use utoipa::ToSchema;

pub use change::{Change, FieldChange, Update};
pub use health::{HEALTH, HealthSettings, IN_A_ROW, INTERVALS, TIMEOUTS, time};
pub use key::{InvalidKey, ResourceKey};
pub use set::Resources;

use crate::schema::{Address, LabelsSchema};
use crate::snapshot::{DefaultPolicy, Labels};

/// One thing that an operator declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Resource {
    /// What holds for the whole mesh.
    Mesh(MeshSettings),
    /// A service.
    Service(Service),
    /// A node.
    Node(Node),
    /// An endpoint, beside those in its node's own configuration.
    Endpoint(Endpoint),
    /// A listener, beside those in its node's own configuration.
    Listener(Listener),
}

/// What holds for the whole mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshSettings {
    /// The answer to a call that no rule decides, in place of the one in `controller.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<DefaultPolicy>,
}

/// A service, and what its endpoints have unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name, with its namespace.
    pub name: ServiceName,
    /// What its callers and endpoints speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where its endpoints listen on 127.0.0.1 unless they say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How nodes find out whether its endpoints answer.
    #[serde(default, skip_serializing_if = "HealthSettings::is_default")]
    pub health: HealthSettings,
}

/// What callers and endpoints of a service speak. A property of the service, never the caller's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Any protocol over TCP.
    #[default]
    Tcp,
}

/// A node, and what it may be and do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Where it is, in place of what it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Labels of all endpoints that are declared on it; an endpoint's own go first.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schema(value_type = LabelsSchema)]
    pub labels: Labels,
    /// The services that it may host and speak for, in place of those of its token; none: the token's stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<BTreeSet<ServiceName>>,
}

/// An instance of a service on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The node.
    pub node: NodeName,
    /// The service.
    pub service: ServiceName,
    /// Where it listens on the node's machine.
    #[schema(value_type = Address)]
    pub address: SocketAddr,
    /// What splits and subsets go by.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schema(value_type = LabelsSchema)]
    pub labels: Labels,
    /// How much it can take beside the others, as in [`crate::hosting::Serve`]; none:
    /// [`crate::hosting::CAPACITY_DEFAULT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How its node finds out whether it answers, in place of what the service says.
    #[serde(default, skip_serializing_if = "HealthSettings::is_default")]
    pub health: HealthSettings,
}

/// A local socket where application traffic enters the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// The node.
    pub node: NodeName,
    /// Where it listens on the node's machine.
    #[schema(value_type = Address)]
    pub address: SocketAddr,
    /// The service that is called there.
    pub service: ServiceName,
    /// The service for which callers speak; none: the node's only grant.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub source: Option<ServiceName>,
}

impl Resource {
    /// What names it.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        match self {
            Self::Mesh(_) => ResourceKey::Mesh,
            Self::Service(service) => ResourceKey::Service(service.name.clone()),
            Self::Node(node) => ResourceKey::Node(node.name.clone()),
            Self::Endpoint(Endpoint { node, service, address, .. }) => {
                ResourceKey::Endpoint { node: node.clone(), address: *address, service: service.clone() }
            }
            Self::Listener(Listener { node, address, .. }) => {
                ResourceKey::Listener { node: node.clone(), address: *address }
            }
        }
    }
}
