//! The difference between two snapshots of one node.
//!
//! **The rule:** `apply(a, diff(a, b)) == b`, for every two snapshots. A delta holds what changed and nothing
//! else: one endpoint among a thousand services costs some dozens of bytes. It names the revision that it
//! starts from; applied to another it is refused, and the node asks for a whole snapshot by reconnecting.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use sinew_transport_core::ids::{EndpointId, NodeName, Revision, ServiceName};

use crate::snapshot::{Assigned, AssignedListener, DefaultPolicy, Endpoint, Peer, Service, Snapshot};

/// What changed from one snapshot of a node to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Delta {
    /// The revision that it starts from.
    pub from: Revision,
    /// The revision that it leads to.
    pub to: Revision,
    /// The new answer to a call that no rule decides, when it changed.
    pub default: Option<DefaultPolicy>,
    /// The new grants, when they changed.
    pub granted: Option<Vec<ServiceName>>,
    /// Services that came or changed, with only the endpoints that did.
    pub services: Vec<ServiceDelta>,
    /// Services that went.
    pub services_gone: Vec<ServiceName>,
    /// Peers that came or changed.
    pub peers: Vec<Peer>,
    /// Peers that went.
    pub peers_gone: Vec<NodeName>,
    /// The new declared endpoints, when they changed.
    pub assigned: Option<Vec<Assigned>>,
    /// The new declared listeners, when they changed.
    pub listeners: Option<Vec<AssignedListener>>,
}

/// What changed in one service.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ServiceDelta {
    /// The service.
    pub name: ServiceName,
    /// Endpoints that came or changed.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints that went.
    pub gone: Vec<EndpointId>,
}

/// Why a delta can't be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delta starts from revision {from}, and revision {at} is in use")]
pub struct WrongBase {
    /// What the delta starts from.
    pub from: Revision,
    /// What it was to be applied to.
    pub at: Revision,
}

impl Delta {
    /// Whether nothing changed but the revision.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { from: self.from, to: self.to, ..Self::nothing() }
    }

    fn nothing() -> Self {
        Self {
            from: Revision::default(),
            to: Revision::default(),
            default: None,
            granted: None,
            services: Vec::new(),
            services_gone: Vec::new(),
            peers: Vec::new(),
            peers_gone: Vec::new(),
            assigned: None,
            listeners: None,
        }
    }
}

/// What leads from `a` to `b`. Services, endpoints and peers are told apart by name; each name is there once, and
/// sorted, as in every snapshot that a controller makes.
#[must_use]
pub fn diff(a: &Snapshot, b: &Snapshot) -> Delta {
    let services = by(&a.services, |service| service.name.clone());
    let peers = by(&a.peers, |peer| peer.node.clone());
    let changed = |service: &Service| match services.get(&service.name) {
        Some(old) => service_diff(old, service),
        None => Some(ServiceDelta {
            name: service.name.clone(),
            endpoints: service.endpoints.clone(),
            gone: vec![],
        }),
    };
    let services_now = by(&b.services, |service| service.name.clone());
    let peers_now = by(&b.peers, |peer| peer.node.clone());
    Delta {
        from: a.revision,
        to: b.revision,
        default: (a.default != b.default).then_some(b.default),
        granted: (a.granted != b.granted).then(|| b.granted.clone()),
        services: b.services.iter().filter_map(changed).collect(),
        services_gone: services.into_keys().filter(|name| !services_now.contains_key(name)).collect(),
        peers: b.peers.iter().filter(|peer| peers.get(&peer.node) != Some(peer)).cloned().collect(),
        peers_gone: peers.keys().filter(|name| !peers_now.contains_key(name)).cloned().collect(),
        assigned: (a.assigned != b.assigned).then(|| b.assigned.clone()),
        listeners: (a.listeners != b.listeners).then(|| b.listeners.clone()),
    }
}

