//! A shard of the data plane: one UDP socket, one endpoint, the links on it, and whoever dials for more.
//!
//! A shard is a future. In the program each has a thread and a single-threaded runtime of its own, so
//! that the bytes of a connection stay where they were accepted; in simulation all share one.
//!
//! A connection's story is [`live`]: greeted, in the table, carrying streams, gone. Each wanted peer has
//! one task here that keeps it up ([`crate::dial`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::Endpoint;
use sinew_transport_core::Code;
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::link::LinkEstimator;
use sinew_transport_core::wire::{ECHO, Ext, Hello, Ping};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::dial::dial_all;
use crate::greet::{Greeted, greet_dialler, read_tells};
use crate::keyring::{Keyring, Serving};
use crate::lifetime::{Fingerprint, Lifetime};
use crate::link::{Birth, Link};
use crate::monitor::Monitor;
use crate::peers::{Peer, Peers};
use crate::quic::{self, HANDSHAKES_MAX, PROVE_FROM, ResetKeys};
use crate::runtime::Runtime;
use crate::session::{self, BindError};
use crate::stream::{SendStream, StreamError};
use crate::tap::TapFactory;
use crate::tell::{StreamHandler, Teller};
use crate::tls::{self, ALPN_DATA, Credentials, CredentialsError};
use crate::validity::Trust;
use crate::verify::{Expect, Refusal, Refusals};

/// How long a handshake and the greeting may take.
const GREETING_TIME: Duration = Duration::from_secs(5);
/// How long a retired link stays, so that the other end has noticed that it is retired.
const RETIRED_FOR: Duration = Duration::from_secs(1);
/// How long the last frames of ended streams have to leave: quinn tells nobody when a reset was sent.
const FLUSH_TIME: Duration = Duration::from_millis(5);
/// How long a stopping shard waits for what it closed to be acknowledged.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// What all shards of a node share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The world.
    pub runtime: Arc<dyn Runtime>,
    /// Who we are.
    pub keyring: Arc<Keyring>,
    /// Whether certificates count after their end.
    pub trust: Arc<Trust>,
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
    pub(crate) index: u16,
    pub(crate) common: Common,
    clock: Clock,
    pub(crate) endpoint: Endpoint,
    wake: Arc<Notify>,
    server: Serving<quinn::ServerConfig>,
    pub(crate) tracker: TaskTracker,
    /// Takes nothing new.
    stop: CancellationToken,
    /// Ends what is there.
    pub(crate) closing: CancellationToken,
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
        let server = Serving::new(common.keyring.current(), |own| server(&common, own))?;
        let (_, config) = server.with(common.keyring.current(), |own| self::server(&common, own));
        let endpoint = session::bind(&common.runtime, address, &common.keys, quic::MTU_MAX, Some(config))?;
        Ok(Self {
            index,
            common,
            clock: Clock::start(),
            endpoint,
            wake: Arc::new(Notify::new()),
            server,
            tracker: TaskTracker::new(),
            stop,
            closing: CancellationToken::new(),
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
            runtime: Arc::clone(&shard.common.runtime),
            trust: Arc::clone(&shard.common.trust),
            suspicion: shard.common.suspicion,
        };
        shard.tracker.spawn(monitor.run(shard.closing.clone()));
        let accepting = accept_all(Arc::clone(&shard), Arc::clone(&handler));
        let dialling = dial_all(Arc::clone(&shard), handler);
        tokio::select! {
            () = shard.stop.cancelled() => {}
            () = accepting => {}
            () = dialling => {}
        }
        // Whoever carries a stream has been told to stop, too, and ends it with a code of its own, which must
        // reach the peer before the connection under it is closed.
        let _ = timeout(CLOSING_TIME, shard.streams_ended()).await;
        shard.closing.cancel();
        shard.endpoint.close(quinn::VarInt::from_u32(0), b"the node stops");
        shard.tracker.close();
        let _ = timeout(CLOSING_TIME, async {
            shard.endpoint.wait_idle().await;
            shard.tracker.wait().await;
        })
        .await;
    }

    /// Waits until no stream is left on this shard's links, and their last frames had time to leave.
    async fn streams_ended(&self) {
        let busy = |peer: &Arc<Peer>| peer.links().iter().any(|l| l.shard() == self.index && l.streams() > 0);
        while self.common.peers.all().iter().any(busy) {
            sleep(FLUSH_TIME).await;
        }
        sleep(FLUSH_TIME).await;
    }

    /// What a connection that is accepted now shows, and the settings for it.
    pub(crate) fn server(&self) -> (Arc<Credentials>, quinn::ServerConfig) {
        self.server.with(self.common.keyring.current(), |own| server(&self.common, own))
    }

    pub(crate) fn hello(&self, lane: u16, vouches: Ext) -> Hello {
        Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            build: String::new(),
            boot: self.common.boot,
            lane,
            capabilities: vec![ECHO.to_owned()],
            revision: self.common.peers.revision(),
            ext: vouches,
        }
    }

    pub(crate) fn tap(&self) -> (Arc<LinkEstimator>, Arc<quinn::TransportConfig>) {
        let estimator = Arc::new(LinkEstimator::new(self.clock.now_us()));
        let factory = TapFactory { estimator: Arc::clone(&estimator), clock: self.clock };
        (estimator, Arc::new(quic::data(Arc::new(factory))))
    }

    pub(crate) fn link(
        &self,
        connection: quinn::Connection,
        peer: NodeName,
        hello: Hello,
        dialled: Option<u16>,
        estimator: Arc<LinkEstimator>,
        own: &Credentials,
    ) -> Arc<Link> {
        let now = self.common.runtime.wall_now();
        let until = session::peer_validity(&connection).map_or(0, |theirs| theirs.until).min(own.expiry());
        let fingerprint = Fingerprint::of(&connection);
        let lifetime = Lifetime::new(now, until, &self.common.trust, dialled.is_some(), fingerprint);
        let birth = Birth {
            peer,
            lane: dialled.unwrap_or(hello.lane),
            hello,
            shard: self.index,
            dialled_here: dialled.is_some(),
            estimator,
            clock: self.clock,
            wake: Arc::clone(&self.wake),
            lifetime,
        };
        Arc::new(Link::new(connection, birth))
    }
}

