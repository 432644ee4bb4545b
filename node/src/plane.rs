//! What all parts of a node share: the view in use, the peers, and where outcomes are recorded.
//!
//! The view is swapped as a whole; a connection keeps the one that it began with.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use sinew_api::Snapshot;
use sinew_node_core::{Config, EndpointRecord, Rejected, ServiceView, Shares, View};
use sinew_transport::peers::Peer;
use sinew_transport::{Clock, Peers, Runtime, Target};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::AccessLog;
use crate::metrics::Metrics;

/// The view in use, with every endpoint's peer looked up once: a pick looks at no table.
#[derive(Debug)]
struct Routes {
    view: Arc<View>,
    services: HashMap<ServiceName, Arc<Route>>,
}

/// Where one service is reached.
#[derive(Debug)]
pub(crate) struct Route {
    /// The revision of the view that it comes from.
    pub(crate) revision: Revision,
    pub(crate) ways: Vec<Way>,
    /// Their weights, in the same order.
    pub(crate) shares: Arc<Shares>,
}

/// One endpoint, and the peer that hosts it; none when it is this node.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) endpoint: Arc<EndpointRecord>,
    pub(crate) peer: Option<Arc<Peer>>,
}

impl Routes {
    fn new(view: Arc<View>, peers: &Peers) -> Self {
        let way = |endpoint: &Arc<EndpointRecord>| Way {
            endpoint: Arc::clone(endpoint),
            peer: peers.get(&endpoint.id.node),
        };
        let route = |service: &ServiceView| {
            Arc::new(Route {
                revision: view.revision,
                ways: service.endpoints.iter().map(way).collect(),
                shares: Arc::clone(&service.shares),
            })
        };
        let services = view.services().map(|(name, service)| (name.clone(), route(service))).collect();
        Self { view, services }
    }
}

/// The shared state of a node.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) me: NodeName,
    pub(crate) config: Config,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    pub(crate) peers: Arc<Peers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: AccessLog,
    /// Connections in progress, by shard: where the next one goes.
    pub(crate) active: Vec<AtomicU32>,
    /// Connections in progress, by served slot.
    pub(crate) served: Vec<AtomicU32>,
    routes: ArcSwap<Routes>,
    revision: watch::Sender<Option<Revision>>,
    /// When the first snapshot came into use.
    begun: OnceLock<Instant>,
}

impl Plane {
    pub(crate) fn new(
        config: Config,
        shards: u16,
        runtime: Arc<dyn Runtime>,
        peers: Arc<Peers>,
        metrics: Arc<Metrics>,
        access: AccessLog,
    ) -> Self {
        Self {
            me: peers.me().clone(),
            active: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            served: config.serves.iter().map(|_| AtomicU32::new(0)).collect(),
            config,
            runtime,
            clock: Clock::start(),
            metrics,
            access,
            routes: ArcSwap::from_pointee(Routes::new(Arc::new(View::empty()), &peers)),
            revision: watch::Sender::new(None),
            begun: OnceLock::new(),
            peers,
        }
    }

    /// The view in use.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.routes.load().view)
    }

    /// Where a service is reached; none when the view does not know it.
    pub(crate) fn route(&self, service: &ServiceName) -> Option<Arc<Route>> {
        self.routes.load().services.get(service).cloned()
    }

    /// The revision in use; none before the first snapshot.
    pub(crate) fn revision(&self) -> watch::Receiver<Option<Revision>> {
        self.revision.subscribe()
    }

    /// When the first snapshot came into use; none before.
    pub(crate) fn begun(&self) -> Option<Instant> {
        self.begun.get().copied()
    }

    /// Takes a snapshot into use: checked, compiled, one swap.
    ///
    /// # Errors
    /// [`Rejected`] names what in it is wrong; nothing has changed then.
    pub(crate) fn apply(&self, snapshot: Snapshot) -> Result<Revision, Rejected> {
        let revision = snapshot.revision;
        let peers = snapshot.peers.clone();
        let view = View::compile(&self.me, snapshot, Some(&self.view()))?;
        let hosts: HashSet<NodeName> =
            view.services().flat_map(|(_, service)| &service.endpoints).map(|e| e.id.node.clone()).collect();
        let targets = peers.into_iter().map(|peer| {
            let wanted = hosts.contains(&peer.node);
            (peer.node, Target { addresses: peer.addresses, wanted })
        });
        self.peers.set(revision, targets);
        self.routes.store(Arc::new(Routes::new(Arc::new(view), &self.peers)));
        self.begun.get_or_init(Instant::now);
        self.metrics.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
        self.revision.send_replace(Some(revision));
        Ok(revision)
    }

    /// Wall time in microseconds since 1970.
    pub(crate) fn unix_us(&self) -> u64 {
        u64::try_from(self.runtime.wall_now().as_micros()).unwrap_or(u64::MAX)
    }

    /// Forgets what was learnt about the endpoints of a peer when another run of its program greets: it may
    /// be another machine by now, and must not wait for its share. Runs for ever.
    pub(crate) async fn follow_restarts(&self) {
        let mut boots: HashMap<NodeName, u64> = HashMap::new();
        let mut news = self.peers.news();
        loop {
            for peer in self.peers.all() {
                let Some(boot) = peer.boot() else { continue };
                let before = boots.insert(peer.name().clone(), boot);
                if before.is_some_and(|before| before != boot) {
                    self.forget_load_of(peer.name());
                }
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn forget_load_of(&self, node: &NodeName) {
        for endpoint in self.view().endpoints_on(node) {
            endpoint.load.reset();
            if self.config.mechanisms.probation {
                endpoint.breaker.reset();
            }
        }
    }
}
