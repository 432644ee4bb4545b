//! What all parts of a node share: the view in use, the peers, and where outcomes are recorded.
//!
//! The view is made of the newest snapshot and of what peers have told since, and swapped as a whole; a connection
//! keeps the one that it began with.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use sinew_api::Snapshot;
use sinew_node_core::{Config, EndpointRecord, Limit, Overlay, Rejected, ServiceView, Shares, View};
use sinew_transport::peers::Peer;
use sinew_transport::{Clock, LogLimit, Peers, Runtime, Target};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Duration, Instant, sleep};

use crate::access::AccessLog;
use crate::drain::until_idle;
use crate::hosting::Hosting;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::stalls::Stalls;
use crate::tells::Heard;

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

/// How long after its first snapshot a node may still open listeners where an earlier process listened: those that
/// the operator declares are opened by their shards, each when it comes to it.
const TAKE_UP: Duration = Duration::from_secs(10);

/// Descriptors that connections leave to everything else: data sockets, listeners, files, the admin pages.
const DESCRIPTORS_KEPT: u64 = 128;

/// How many connections the node may carry: what its configuration says, or what its limit on open files allows.
fn room(config: &Config, runtime: &dyn Runtime) -> usize {
    let others = DESCRIPTORS_KEPT + config.listens.len() as u64;
    let descriptors = runtime.descriptors_max().map(|max| max.saturating_sub(others).max(1));
    let wanted = u64::from(config.max_connections);
    let room = descriptors.map_or(wanted, |max| max.min(wanted));
    if room < wanted {
        tracing::warn!(
            max_connections = wanted,
            room,
            "the limit on open files allows fewer connections than `max_connections`: raise it (systemd: LimitNOFILE=, shell: ulimit -n)"
        );
    }
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// What the view is made of.
#[derive(Debug, Default)]
struct Known {
    snapshot: Option<Arc<Snapshot>>,
    overlay: Overlay,
}

/// The shared state of a node.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) me: NodeName,
    /// As the node was started.
    pub(crate) config: Config,
    /// As it was read last; what is live in it counts.
    live: ArcSwap<Config>,
    /// Tells that what is registered with the controller has changed.
    pub(crate) reregister: Notify,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    pub(crate) peers: Arc<Peers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: AccessLog,
    /// Connections in progress, by shard: where the next one goes.
    pub(crate) active: Vec<AtomicU32>,
    /// What is logged of streams that were refused; the access log has all of them.
    pub(crate) refused_streams: LogLimit,
    /// The same for applications that were refused.
    pub(crate) refused_connections: LogLimit,
    /// Tasks that may still accept a connection.
    accepting: AtomicU32,
    /// Connections of applications and to services that the node may carry.
    pub(crate) room: Limit,
    /// Those whose readers do not read.
    pub(crate) stalls: Arc<Stalls>,
    /// What stands behind this node.
    pub(crate) hosting: Arc<Hosting>,
    /// The listeners that the operator declared.
    pub(crate) listeners: Listeners,
    /// To [`crate::tells::follow`].
    pub(crate) heard: mpsc::Sender<Heard>,
    /// Held while a view is made of it.
    known: Mutex<Known>,
    routes: ArcSwap<Routes>,
    revision: watch::Sender<Option<Revision>>,
    /// When the first snapshot came into use.
    begun: OnceLock<Instant>,
    /// The node is on its way out.
    leaving: AtomicBool,
    /// Wakes whoever waits for [`Plane::outbound_idle`].
    emptied: Notify,
}

/// See [`Plane::accept`].
#[derive(Debug)]
pub(crate) struct Accepting(Arc<Plane>);

impl Drop for Accepting {
    fn drop(&mut self) {
        if self.0.accepting.fetch_sub(1, SeqCst) == 1 {
            self.0.on_emptied();
        }
    }
}

impl Plane {
    pub(crate) fn new(
        config: Config,
        shards: u16,
        runtime: Arc<dyn Runtime>,
        peers: Arc<Peers>,
        metrics: Arc<Metrics>,
        access: AccessLog,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let clock = Clock::start();
        Self {
            me: peers.me().clone(),
            active: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            refused_streams: LogLimit::default(),
            refused_connections: LogLimit::default(),
            accepting: AtomicU32::new(0),
            listeners: Listeners::new(&config.listens, shards),
            live: ArcSwap::from_pointee(config.clone()),
            reregister: Notify::new(),
            hosting: Arc::new(Hosting::new(&config.serves, &runtime, &metrics, clock)),
            stalls: Arc::new(Stalls::new(&metrics, clock)),
            room: Limit::new(room(&config, &*runtime)),
            config,
            runtime,
            clock,
            metrics,
            access,
            heard,
            known: Mutex::default(),
            routes: ArcSwap::from_pointee(Routes::new(Arc::new(View::empty()), &peers)),
            revision: watch::Sender::new(None),
            begun: OnceLock::new(),
            leaving: AtomicBool::new(false),
            emptied: Notify::new(),
            peers,
        }
    }

