//! A shard of the data plane: one UDP socket, one endpoint, the links on it, and whoever dials for more.
//!
//! A shard is a future. In the program each has a thread and a single-threaded runtime of its own, so
//! that the bytes of a connection stay where they were accepted; in simulation all share one.
//!
//! A connection's story is [`live`]: greeted, in the table, carrying streams, gone. Each wanted peer has
//! one [`keep`] task here, which dials, waits for the end, and dials again with back-off.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::link::LinkEstimator;
use sinew_transport_core::wire::{Hello, Ping};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::link::{Birth, Link, Stream};
use crate::monitor::Monitor;
use crate::peers::{Peer, Peers};
use crate::quic::{self, ResetKeys};
use crate::runtime::{BoxFuture, Runtime};
use crate::session::{self, BindError, alpn_of, peer_identity, refusal_of};
use crate::stream::{RecvStream, SendStream, StreamError};
use crate::tap::TapFactory;
use crate::tls::{self, ALPN_DATA, Credentials, SERVER_NAME};
use crate::verify::{Expect, Refusal, Refusals};

/// Handshakes of others in progress at once.
const HANDSHAKES_MAX: usize = 1024;
/// How long a handshake and the greeting may take.
const GREETING_TIME: Duration = Duration::from_secs(5);
/// How long one dial may take before the next.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// Back-off between dials: at least, at most. A peer that returns gets its share back soon.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a retired link stays, so that the other end has noticed that it is retired.
const RETIRED_FOR: Duration = Duration::from_secs(1);
/// How long a stopping shard waits for what it closed to be acknowledged.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Who takes the streams that peers open.
pub trait StreamHandler: Send + Sync + 'static {
    /// Serves one stream to its end.
    fn handle(&self, stream: Stream) -> BoxFuture<'static, ()>;
}

/// What all shards of a node share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The world.
    pub runtime: Arc<dyn Runtime>,
    /// Who we are.
    pub credentials: Credentials,
    /// Secrets that survive a restart.
    pub keys: ResetKeys,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// Connections refused, by reason.
    pub refusals: Arc<Refusals>,
    /// A random number of this run of the program.
    pub boot: u64,
    /// After how long a silent peer's streams are given up.
    pub dead_after: Duration,
    /// False in a control experiment: nobody is ever suspect.
    pub suspicion: bool,
}

