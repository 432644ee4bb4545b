//! The control session: registered, kept up with back-off, snapshots taken into use.
//!
//! Traffic never waits for it. While no controller answers, the node goes on with what it has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_api::control::{
    Ack, Farewell, FarewellReason, LinkReport, LinkState, Listen, MAX_CHUNKS, REJECT_BASE, Register, Reject,
    Renewed, Report, SnapshotChunk, Welcome,
};
use sinew_api::hosting::Serving;
use sinew_api::{Delta, Snapshot, delta};
use sinew_node_core::{Backoff, Reporter};
use sinew_transport::peers::Peer;
use sinew_transport::session::{FrameSender, Session, SessionCloser, SessionError};
use sinew_transport::validity::{Replaced, replace_after};
use sinew_transport::verify::Refusals;
use sinew_transport::{Keyring, Reach, StreamError, Trust};
use sinew_transport_core::ids::Revision;
use sinew_transport_core::wire::{self, Malformed, Message};
use tokio::sync::mpsc;
use tokio::time::{Duration as TokioDuration, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::hosting::Telling;
use crate::plane::Plane;
use crate::reach::{Controllers, Opened};
use crate::renewal::Renewal;

/// Between two rounds of attempts to reach a controller: at least, at most. Ten thousand nodes that look for one
/// every second cost it less than a handshake each, and it takes no more of those at once than it can.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The same after another process with this node's identity took over: at least, at most. It is for a person
/// to end that; the first try tells the controller that both are alive.
const SUPERSEDED_BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(10));

/// How long the first registration waits for the first checks: a service that answers does so within it, and is then
/// never announced as one that does not.
const FIRST_CHECKS: Duration = Duration::from_millis(100);

/// How often a node says what it sees of its links.
const REPORT_EVERY: TokioDuration = Duration::from_secs(1);

/// Control frames between the reader and the session; the controller waits beyond it.
const FRAMES_MAX: usize = 16;

/// Keeps a session with one of the controllers, for ever.
pub(crate) struct Control {
    pub(crate) plane: Arc<Plane>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) boot: u64,
    /// Where this node's shards listen.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) refusals: Arc<Refusals>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionOver {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the controller sent what can't be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("the controller ended the session: {detail}")]
    Farewell { reason: FarewellReason, detail: String },
    #[error("another session takes over")]
    Succeeded(Box<Opened>),
}

