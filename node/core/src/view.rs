//! The snapshot, compiled for use: looked up by name, checked once, never changed.
//!
//! A snapshot is compiled beside the view in use and then swapped for it; one that breaks a rule is rejected
//! and changes nothing. What was learnt about an endpoint, its [`Load`] and its [`Breaker`], passes from the
//! old view to the new one as long as the endpoint stays in the service. One that left and came back begins
//! anew. Connections keep the view that they began with.
//!
//! Maps are ordered, so that walking through a view is the same in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sinew_api::Snapshot;
use sinew_api::snapshot::{DefaultPolicy, Endpoint, Labels, Peer};
use sinew_transport_core::{EndpointId, NodeName, Revision, ServiceName};

use crate::balance::Load;
use crate::breaker::Breaker;
use crate::shares::Shares;
use crate::tally::Tally;

/// Endpoints of one service. Picks among so many still cost the same; what more would need is subsetting by
/// the controller.
pub const SERVICE_ENDPOINTS_MAX: usize = 10_000;

/// Endpoints of all services, about 200 bytes each: 20 MiB.
pub const ENDPOINTS_MAX: usize = 100_000;

/// Peers, each of which may become a connection. As many as endpoints: each may be on a node of its own.
pub const PEERS_MAX: usize = 100_000;

/// A compiled snapshot.
#[derive(Debug, Default)]
pub struct View {
    /// The state of the mesh that it was made from; 0 before the first snapshot.
    pub revision: Revision,
    /// The answer to a call that no rule decides.
    pub default_policy: DefaultPolicy,
    /// The services that this node may host and speak for.
    pub granted: BTreeSet<ServiceName>,
    own: Option<NodeName>,
    services: BTreeMap<ServiceName, ServiceView>,
    peers: BTreeMap<NodeName, Peer>,
}

/// A service and where it runs.
#[derive(Debug, Default)]
pub struct ServiceView {
    /// Its endpoints, sorted by node and slot.
    pub endpoints: Vec<Arc<EndpointRecord>>,
    /// Their weights, in the same order. They are no part of the records: other weights forget nothing.
    pub shares: Arc<Shares>,
}

/// One endpoint and what this node has learnt about it.
#[derive(Debug)]
pub struct EndpointRecord {
    /// Which one it is.
    pub id: EndpointId,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How loaded it is. Shared with the records of other views, so that new labels forget nothing.
    pub load: Arc<Load>,
    /// Whether it may be tried.
    pub breaker: Arc<Breaker>,
    /// What happened there since the last report.
    pub tally: Arc<Tally>,
}

