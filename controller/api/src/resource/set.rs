//! All resources of a mesh, or of a file, by their keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::{Endpoint, Listener, MeshSettings, Node, Resource, ResourceKey, Service};

/// Lower than every address at which anything can be declared.
const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A set of resources, each under its own key. As JSON a list, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(BTreeMap<ResourceKey, Resource>);

impl Resources {
    /// Puts a resource in, and gives back the one of the same key that was there.
    pub fn insert(&mut self, resource: Resource) -> Option<Resource> {
        self.0.insert(resource.key(), resource)
    }

    /// Takes a resource out.
    pub fn remove(&mut self, key: &ResourceKey) -> Option<Resource> {
        self.0.remove(key)
    }

    /// The resource of a key.
    #[must_use]
    pub fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.0.get(key)
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains(&self, key: &ResourceKey) -> bool {
        self.0.contains_key(key)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceKey, &Resource)> {
        self.0.iter()
    }

    /// The settings of the mesh, if any were declared.
    #[must_use]
    pub fn mesh(&self) -> Option<&MeshSettings> {
        match self.get(&ResourceKey::Mesh) {
            Some(Resource::Mesh(mesh)) => Some(mesh),
            _ => None,
        }
    }

    /// A service.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        match self.get(&ResourceKey::Service(name.clone())) {
            Some(Resource::Service(service)) => Some(service),
            _ => None,
        }
    }

    /// A node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        match self.get(&ResourceKey::Node(name.clone())) {
            Some(Resource::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// The services, sorted by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.0.values().filter_map(|resource| match resource {
            Resource::Service(service) => Some(service),
            _ => None,
        })
    }

    /// The nodes, sorted by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.0.values().filter_map(|resource| match resource {
            Resource::Node(node) => Some(node),
            _ => None,
        })
    }

    /// The endpoints of all nodes.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.values().filter_map(|resource| match resource {
            Resource::Endpoint(endpoint) => Some(endpoint),
            _ => None,
        })
    }

    /// The listeners of all nodes.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.0.values().filter_map(|resource| match resource {
            Resource::Listener(listener) => Some(listener),
            _ => None,
        })
    }

    /// The endpoints of one node, sorted by address, without a walk over those of others.
    pub fn endpoints_on(&self, node: &NodeName) -> impl Iterator<Item = &Endpoint> {
        let service = ServiceName::new("0").expect("the first of all names is one");
        let first = ResourceKey::Endpoint { node: node.clone(), address: FIRST, service };
        self.0.range(first..).map_while(move |(_, resource)| match resource {
            Resource::Endpoint(endpoint) if endpoint.node == *node => Some(endpoint),
            _ => None,
        })
    }

    /// The listeners of one node, sorted by address, without a walk over those of others.
    pub fn listeners_on(&self, node: &NodeName) -> impl Iterator<Item = &Listener> {
        let first = ResourceKey::Listener { node: node.clone(), address: FIRST };
        self.0.range(first..).map_while(move |(_, resource)| match resource {
            Resource::Listener(listener) if listener.node == *node => Some(listener),
            _ => None,
        })
    }
}

impl FromIterator<Resource> for Resources {
    /// Of two with one key the later stays.
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        Self(resources.into_iter().map(|resource| (resource.key(), resource)).collect())
    }
}

impl Extend<Resource> for Resources {
    fn extend<I: IntoIterator<Item = Resource>>(&mut self, resources: I) {
        self.0.extend(resources.into_iter().map(|resource| (resource.key(), resource)));
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = std::collections::btree_map::IntoValues<ResourceKey, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}

impl Serialize for Resources {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = Self::default();
        for resource in Vec::<Resource>::deserialize(deserializer)? {
            if let Some(twice) = set.insert(resource) {
                return Err(serde::de::Error::custom(format!("`{}` is declared twice", twice.key())));
            }
        }
        Ok(set)
    }
}
