//! What names a resource: its kind and its name, written `service/orders`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, ServiceName};

/// The name of a resource.
///
/// Written `mesh`, `service/orders`, `node/n1`, `endpoint/n1/orders/127.0.0.1:8080` and
/// `listener/n1/127.0.0.1:5001`. They sort by kind, then by node, then by address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKey {
    /// The settings of the mesh; there is one.
    Mesh,
    /// A service.
    Service(ServiceName),
    /// A node.
    Node(NodeName),
    /// An endpoint.
    Endpoint {
        /// Its node.
        node: NodeName,
        /// Where it listens there.
        address: SocketAddr,
        /// Its service.
        service: ServiceName,
    },
    /// A listener.
    Listener {
        /// Its node.
        node: NodeName,
        /// Where it listens there.
        address: SocketAddr,
    },
}

/// A text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` names no resource: {why}; write mesh, service/orders, node/n1, endpoint/n1/orders/127.0.0.1:8080 or \
     listener/n1/127.0.0.1:5001",
    given.escape_debug()
)]
pub struct InvalidKey {
    /// The text, cut at 200 characters.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

impl ResourceKey {
    /// The kinds, in the order in which resources sort.
    pub const KINDS: [&'static str; 5] = ["mesh", "service", "node", "endpoint", "listener"];

    /// The word before the first `/`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Service(_) => "service",
            Self::Node(_) => "node",
            Self::Endpoint { .. } => "endpoint",
            Self::Listener { .. } => "listener",
        }
    }

    /// The node to which it belongs.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Mesh | Self::Service(_) => None,
            Self::Node(node) | Self::Endpoint { node, .. } | Self::Listener { node, .. } => Some(node),
        }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Service(service) => write!(f, "service/{service}"),
            Self::Node(node) => write!(f, "node/{node}"),
            Self::Endpoint { node, address, service } => write!(f, "endpoint/{node}/{service}/{address}"),
            Self::Listener { node, address } => write!(f, "listener/{node}/{address}"),
        }
    }
}

impl FromStr for ResourceKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why: String| InvalidKey { given: text.chars().take(200).collect(), why };
        let service = |name: &str| ServiceName::new(name).map_err(|e| invalid(e.to_string()));
        let node = |name: &str| NodeName::new(name).map_err(|e| invalid(e.to_string()));
        let socket = |address: &str| crate::document::text::socket(address).map_err(invalid);
        match text.split('/').collect::<Vec<_>>()[..] {
            ["mesh"] => Ok(Self::Mesh),
            ["service", name] => Ok(Self::Service(service(name)?)),
            ["node", name] => Ok(Self::Node(node(name)?)),
            ["endpoint", on, name, address] => {
                Ok(Self::Endpoint { node: node(on)?, service: service(name)?, address: socket(address)? })
            }
            ["listener", on, address] => Ok(Self::Listener { node: node(on)?, address: socket(address)? }),
            [kind, ..] if Self::KINDS.contains(&kind) => {
                Err(invalid(format!("a {kind} is named in another way")))
            }
            _ => Err(invalid("it begins with no kind".into())),
        }
    }
}

impl Serialize for ResourceKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