/// One shard, bound.
pub struct Shard {
    index: u16,
    common: Common,
    clock: Clock,
    endpoint: Endpoint,
    wake: Arc<Notify>,
    server: quinn::ServerConfig,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Shard {
    /// Binds shard `index` to `address`. Must be called in the tokio runtime that will run it.
    ///
    /// # Errors
    /// [`BindError`] when the port or the credentials can't be used.
    pub fn bind(
        index: u16,
        address: SocketAddr,
        common: Common,
        stop: CancellationToken,
    ) -> Result<Self, BindError> {
        let expect = Expect::AnyNode(common.credentials.identity().trust_domain().clone());
        let tls =
            tls::server(&common.runtime, &common.credentials, expect, false, &[ALPN_DATA], &common.refusals)?;
        let mut server = quinn::ServerConfig::new(Arc::new(tls), common.keys.token_key());
        server.migration(false);
        let endpoint = session::bind(&common.runtime, address, &common.keys, Some(server.clone()))?;
        Ok(Self {
            index,
            common,
            clock: Clock::start(),
            endpoint,
            wake: Arc::new(Notify::new()),
            server,
            tracker: TaskTracker::new(),
            stop,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Runs until stopped; then closes every connection.
    pub async fn run(self, handler: Arc<dyn StreamHandler>) {
        let shard = Arc::new(self);
        let monitor = Monitor {
            shard: shard.index,
            peers: Arc::clone(&shard.common.peers),
            wake: Arc::clone(&shard.wake),
            dead_after: shard.common.dead_after,
            suspicion: shard.common.suspicion,
        };
        shard.tracker.spawn(monitor.run(shard.stop.clone()));
        let accepting = accept_all(Arc::clone(&shard), Arc::clone(&handler));
        let dialling = dial_all(Arc::clone(&shard), handler);
        tokio::select! {
            () = shard.stop.cancelled() => {}
            () = accepting => {}
            () = dialling => {}
        }
        shard.endpoint.close(quinn::VarInt::from_u32(0), b"the node stops");
        shard.tracker.close();
        // Streams end by themselves now that their connections are closed.
        let _ = timeout(CLOSING_TIME, async {
            shard.endpoint.wait_idle().await;
            shard.tracker.wait().await;
        })
        .await;
    }

    fn hello(&self, lane: u16) -> Hello {
        Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            build: String::new(),
            boot: self.common.boot,
            lane,
            capabilities: vec![],
            revision: self.common.peers.revision(),
            ext: vec![],
        }
    }

    fn tap(&self) -> (Arc<LinkEstimator>, Arc<quinn::TransportConfig>) {
        let estimator = Arc::new(LinkEstimator::new(self.clock.now_us()));
        let factory = TapFactory { estimator: Arc::clone(&estimator), clock: self.clock };
        (estimator, Arc::new(quic::data(Arc::new(factory))))
    }

    fn link(
        &self,
        connection: quinn::Connection,
        peer: NodeName,
        hello: Hello,
        dialled: Option<u16>,
        estimator: Arc<LinkEstimator>,
    ) -> Arc<Link> {
        let birth = Birth {
            peer,
            lane: dialled.unwrap_or(hello.lane),
            hello,
            shard: self.index,
            dialled_here: dialled.is_some(),
            estimator,
            clock: self.clock,
            wake: Arc::clone(&self.wake),
        };
        Arc::new(Link::new(connection, birth))
    }
}

/// A greeted connection's first stream.
struct Greeted {
    link: Arc<Link>,
    send: SendStream,
    receive: RecvStream,
}

async fn accept_all(shard: Arc<Shard>, handler: Arc<dyn StreamHandler>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = shard.endpoint.accept().await {
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            shard.common.refusals.count(Refusal::Overloaded);
            incoming.refuse();
            continue;
        };
        let (shard, handler) = (Arc::clone(&shard), Arc::clone(&handler));
        shard.tracker.clone().spawn(async move {
            let remote = incoming.remote_address();
            let greeted = timeout(GREETING_TIME, greet_dialler(&shard, incoming)).await;
            drop(permit);
            match greeted {
                Ok(Ok(greeted)) => live(&shard, greeted, handler).await,
                Ok(Err((refusal, reason))) => refused(&shard, refusal, remote, &reason),
                Err(_) => refused(&shard, Some(Refusal::Timeout), remote, "too slow"),
            }
        });
    }
}

fn refused(shard: &Shard, refusal: Option<Refusal>, remote: SocketAddr, reason: &str) {
    // The verifier has counted and named what it refused.
    if let Some(refusal) = refusal {
        shard.common.refusals.count(refusal);
        tracing::warn!(%remote, reason, refusal = refusal.name(), "data connection refused");
    }
}

type NotGreeted = (Option<Refusal>, String);

/// The accepting side of the greeting: handshake, their Hello, ours.
async fn greet_dialler(shard: &Shard, incoming: quinn::Incoming) -> Result<Greeted, NotGreeted> {
    let (estimator, transport) = shard.tap();
    let mut config = shard.server.clone();
    config.transport_config(transport);
    let connecting =
        incoming.accept_with(Arc::new(config)).map_err(|e| (Some(Refusal::Other), e.to_string()))?;
    let connection = connecting.await.map_err(|e| (refusal_of(&e), e.to_string()))?;
    let Some(Identity::Node(_, peer)) = peer_identity(&connection) else {
        return Err((Some(Refusal::NoIdentity), "no node's certificate".into()));
    };
    if alpn_of(&connection).as_deref() != Some(ALPN_DATA) {
        return Err((Some(Refusal::Protocol), "another protocol".into()));
    }
    let opened = connection.accept_bi().await.map_err(|e| (Some(Refusal::Other), e.to_string()))?;
    let (mut send, mut receive) = (SendStream::new(opened.0), RecvStream::new(opened.1));
    let hello: Hello = receive.read_frame().await.map_err(|e| bad_hello(&connection, &e))?;
    send.write_frame(&shard.hello(hello.lane), bytes::Bytes::new())
        .await
        .map_err(|e| bad_hello(&connection, &e))?;
    let link = shard.link(connection, peer, hello, None, estimator);
    Ok(Greeted { link, send, receive })
}

fn bad_hello(connection: &quinn::Connection, error: &StreamError) -> NotGreeted {
    connection.close(quinn::VarInt::from_u32(1), format!("greeting: {error}").as_bytes());
    (Some(Refusal::BadHello), error.to_string())
}

/// The dialling side of the greeting: handshake, our Hello, theirs. Only then is the peer up: a TLS 1.3
/// client believes that it is connected before the server has looked at its certificate.
async fn greet_peer(
    shard: &Shard,
    peer: &NodeName,
    lane: u16,
    address: SocketAddr,
) -> Result<Greeted, String> {
    let common = &shard.common;
    let domain = common.credentials.identity().trust_domain().clone();
    let expect = Expect::Exactly(Identity::Node(domain, peer.clone()));
    let tls = tls::client(&common.runtime, &common.credentials, expect, ALPN_DATA, &common.refusals)
        .map_err(|e| e.to_string())?;
    let (estimator, transport) = shard.tap();
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport);
    let connecting = shard.endpoint.connect_with(config, address, SERVER_NAME).map_err(|e| e.to_string())?;
    let connection = connecting.await.map_err(|e| e.to_string())?;
    // What the refusing side says is in the connection's end, not in the stream's error.
    let why = |error: String| connection.close_reason().map_or(error, |reason| reason.to_string());
    let opened = connection.open_bi().await.map_err(|e| why(e.to_string()))?;
    let (mut send, mut receive) = (SendStream::new(opened.0), RecvStream::new(opened.1));
    send.write_frame(&shard.hello(lane), bytes::Bytes::new()).await.map_err(|e| why(e.to_string()))?;
    let hello: Hello = receive.read_frame().await.map_err(|e| why(e.to_string()))?;
    let link = shard.link(connection.clone(), peer.clone(), hello, Some(lane), estimator);
    Ok(Greeted { link, send, receive })
}

/// A connection from its greeting to its end.
async fn live(shard: &Arc<Shard>, greeted: Greeted, handler: Arc<dyn StreamHandler>) {
    let Greeted { link, mut send, mut receive } = greeted;
    let peer = shard.common.peers.add(&link);
    shard.wake.notify_one();
    tracing::info!(peer = %link.peer(), lane = link.lane(), remote = %link.remote(), dialled = link.dialled_here(), "link up");
    let accepting = async {
        while let Ok(stream) = link.accept().await {
            shard.tracker.spawn(handler.handle(stream));
        }
    };
    let pinging = async {
        loop {
            link.ping.notified().await;
            if send.write_frame(&Ping { padding: [0; 32] }, bytes::Bytes::new()).await.is_err() {
                return;
            }
        }
    };
    // Tells are read and, as long as none is known here, only checked for being frames.
    let reading = async { while receive.read_frame::<Ping>().await.is_ok() {} };
    tokio::select! {
        () = accepting => {}
        () = pinging => {}
        () = reading => {}
        () = retire(&link) => {}
        () = shard.stop.cancelled() => {}
    }
    link.close("done");
    shard.common.peers.remove(&link, &peer);
    let reason = link.closed().await;
    tracing::info!(peer = %link.peer(), lane = link.lane(), reason, "link down");
}

/// Ends when a retired link has nothing left to do.
async fn retire(link: &Link) {
    loop {
        sleep(RETIRED_FOR).await;
        // Only the dialler closes, so that both ends need not agree on the moment.
        if link.retired() && link.dialled_here() && link.streams() == 0 {
            return;
        }
    }
}

/// Keeps one [`keep`] task for every peer in the table.
async fn dial_all(shard: Arc<Shard>, handler: Arc<dyn StreamHandler>) {
    let mut changes = shard.common.peers.changes.subscribe();
    let mut keepers: HashMap<NodeName, (Arc<Peer>, CancellationToken)> = HashMap::new();
    loop {
        let peers = shard.common.peers.all();
        keepers.retain(|name, (peer, cancel)| {
            let stays = peers.iter().any(|p| p.name() == name && Arc::ptr_eq(p, peer));
            if !stays {
                cancel.cancel();
            }
            stays
        });
        for peer in peers {
            keepers.entry(peer.name().clone()).or_insert_with(|| {
                let cancel = shard.stop.child_token();
                let keeping = keep(Arc::clone(&shard), Arc::clone(&peer), Arc::clone(&handler));
                let cancelled = cancel.clone();
                shard.tracker.spawn(async move {
                    tokio::select! {
                        () = cancelled.cancelled() => {}
                        () = keeping => {}
                    }
                });
                (peer, cancel)
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps this shard's lane to a peer up for as long as it is wanted.
async fn keep(shard: Arc<Shard>, peer: Arc<Peer>, handler: Arc<dyn StreamHandler>) {
    let lane = shard.index;
    let mut target = peer.target.subscribe();
    let mut lanes = peer.lanes_wanted.subscribe();
    let mut backoff = BACKOFF.0;
    loop {
        let address = wanted_address(&peer, lane, &mut target, &mut lanes).await;
        if let Some(link) = peer.lane(lane, lane) {
            // Someone's connection serves this lane already.
            link.closed().await;
            continue;
        }
        match timeout(DIAL_TIME, greet_peer(&shard, peer.name(), lane, address)).await {
            Ok(Ok(greeted)) => {
                backoff = BACKOFF.0;
                live(&shard, greeted, Arc::clone(&handler)).await;
            }
            failed => {
                let reason = match failed {
                    Ok(Err(reason)) => reason,
                    _ => format!("no answer in {DIAL_TIME:?}"),
                };
                peer.dial_failed();
                tracing::info!(peer = %peer.name(), %address, reason, retry_in = ?backoff, "peer can't be reached");
                // Half fixed, half random, so that nodes that lost the same peer do not dial in step.
                let pause = backoff / 2 + backoff.mul_f64(0.5 * jitter());
                backoff = (backoff * 2).min(BACKOFF.1);
                tokio::select! {
                    () = sleep(pause) => {}
                    // A peer that moved or came back is dialled at once.
                    _ = target.changed() => backoff = BACKOFF.0,
                }
            }
        }
    }
}

/// A number in 0..1. Not from a seed: it only spreads dials in time.
fn jitter() -> f64 {
    let mut byte = [0_u8; 1];
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}

/// Waits until this shard should have a lane to the peer, and says where to.
async fn wanted_address(
    peer: &Peer,
    lane: u16,
    target: &mut watch::Receiver<crate::peers::Target>,
    lanes: &mut watch::Receiver<u64>,
) -> SocketAddr {
    loop {
        let asked = *lanes.borrow_and_update() & (1 << (lane % 64)) != 0;
        let found = {
            let target = target.borrow_and_update();
            // Shard 0 keeps a lane to every wanted peer; the others once they carry something.
            let wanted = target.wanted && (lane == 0 || asked);
            let index = usize::from(lane) % target.addresses.len().max(1);
            target.addresses.get(index).copied().filter(|_| wanted)
        };
        if let Some(address) = found {
            return address;
        }
        tokio::select! {
            _ = target.changed() => {}
            _ = lanes.changed() => {}
        }
        tracing::trace!(peer = %peer.name(), lane, "target changed");
    }
}