/// A snapshot that was not taken: what in it is wrong, and why. Goes back to the controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct Rejected {
    /// What is wrong.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl View {
    /// What a node knows before its first snapshot: nobody, and nothing is granted.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Compiles a snapshot for the node `own`. Endpoints that stay keep what `previous` knows about them.
    ///
    /// # Errors
    /// [`Rejected`] names the first thing that breaks a rule: a limit, a duplicate, or an endpoint on a node
    /// that is not among the peers.
    pub fn compile(own: &NodeName, snapshot: Snapshot, previous: Option<&Self>) -> Result<Self, Rejected> {
        let peers = compile_peers(snapshot.peers)?;
        let all: usize = snapshot.services.iter().map(|s| s.endpoints.len()).sum();
        at_most(all, ENDPOINTS_MAX, "snapshot", "endpoints")?;

        let mut services = BTreeMap::new();
        for service in snapshot.services {
            let of = || format!("service {}", service.name);
            at_most(service.endpoints.len(), SERVICE_ENDPOINTS_MAX, of(), "endpoints")?;
            if let Some(stray) =
                service.endpoints.iter().find(|e| e.node != *own && !peers.contains_key(&e.node))
            {
                let reason = format!("endpoint {}/{} is on a node that is no peer", stray.node, stray.slot);
                return Err(Rejected { name: of(), reason });
            }
            let known = previous.and_then(|view| view.service(&service.name));
            let mut weighted: Vec<_> =
                service.endpoints.into_iter().map(|e| (e.weight, compile_endpoint(e, known))).collect();
            weighted.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
            let shares = Arc::new(Shares::new(weighted.iter().map(|(weight, _)| *weight)));
            let endpoints: Vec<_> = weighted.into_iter().map(|(_, endpoint)| endpoint).collect();
            if let Some(twice) = endpoints.windows(2).find(|pair| pair[0].id == pair[1].id) {
                let reason = format!("endpoint {} is listed twice", twice[0].id);
                return Err(Rejected { name: format!("service {}", service.name), reason });
            }
            if services.insert(service.name.clone(), ServiceView { endpoints, shares }).is_some() {
                return Err(Rejected {
                    name: format!("service {}", service.name),
                    reason: "is listed twice".into(),
                });
            }
        }
        Ok(Self {
            revision: snapshot.revision,
            default_policy: snapshot.default,
            granted: snapshot.granted.into_iter().collect(),
            own: Some(own.clone()),
            services,
            peers,
        })
    }

    /// A service that a listener of this node leads to.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&ServiceView> {
        self.services.get(name)
    }

    /// Another node.
    #[must_use]
    pub fn peer(&self, name: &NodeName) -> Option<&Peer> {
        self.peers.get(name)
    }

    /// All services, by name.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceName, &ServiceView)> {
        self.services.iter()
    }

    /// All other nodes, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Every endpoint on `node`, whatever its service.
    pub fn endpoints_on(&self, node: &NodeName) -> impl Iterator<Item = &Arc<EndpointRecord>> {
        self.services.values().flat_map(|service| &service.endpoints).filter(move |e| e.id.node == *node)
    }

    /// Whether `node`, this one or a peer, may speak for `service`; `None` when it is not known here.
    #[must_use]
    pub fn may_speak_for(&self, node: &NodeName, service: &ServiceName) -> Option<bool> {
        if self.own.as_ref() == Some(node) {
            return Some(self.granted.contains(service));
        }
        self.peer(node).map(|peer| peer.granted.contains(service))
    }
}

impl ServiceView {
    /// One of its endpoints.
    #[must_use]
    pub fn endpoint(&self, id: &EndpointId) -> Option<&Arc<EndpointRecord>> {
        self.endpoints.binary_search_by(|record| record.id.cmp(id)).ok().map(|index| &self.endpoints[index])
    }
}

fn compile_peers(peers: Vec<Peer>) -> Result<BTreeMap<NodeName, Peer>, Rejected> {
    at_most(peers.len(), PEERS_MAX, "snapshot", "peers")?;
    let mut compiled = BTreeMap::new();
    for peer in peers {
        if let Some(twice) = compiled.insert(peer.node.clone(), peer) {
            return Err(Rejected { name: format!("peer {}", twice.node), reason: "is listed twice".into() });
        }
    }
    Ok(compiled)
}

fn compile_endpoint(endpoint: Endpoint, known: Option<&ServiceView>) -> Arc<EndpointRecord> {
    let id = EndpointId { node: endpoint.node, slot: endpoint.slot };
    match known.and_then(|service| service.endpoint(&id)) {
        Some(record) if record.labels == endpoint.labels => Arc::clone(record),
        Some(record) => Arc::new(EndpointRecord {
            id,
            labels: endpoint.labels,
            load: Arc::clone(&record.load),
            breaker: Arc::clone(&record.breaker),
            tally: Arc::clone(&record.tally),
        }),
        None => Arc::new(EndpointRecord {
            id,
            labels: endpoint.labels,
            load: Arc::default(),
            breaker: Arc::default(),
            tally: Arc::default(),
        }),
    }
}

fn at_most(count: usize, max: usize, name: impl Into<String>, what: &str) -> Result<(), Rejected> {
    if count <= max {
        return Ok(());
    }
    Err(Rejected { name: name.into(), reason: format!("{count} {what}, at most {max} are taken") })
}

#[cfg(test)]
mod tests;