impl Control {
    /// Runs until stopped; then the controller is told, so that nobody is sent here any more.
    pub(crate) async fn run(
        self,
        mut controllers: Controllers,
        mut renewal: Renewal,
        stop: CancellationToken,
    ) {
        let mut rng = fastrand::Rng::with_seed(self.boot);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut superseded = Backoff::new(SUPERSEDED_BACKOFF.0, SUPERSEDED_BACKOFF.1);
        // A session that takes over, and the one that it takes over from.
        let (mut next, mut before) = (None, None);
        if controllers.count() == 0 {
            tracing::error!("no controller is known: set `controllers`, or join again with a new token");
            return;
        }
        let _ = timeout(FIRST_CHECKS, self.plane.hosting.first_findings()).await;
        loop {
            let opened = match next.take() {
                Some(opened) => Some(opened),
                None => tokio::select! {
                    opened = self.dial(&mut controllers) => opened,
                    () = stop.cancelled() => return,
                },
            };
            let mut pause = None;
            match opened {
                Some(opened) if renewal.expired() => {
                    let controller = opened.controller;
                    tracing::warn!(%controller, "this node's certificate has expired: asking for another");
                    renewal.by_session(opened.session).await;
                }
                Some(opened) => {
                    let (controller, closer) = (opened.controller, opened.session.closer());
                    let holding =
                        self.hold(opened, &mut backoff, before.take(), &mut renewal, &mut controllers);
                    let over = tokio::select! {
                        over = holding => over,
                        () = stop.cancelled() => return closer.close_and_wait("the node stops").await,
                    };
                    renewal.on_session_end();
                    if let SessionOver::Succeeded(successor) = over {
                        (next, before) = (Some(*successor), Some(closer));
                        continue;
                    }
                    closer.close("over");
                    self.plane.metrics.session.set(0);
                    self.tell(controller, &over);
                    if let SessionOver::Farewell { reason: FarewellReason::Superseded, .. } = over {
                        pause = Some(superseded.next(&mut rng));
                    }
                }
                None if renewal.expired() => {
                    let until = self.keyring.current().expiry();
                    tracing::error!(
                        until,
                        "this node's certificate has expired, and no controller took it to renew it; if one is there, its `expiry_grace` is over: join again with a new token and an empty state directory"
                    );
                }
                None => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause.unwrap_or_else(|| backoff.next(&mut rng))) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn dial(&self, controllers: &mut Controllers) -> Option<Opened> {
        controllers.dial(&self.plane.runtime, &self.keyring.current(), &self.refusals).await
    }

    /// Another session in good time before `until`, the end of the certificates that the one in use was made
    /// with.
    async fn successor(&self, controllers: &mut Controllers, until: u64) -> Opened {
        let left = Duration::from_secs(until).saturating_sub(self.plane.runtime.wall_now());
        let mut rng = fastrand::Rng::with_seed(self.boot ^ until);
        let in_time = tokio::time::sleep(replace_after(left, Replaced::First, rng.f64()));
        tokio::select! {
            () = in_time => {}
            // What is registered has changed: said by a session that begins before this one ends.
            () = self.plane.reregister.notified() => {}
        }
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self.dial(controllers).await {
                Some(opened) => return opened,
                None => tokio::time::sleep(backoff.next(&mut rng)).await,
            }
        }
    }

    fn tell(&self, controller: SocketAddr, over: &SessionOver) {
        match over {
            SessionOver::Farewell { reason: FarewellReason::Superseded, detail } => {
                tracing::error!(%controller, detail, "another process uses this node's identity: was the state directory copied?");
            }
            SessionOver::Farewell {
                reason: FarewellReason::NotGranted | FarewellReason::Invalid,
                detail,
            } => {
                tracing::error!(%controller, detail, "the controller refuses this node's registration");
            }
            over => {
                tracing::warn!(%controller, %over, "control session over; traffic goes on with the last snapshot")
            }
        }
    }

    /// One session, from registration to its end. `before` is closed once this one is taken.
    async fn hold(
        &self,
        opened: Opened,
        backoff: &mut Backoff,
        mut before: Option<SessionCloser>,
        renewal: &mut Renewal,
        controllers: &mut Controllers,
    ) -> SessionOver {
        let Opened { session, controller, until } = opened;
        let (closer, mut received) = (session.closer(), 0);
        let Session { mut sender, mut receiver, .. } = session;
        let mut telling = Telling::new(&self.plane.hosting);
        if let Err(over) = sender.send(&self.registration(telling.whole())).await {
            return over.into();
        }
        // Reading is not cancel-safe: it has a loop of its own.
        let (frames, mut inbox) = mpsc::channel(FRAMES_MAX);
        let reading = async {
            loop {
                match receiver.next().await {
                    Ok(frame) => {
                        if frames.send(frame).await.is_err() {
                            return SessionError::Closed("closed here".into());
                        }
                    }
                    Err(error) => {
                        // What came before the end is taken first: it may be a farewell, which says why.
                        let _ = frames.reserve_many(FRAMES_MAX).await;
                        return error;
                    }
                }
            }
        };
        let talking = async {
            let mut chunks = Chunks::default();
            let mut reporter = Reporter::begin(&self.plane.view());
            let mut reports = interval(REPORT_EVERY);
            reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    Some(frame) = inbox.recv() => match frame.kind() {
                        Welcome::KIND => {
                            let welcome: Welcome = frame.decode()?;
                            tracing::info!(%controller, name = %welcome.controller, version = welcome.version, "control session up");
                            self.plane.metrics.session.set(1);
                            backoff.reset();
                            if let Some(before) = before.take() {
                                before.close("a newer session took over");
                            }
                        }
                        SnapshotChunk::KIND => {
                            if let Some(snapshot) = chunks.take(frame.decode()?)? {
                                self.apply(snapshot, &mut sender).await?;
                            }
                        }
                        Delta::KIND => self.take(frame.decode()?, &mut sender).await?,
                        Renewed::KIND => drop(renewal.on_answer(frame.decode()?)),
                        Farewell::KIND => {
                            let Farewell { reason, detail } = frame.decode()?;
                            return Err(SessionOver::Farewell { reason, detail });
                        }
                        _ if frame.skippable() => {}
                        kind => return Err(Malformed::UnknownKind(kind).into()),
                    },
                    serving = telling.changed() => sender.send(&serving).await?,
                    _ = reports.tick() => {
                        // What was sent a second ago is acknowledged by now, if anybody is there.
                        if std::mem::replace(&mut received, closer.received()) != received {
                            self.trust.heard(self.plane.runtime.wall_now().as_secs());
                        }
                        sender.send(&self.report(&mut reporter)).await?;
                    }
                    () = renewal.due() => if let Some(renew) = renewal.handle_due() {
                        sender.send(&renew).await?;
                    },
                }
            }
        };
        tokio::select! {
            error = reading => error.into(),
            over = talking => match over {
                Err(over) => over,
                Ok(never) => never,
            },
            opened = self.successor(controllers, until) => SessionOver::Succeeded(Box::new(opened)),
        }
    }

    fn registration(&self, serving: Serving) -> Register {
        let config = self.plane.live();
        Register {
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.boot,
            addresses: self.addresses.clone(),
            zone: config.zone.clone(),
            serving: serving.version,
            serves: serving.changes.into_iter().filter_map(|(_, serve)| serve).collect(),
            listens: config
                .listens
                .iter()
                .map(|listen| Listen { service: listen.service.clone(), source: listen.source.clone() })
                .collect(),
            certificate_expiry: self.keyring.current().expiry(),
            have: *self.plane.revision().borrow(),
            ext: vec![],
        }
    }

    /// Takes a difference into use, or says why not.
    async fn take(&self, delta: Delta, sender: &mut FrameSender) -> Result<(), SessionError> {
        let held = self.plane.held().unwrap_or_default();
        let revision = delta.to;
        match delta::apply(&held, delta) {
            Ok(snapshot) => self.apply(snapshot, sender).await,
            Err(wrong) => {
                tracing::warn!(%revision, %wrong, "asking the controller for the whole snapshot");
                sender.send(&Reject { revision, name: REJECT_BASE.into(), reason: wrong.to_string() }).await
            }
        }
    }

    /// Takes a snapshot into use, or says why not.
    async fn apply(&self, snapshot: Snapshot, sender: &mut FrameSender) -> Result<(), SessionError> {
        let revision = snapshot.revision;
        match self.plane.apply(snapshot) {
            Ok(revision) => {
                tracing::debug!(%revision, "snapshot in use");
                sender.send(&Ack { revision }).await
            }
            Err(rejected) => {
                tracing::warn!(%revision, %rejected, "snapshot refused; the one before stays in use");
                self.plane.metrics.snapshots_rejected.inc();
                sender.send(&Reject { revision, name: rejected.name, reason: rejected.reason }).await
            }
        }
    }

    fn report(&self, reporter: &mut Reporter) -> Report {
        let view = self.plane.view();
        reporter.keep(|peer| view.peer(peer).is_some());
        let links = self.plane.peers.all().into_iter().map(|peer| LinkReport {
            node: peer.name().clone(),
            state: state_of(&peer),
            rtt_us: peer
                .links()
                .iter()
                .map(|link| u64::try_from(link.round_trip().as_micros()).unwrap_or(u64::MAX))
                .min()
                .unwrap_or(0),
            loss_ppm: {
                let (sent, lost) = packets(&peer);
                reporter.loss_ppm(peer.name(), sent, lost)
            },
        });
        let own = self.keyring.current();
        Report {
            certificate_expiry: own.expiry(),
            certificate_issued: own.validity().issued(),
            clock_ms: u64::try_from(self.plane.runtime.wall_now().as_millis()).unwrap_or(u64::MAX),
            links: links.collect(),
            endpoints: reporter.endpoints(&view),
            ext: vec![],
        }
    }
}