    /// From now on the node is not ready, and its endpoints take nothing new.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, SeqCst);
        self.hosting.leave();
    }

    /// Whether it is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(SeqCst)
    }

    /// Application connections in progress.
    pub(crate) fn outbound_count(&self) -> u32 {
        self.active.iter().map(|active| active.load(SeqCst)).sum()
    }

    /// Waits until there are none, and none can be accepted any more. For a node whose listeners were told to close.
    pub(crate) async fn outbound_idle(&self) {
        // In this order: who accepts a connection counts it before it ends.
        until_idle(&self.emptied, || self.accepting.load(SeqCst) == 0 && self.outbound_count() == 0).await;
    }

    /// Counts a task that may accept connections, for as long as the guard lives.
    pub(crate) fn accept(self: &Arc<Self>) -> Accepting {
        self.accepting.fetch_add(1, SeqCst);
        Accepting(Arc::clone(self))
    }

    /// Tells that a shard has no application connection left, or that nobody accepts any more.
    pub(crate) fn on_emptied(&self) {
        // Nobody waits before: connections pay one load for it.
        if self.is_leaving() {
            self.emptied.notify_waiters();
        }
    }

    /// The configuration as it was read last. Only its live keys may be taken from here.
    pub(crate) fn live(&self) -> Arc<Config> {
        self.live.load_full()
    }

    /// Takes the live keys of a configuration into use, and yields the others that differ.
    pub(crate) fn reconfigure(&self, config: Config) -> Vec<&'static str> {
        let (before, config) = (self.live(), Arc::new(config));
        self.live.store(Arc::clone(&config));
        self.room.set_max(room(&config, &*self.runtime));
        self.hosting.reconfigure(&config.serves);
        self.listeners.reconfigure(&config.listens);
        if (&before.zone, &before.listens) != (&config.zone, &config.listens) {
            self.reregister.notify_one();
        }
        self.config.restart_keys(&config)
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

    /// Takes a snapshot into use, with what peers have told since laid over it: checked, compiled, one swap.
    ///
    /// # Errors
    /// [`Rejected`] names what in it is wrong; nothing has changed then.
    pub(crate) fn apply(&self, snapshot: Snapshot) -> Result<Revision, Rejected> {
        let revision = snapshot.revision;
        let mut known = self.known();
        // Alone first: what is wrong with it must not be hidden by what was told.
        let alone = View::compile(&self.me, snapshot.clone(), Some(&self.view()))?;
        let view = match self.lay(&known.overlay, &snapshot) {
            laid if laid == snapshot => alone,
            // Should what was told be too much for it, the snapshot decides.
            laid => View::compile(&self.me, laid, Some(&self.view())).unwrap_or(alone),
        };
        let (assigned, granted) = (snapshot.assigned.clone(), view.granted.clone());
        self.listeners.want(&snapshot.listeners);
        self.swap(view, &snapshot);
        self.begun.get_or_init(Instant::now);
        known.snapshot = Some(Arc::new(snapshot));
        drop(known);
        self.hosting.assign(&assigned, &granted);
        self.metrics.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
        self.revision.send_replace(Some(revision));
        Ok(revision)
    }

    /// The snapshot in use, as the controller made it.
    pub(crate) fn held(&self) -> Option<Arc<Snapshot>> {
        self.known().snapshot.clone()
    }

    /// Takes what a peer told. True when the view should be made anew.
    pub(crate) fn hear(&self, heard: Heard) -> bool {
        let Known { snapshot, overlay } = &mut *self.known();
        // Before the first snapshot everybody is a stranger.
        let nobody = Snapshot::default();
        let Heard { peer, boot, serving } = heard;
        overlay.hear(snapshot.as_deref().unwrap_or(&nobody), &peer, boot, serving).unwrap_or_else(|error| {
            tracing::warn!(%peer, %error, "what a peer tells about itself is left out");
            true
        })
    }

    /// Makes the view anew from the snapshot and what was told since.
    pub(crate) fn refresh(&self) {
        let known = self.known();
        let Some(snapshot) = &known.snapshot else { return };
        match View::compile(&self.me, self.lay(&known.overlay, snapshot), Some(&self.view())) {
            Ok(view) => self.swap(view, snapshot),
            Err(rejected) => {
                tracing::warn!(%rejected, "what peers told is left out; the view before stays in use");
            }
        }
    }

    fn lay(&self, overlay: &Overlay, snapshot: &Snapshot) -> Snapshot {
        let (_, own) = self.hosting.serves();
        overlay.over(snapshot, (&self.me, &own))
    }

    /// Puts a view into use. A peer that hosts what is called here, or may do so soon, is dialled.
    fn swap(&self, view: View, snapshot: &Snapshot) {
        let hosts: HashSet<&NodeName> =
            view.services().flat_map(|(_, service)| &service.endpoints).map(|e| &e.id.node).collect();
        let targets = snapshot.peers.iter().map(|peer| {
            let wanted =
                hosts.contains(&peer.node) || peer.granted.iter().any(|name| view.service(name).is_some());
            (peer.node.clone(), Target { addresses: peer.addresses.clone(), wanted })
        });
        self.peers.set(snapshot.revision, targets.collect::<Vec<_>>());
        self.routes.store(Arc::new(Routes::new(Arc::new(view), &self.peers)));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes listening sockets of an earlier process that this one had no use for, when it had time to find out.
    pub(crate) async fn retire_untaken(&self) {
        let mut revisions = self.revision();
        while revisions.borrow_and_update().is_none() {
            if revisions.changed().await.is_err() {
                return;
            }
        }
        sleep(TAKE_UP).await;
        self.runtime.retire_untaken();
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