/// The settings of accepted connections that show these credentials.
fn server(common: &Common, own: &Credentials) -> Result<quinn::ServerConfig, CredentialsError> {
    let expect = Expect::AnyNode(own.identity().trust_domain().clone());
    let tls =
        tls::server(&common.runtime, own, expect, false, &[ALPN_DATA], &common.trust, &common.refusals)?;
    let mut server = quinn::ServerConfig::new(Arc::new(tls), common.keys.token_key());
    server.migration(false).time_source(Arc::new(tls::WallTime(Arc::clone(&common.runtime))));
    quic::limit_strangers(&mut server);
    Ok(server)
}

async fn accept_all(shard: Arc<Shard>, handler: Arc<dyn StreamHandler>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = shard.endpoint.accept().await {
        let in_progress = HANDSHAKES_MAX - room.available_permits();
        if in_progress >= PROVE_FROM && !incoming.remote_address_validated() {
            shard.common.refusals.count_retry();
            // It fails only for an address that is proven.
            let _ = incoming.retry();
            continue;
        }
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
                Ok(Ok(greeted)) => begin(&shard, greeted, handler),
                Ok(Err((refusal, reason))) => refused(&shard, refusal, remote, &reason),
                Err(_) => refused(&shard, Some(Refusal::Timeout), remote, "too slow"),
            }
        });
    }
}

fn refused(shard: &Shard, refusal: Option<Refusal>, remote: SocketAddr, reason: &str) {
    if let Some(refusal) = refusal {
        shard.common.refusals.count(refusal);
        if let Some(withheld) = shard.common.refusals.admit_line(Some(refusal)) {
            tracing::warn!(%remote, reason, refusal = refusal.name(), withheld, "data connection refused");
        }
    } else if let Some(withheld) = shard.common.refusals.admit_line(None) {
        // The verifier has counted and named what it refused, but can't know where it came from.
        tracing::info!(%remote, reason, withheld, "data connection refused");
    }
}

/// A greeted connection comes into use at once, and lives in a task of its own.
pub(crate) fn begin(shard: &Arc<Shard>, greeted: Greeted, handler: Arc<dyn StreamHandler>) {
    let peer = shard.common.peers.add(&greeted.link);
    shard.wake.notify_one();
    let (link, until) = (&greeted.link, greeted.link.vouched_until());
    tracing::info!(peer = %link.peer(), lane = link.lane(), connection = link.number(), remote = %link.remote(), dialled = link.dialled_here(), until, "link up");
    let shard = Arc::clone(shard);
    shard.tracker.clone().spawn(async move { live(&shard, &peer, greeted, handler).await });
}

/// A connection from its greeting to its end.
async fn live(shard: &Arc<Shard>, peer: &Peer, greeted: Greeted, handler: Arc<dyn StreamHandler>) {
    let Greeted { link, mut send, mut receive } = greeted;
    let accepting = async {
        while let Ok(stream) = link.accept().await {
            if peer.is_beyond_limit() {
                // Each of its links may allow as many alone; together they may not.
                stream.refuse(Code::Overloaded);
                handler.on_refused(&link, Code::Overloaded);
            } else {
                shard.tracker.spawn(handler.handle(stream));
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = speak(&link, &mut send, handler.teller(&link)) => {}
        error = read_tells(&mut receive, &link, &*handler) => unreadable(shard, &link, &error),
        () = retire(&link) => {}
        () = shard.closing.cancelled() => {}
    }
    link.close("done");
    shard.common.peers.remove(&link, peer);
    let reason = link.closed().await;
    tracing::info!(peer = %link.peer(), lane = link.lane(), connection = link.number(), reason, "link down");
}

/// Says what is to be said on the first stream of a link, for as long as it can be: tells, echoes and keep-alives.
async fn speak(link: &Link, send: &mut SendStream, mut teller: Box<dyn Teller>) {
    loop {
        let frames = tokio::select! {
            frames = teller.next() => send.write(frames.into()).await,
            frame = link.echoes.next() => send.write(frame.into()).await,
            () = link.ping.notified() => send.write_frame(&Ping { padding: [0; 32] }, Bytes::new()).await,
        };
        if frames.is_err() {
            return;
        }
    }
}

/// The first stream of a link came to its end. If that was for what the peer sent, it is told, and counted.
fn unreadable(shard: &Shard, link: &Link, error: &StreamError) {
    if let StreamError::Malformed(malformed) = error {
        shard.common.refusals.count(Refusal::BadHello);
        tracing::warn!(peer = %link.peer(), reason = %malformed, "peer sent what can't be read");
        link.close(&format!("after the greeting: {malformed}"));
    }
}

/// Ends when a retired link has nothing left to do.
async fn retire(link: &Link) {
    let mut idle = false;
    loop {
        sleep(RETIRED_FOR).await;
        // Only the dialler closes, so that both ends need not agree on the moment.
        let still_idle = link.retired() && link.dialled_here() && link.streams() == 0;
        if idle && still_idle {
            return;
        }
        idle = still_idle;
    }
}