/// How a peer is reached, in the words of the API.
pub(crate) fn state_of(peer: &Peer) -> LinkState {
    match peer.reach() {
        Reach::Idle => LinkState::Idle,
        Reach::Connecting => LinkState::Connecting,
        Reach::Up => LinkState::Up,
        Reach::Suspect => LinkState::Suspect,
        Reach::Down => LinkState::Down,
    }
}

/// Packets sent to a peer on the connections of now, and how many of them were lost.
fn packets(peer: &Peer) -> (u64, u64) {
    let paths = peer.links().iter().map(|link| link.stats().path).collect::<Vec<_>>();
    (paths.iter().map(|path| path.sent_packets).sum(), paths.iter().map(|path| path.lost_packets).sum())
}

/// The pieces of a snapshot on their way.
#[derive(Debug, Default)]
struct Chunks {
    revision: Revision,
    bytes: Vec<u8>,
    next: u32,
}

impl Chunks {
    /// Takes a piece; the snapshot when it was the last.
    fn take(&mut self, chunk: SnapshotChunk) -> Result<Option<Snapshot>, SessionOver> {
        let out_of_order =
            || SessionOver::Session(StreamError::Cut("the chunks of a snapshot in order").into());
        if chunk.index == 0 {
            *self = Self { revision: chunk.revision, ..Self::default() };
        }
        if chunk.count > MAX_CHUNKS || chunk.index != self.next || chunk.revision != self.revision {
            return Err(out_of_order());
        }
        self.bytes.extend_from_slice(&chunk.bytes);
        self.next += 1;
        if self.next < chunk.count {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.bytes);
        Ok(Some(wire::decode_part(&bytes)?))
    }
}
