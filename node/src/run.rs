//! A node from its start to its end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sinew_api::snapshot::AssignedListener;
use sinew_node_core::{Config, ListenConfig};
use sinew_transport::runtime::Phase;
use sinew_transport::session::BindError;
use sinew_transport::verify::Refusals;
use sinew_transport::{Access, AppListener, Common, Peers, Runtime, Shard, ShardHost, Trust};
use sinew_transport_core::ids::ServiceName;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::AccessLog;
use crate::addresses::advertised;
use crate::admin;
use crate::admin::endpoints::admin_token;
use crate::control::Control;
use crate::drain::{self, Stop};
use crate::hosting::RegisteredFile;
use crate::identity::{IDENTITY, IdentityError, State};
use crate::inbound::Inbound;
use crate::metrics::Metrics;
use crate::outbound::{Arrived, HANDOVER_MAX, Outbound};
use crate::plane::Plane;
use crate::reach::Controllers;
use crate::reload::{self, Reloads};
use crate::renewal::Renewal;
use crate::saved;
use crate::state::StateError;
use crate::tells::{self, HEARD_MAX};

/// Most shards without being told: beyond four, one node rarely has the traffic for more.
const SHARDS_MAX_DEFAULT: usize = 4;

/// How long a stopping node waits for its shards.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Why a node can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is nobody.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A data socket.
    #[error(transparent)]
    Data(#[from] BindError),
    /// A listener, or the admin pages.
    #[error(
        "listening on {address} for {what}: {source}; is another program using the port, or does it need a privilege?"
    )]
    Listen {
        /// What was tried.
        address: SocketAddr,
        /// What for.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the state directory is not what it should be.
    #[error(transparent)]
    State(#[from] StateError),
    /// The access log or a file of the state directory.
    #[error("{path}: {source}; may this user use it, and is there space left?")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A shard could not be started, or ended before its time.
    #[error("shard {0} did not start: {1}")]
    Shard(u16, String),
}

/// `ports.json`: what was bound, for whoever started this node with port 0.
#[derive(Debug, Serialize, Deserialize)]
struct Ports {
    data: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    listen: Vec<ListenPort>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ListenPort {
    service: ServiceName,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    source: Option<ServiceName>,
    address: SocketAddr,
}

/// Runs a node until it is told to stop: joins when it has not yet, binds its shards and listeners, keeps a
/// control session, carries traffic, and drains.
///
/// # Errors
/// [`RunError`] when it can't start. Once it runs, nothing ends it but `stop`.
pub async fn run(
    config: Config,
    runtime: Arc<dyn Runtime>,
    host: Arc<dyn ShardHost>,
    stop: Stop,
) -> Result<(), RunError> {
    let (_never, reloads) = watch::channel(None);
    run_reloading(config, reloads, runtime, host, stop).await
}

/// The same, with a configuration that may be read again while the node runs.
///
/// # Errors
/// As [`run`]. What is read later never ends it.
pub async fn run_reloading(
    config: Config,
    reloads: Reloads,
    runtime: Arc<dyn Runtime>,
    host: Arc<dyn ShardHost>,
    stop: Stop,
) -> Result<(), RunError> {
    let refusals = Arc::new(Refusals::default());
    let state = State { runtime: &runtime, path: &config.state };
    let identity = state.identity(read_token(&config, &runtime)?, &refusals).await?;
    let metrics = Arc::new(Metrics::default());
    let opened = AccessLog::open(config.access_log.as_deref(), &runtime, &metrics);
    let path = config.access_log.clone().unwrap_or_default();
    let (access, writer) = opened.map_err(|source| RunError::File { path, source })?;

    let shards = config.shards.unwrap_or_else(|| default_shards(host.parallelism())).max(1);
    let name = identity.keyring.current().identity().node().cloned();
    let name = name.ok_or_else(|| IdentityError::Answer("the certificate is not a node's".into()))?;
    let peers = Arc::new(Peers::new(name));
    let (heard, told) = mpsc::channel(HEARD_MAX);
    let plane = Plane::new(config, shards, Arc::clone(&runtime), Arc::clone(&peers), metrics, access, heard);
    let plane = Arc::new(plane);
    let registered = RegisteredFile::new(&runtime, &plane.config.state);
    plane.hosting.restore(&registered)?;
    saved::restore(&plane)?;
    let boot = boot_number();
    let trust = Arc::new(Trust::alone(plane.config.expiry_grace));
    let common = Common {
        runtime: Arc::clone(&runtime),
        keyring: Arc::clone(&identity.keyring),
        trust: Arc::clone(&trust),
        keys: identity.keys.clone(),
        peers,
        refusals: Arc::clone(&refusals),
        boot,
        dead_after: plane.config.dead_after,
        suspicion: plane.config.mechanisms.failover,
    };
    let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
    let (bound, running) = start_shards(&plane, &common, &host, (&closing, &cut)).await?;

    let mut tasks = JoinSet::new();
    let mut ports = Ports { data: bound.data.clone(), admin: None, listen: bound.listen };
    if let Some(address) = plane.config.admin {
        let listening = |source| RunError::Listen { address, what: "admin".into(), source };
        let listener = runtime.listen(address).map_err(listening)?;
        ports.admin = Some(listener.local_addr().map_err(listening)?);
        let token = admin_token(&runtime, &plane.config.state)?;
        let (plane, refusals, trust) = (Arc::clone(&plane), Arc::clone(&refusals), Arc::clone(&trust));
        tasks.spawn(admin::serve(listener, plane, refusals, trust, token, registered));
    }
    let last_line = CancellationToken::new();
    let mut farewells = JoinSet::new();
    if let Some(writer) = writer {
        farewells.spawn(writer.run(last_line.clone()));
    }
    write_ports(&plane, &ports)?;
    tracing::info!(node = %plane.me, data = ?ports.data, admin = ?ports.admin, shards, "node up");
    let addresses = advertised(&plane.config.advertise, &bound.data);
    let mut rng = fastrand::Rng::with_seed(boot);
    let controllers = Controllers::new(&plane.config.controllers, &identity.controllers, rng.usize(..));
    let renewal = Renewal::new(&plane, &identity.keyring, rng);
    let control =
        Control { plane: Arc::clone(&plane), keyring: identity.keyring, trust, boot, addresses, refusals };
    farewells.spawn(saved::keep(Arc::clone(&plane), cut.clone()));
    farewells.spawn(control.run(controllers, renewal, cut.clone()));

    tasks.spawn(Arc::clone(&plane.hosting).run());
    tasks.spawn(Arc::clone(&plane.stalls).keep());
    tasks.spawn(reload::follow(Arc::clone(&plane), reloads));
    tasks.spawn(tells::follow(Arc::clone(&plane), told));
    let following = Arc::clone(&plane);
    tasks.spawn(async move { following.follow_restarts().await });

    let taking_up = Arc::clone(&plane);
    tasks.spawn(async move { taking_up.retire_untaken().await });
    runtime.tell_supervisor(Phase::Ready);

    stop.told().await;
    runtime.tell_supervisor(Phase::Stopping);
    drain::drain(&plane, &stop, &closing).await;
    tracing::info!("stopping");
    cut.cancel();
    let _ = timeout(STOP_TIME, running).await;
    last_line.cancel();
    let _ = timeout(STOP_TIME, async { while farewells.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
    Ok(())
}

/// How many shards a node has on so many cores, unless its configuration says.
#[must_use]
pub fn default_shards(cores: usize) -> u16 {
    u16::try_from(cores.min(SHARDS_MAX_DEFAULT)).unwrap_or(1)
}

/// A random number that tells this run from any other.
fn boot_number() -> u64 {
    sinew_transport::ResetKeys::random().connection_id
}

/// The token's text, if there is one to read. Only a node that has not joined needs it.
fn read_token(config: &Config, runtime: &Arc<dyn Runtime>) -> Result<Option<String>, RunError> {
    let Some(path) = &config.token_file else { return Ok(None) };
    if runtime.read_file(&config.state.join(IDENTITY)).is_ok() {
        return Ok(None);
    }
    let bytes = runtime.read_file(path).map_err(|source| RunError::File { path: path.clone(), source })?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What the shards bound.
#[derive(Debug, Default)]
struct Bound {
    data: Vec<SocketAddr>,
    listen: Vec<ListenPort>,
}

/// Starts every shard and waits until all have bound. The future ends when all have ended.
async fn start_shards(
    plane: &Arc<Plane>,
    common: &Common,
    host: &Arc<dyn ShardHost>,
    (closing, cut): (&CancellationToken, &CancellationToken),
) -> Result<(Bound, impl Future<Output = ()> + use<>), RunError> {
    let count = u16::try_from(plane.active.len()).unwrap_or(u16::MAX);
    let (handover, arrivals): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(HANDOVER_MAX)).unzip();
    let last = last_ports(plane);
    let mut reports = Vec::new();
    let mut ends = Vec::new();
    for (index, arrivals) in (0..count).zip(arrivals) {
        let (report, reported) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let part = Part {
            index,
            wanted: data_address(&plane.config, index),
            // The port of the last run, so that peers notice at once that what they talk to has restarted.
            last: last.get(usize::from(index)).copied(),
            listens: listens_of(&plane.config, index, count),
            common: common.clone(),
            outbound: Outbound {
                plane: Arc::clone(plane),
                shard: index,
                handover: handover.clone(),
                tracker: TaskTracker::new(),
                closing: closing.clone(),
                stop: cut.child_token(),
            },
            arrivals,
        };
        host.start(format!("sinew-shard-{index}"), Box::pin(part.run(report, end)))
            .map_err(|e| RunError::Shard(index, e.to_string()))?;
        reports.push((index, reported));
        ends.push(ended);
    }
    let mut bound = Bound::default();
    for (index, reported) in reports {
        let (data, listen) =
            reported.await.map_err(|_| RunError::Shard(index, "it ended at once".into()))??;
        bound.data.push(data);
        bound.listen.extend(listen);
    }
    let running = async move {
        for ended in ends {
            let _ = ended.await;
        }
    };
    Ok((bound, running))
}

fn data_address(config: &Config, index: u16) -> SocketAddr {
    let mut address = config.data;
    if address.port() != 0 {
        address.set_port(address.port().saturating_add(index));
    }
    address
}

/// Listeners are spread over the shards that accept for them.
fn listens_of(config: &Config, index: u16, count: u16) -> Vec<Arc<ListenConfig>> {
    let mine = |(i, _): &(usize, &ListenConfig)| i % usize::from(count) == usize::from(index);
    config.listens.iter().enumerate().filter(mine).map(|(_, listen)| Arc::new(listen.clone())).collect()
}

/// One shard on its way to its thread.
struct Part {
    index: u16,
    wanted: SocketAddr,
    last: Option<SocketAddr>,
    listens: Vec<Arc<ListenConfig>>,
    common: Common,
    outbound: Outbound,
    arrivals: mpsc::Receiver<Arrived>,
}

/// A listener, its socket, and where that is.
type BoundListener = (Arc<ListenConfig>, Box<dyn AppListener>, ListenPort);

type Report = Result<(SocketAddr, Vec<ListenPort>), RunError>;

impl Part {
    /// Binds, reports, runs; dropping `_end` tells that it is over.
    async fn run(self, report: oneshot::Sender<Report>, _end: oneshot::Sender<()>) {
        let (shard, bound) = match self.bind() {
            Ok(bound) => bound,
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        let data = shard.local_addr().unwrap_or(self.wanted);
        let ports = bound.iter().map(|(_, _, port)| port.clone()).collect();
        if report.send(Ok((data, ports))).is_err() {
            return;
        }
        let Outbound { plane, tracker, stop, .. } = &self.outbound;
        plane.metrics.runtimes.add_current();
        let mut open = BTreeMap::new();
        for (listen, socket, port) in bound {
            let ListenConfig { service, source, address, .. } = (*listen).clone();
            let listener = AssignedListener { service, source, address };
            plane.listeners.on_bound(&listener, port.address);
            let room = plane.listeners.room(&listener);
            let accepting = tracker.spawn(self.outbound.clone().listen(listen, room, socket, plane.accept()));
            open.insert(listener, accepting);
        }
        tracker.spawn(self.outbound.clone().follow_wanted(open, plane.accept()));
        let taking = tracker.spawn(self.outbound.clone().take_over(self.arrivals));
        let inbound = Inbound { plane: Arc::clone(plane), stop: stop.clone() };
        shard.run(Arc::new(inbound)).await;
        taking.abort();
        tracker.close();
        let _ = timeout(STOP_TIME, tracker.wait()).await;
    }

    fn bind(&self) -> Result<(Shard, Vec<BoundListener>), RunError> {
        let runtime = &self.common.runtime;
        let stop = self.outbound.stop.clone();
        let again = self.last.filter(|last| self.wanted.port() == 0 && last.ip() == self.wanted.ip());
        let shard = again
            .and_then(|last| Shard::bind(self.index, last, self.common.clone(), stop.clone()).ok())
            .map_or_else(|| Shard::bind(self.index, self.wanted, self.common.clone(), stop), Ok)?;
        let mut bound = Vec::new();
        for listen in &self.listens {
            let address = listen.address;
            let listening =
                |source| RunError::Listen { address, what: format!("service `{}`", listen.service), source };
            let socket = runtime.listen(address).map_err(listening)?;
            let address = socket.local_addr().map_err(listening)?;
            let port = ListenPort { service: listen.service.clone(), source: listen.source.clone(), address };
            bound.push((Arc::clone(listen), socket, port));
        }
        Ok((shard, bound))
    }
}

fn ports_path(plane: &Plane) -> PathBuf {
    plane.config.state.join("ports.json")
}

/// The data sockets of the last run; none when there was none or its file can't be read.
fn last_ports(plane: &Plane) -> Vec<SocketAddr> {
    let read = plane.runtime.read_file(&ports_path(plane)).ok();
    read.and_then(|json| serde_json::from_slice::<Ports>(&json).ok())
        .map(|ports| ports.data)
        .unwrap_or_default()
}

fn write_ports(plane: &Plane, ports: &Ports) -> Result<(), RunError> {
    let path = ports_path(plane);
    let written = serde_json::to_vec_pretty(ports)
        .map_err(io::Error::other)
        .and_then(|json| plane.runtime.write_file(&path, &json, Access::Public));
    written.map_err(|source| RunError::File { path, source })
}