/// The snapshot to which `delta` leads from `a`.
///
/// # Errors
/// [`WrongBase`] when the delta does not start from `a`'s revision.
pub fn apply(a: &Snapshot, delta: Delta) -> Result<Snapshot, WrongBase> {
    if delta.from != a.revision {
        return Err(WrongBase { from: delta.from, at: a.revision });
    }
    let mut services: BTreeMap<_, _> = owned(&a.services, |service| service.name.clone());
    for name in &delta.services_gone {
        services.remove(name);
    }
    for change in delta.services {
        let service = services
            .entry(change.name.clone())
            .or_insert_with(|| Service { name: change.name.clone(), endpoints: Vec::new() });
        let mut endpoints: BTreeMap<_, _> = owned(&service.endpoints, endpoint_id);
        for id in &change.gone {
            endpoints.remove(id);
        }
        endpoints.extend(change.endpoints.into_iter().map(|endpoint| (endpoint_id(&endpoint), endpoint)));
        service.endpoints = endpoints.into_values().collect();
    }
    let mut peers: BTreeMap<_, _> = owned(&a.peers, |peer| peer.node.clone());
    for name in &delta.peers_gone {
        peers.remove(name);
    }
    peers.extend(delta.peers.into_iter().map(|peer| (peer.node.clone(), peer)));
    Ok(Snapshot {
        revision: delta.to,
        default: delta.default.unwrap_or(a.default),
        granted: delta.granted.unwrap_or_else(|| a.granted.clone()),
        services: services.into_values().collect(),
        peers: peers.into_values().collect(),
        assigned: delta.assigned.unwrap_or_else(|| a.assigned.clone()),
        listeners: delta.listeners.unwrap_or_else(|| a.listeners.clone()),
    })
}

fn service_diff(old: &Service, new: &Service) -> Option<ServiceDelta> {
    let (was, is) = (by(&old.endpoints, endpoint_id), by(&new.endpoints, endpoint_id));
    let changed = is.iter().filter(|(id, endpoint)| was.get(*id) != Some(*endpoint));
    let endpoints: Vec<_> = changed.map(|(_, endpoint)| (*endpoint).clone()).collect();
    let gone: Vec<_> = was.into_keys().filter(|id| !is.contains_key(id)).collect();
    let same = endpoints.is_empty() && gone.is_empty();
    (!same).then(|| ServiceDelta { name: new.name.clone(), endpoints, gone })
}

fn endpoint_id(endpoint: &Endpoint) -> EndpointId {
    EndpointId { node: endpoint.node.clone(), slot: endpoint.slot }
}

fn by<T, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> BTreeMap<K, &T> {
    items.iter().map(|item| (key(item), item)).collect()
}

fn owned<T: Clone, K: Ord>(items: &[T], key: impl Fn(&T) -> K) -> BTreeMap<K, T> {
    items.iter().map(|item| (key(item), item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::HealthCheck;

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().expect("valid")
    }

    /// Nothing, and something in every field.
    fn snapshots() -> [Snapshot; 2] {
        let address = "127.0.0.1:80".parse().expect("valid");
        let endpoint = Endpoint { node: name("n1"), slot: 0, labels: BTreeMap::new(), weight: 1000 };
        let full = Snapshot {
            revision: Revision(2),
            default: DefaultPolicy::Deny,
            granted: vec![name("web")],
            services: vec![Service { name: name("orders"), endpoints: vec![endpoint] }],
            peers: vec![Peer {
                node: name("n1"),
                zone: None,
                addresses: vec![address],
                granted: vec![],
                serving: 7,
            }],
            assigned: vec![Assigned {
                service: name("web"),
                address,
                labels: BTreeMap::new(),
                capacity: 1,
                health: HealthCheck::default(),
            }],
            listeners: vec![AssignedListener { service: name("orders"), source: None, address }],
        };
        [Snapshot { revision: Revision(1), ..Snapshot::default() }, full]
    }

    #[test]
    fn every_field_comes_and_goes_by_a_difference() {
        let [empty, full] = snapshots();
        for (a, b) in [(&empty, &full), (&full, &empty)] {
            assert_eq!(apply(a, diff(a, b)).as_ref(), Ok(b));
        }
    }

    #[test]
    fn a_difference_from_another_revision_is_refused() {
        let [empty, full] = snapshots();

        let refused = apply(&full, diff(&empty, &full));

        assert_eq!(refused, Err(WrongBase { from: Revision(1), at: Revision(2) }));
    }
}
