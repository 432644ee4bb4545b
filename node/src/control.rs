//! The control session: registered, kept up with back-off, snapshots taken into use.
//!
//! Traffic never waits for it. While no controller answers, the node goes on with what it has.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sinew_api::control::{
    Ack, Farewell, FarewellReason, LinkReport, LinkState, Listen, MAX_CHUNKS, REJECT_BASE, Register, Reject,
    Report, SnapshotChunk, Welcome,
};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::{Delta, Snapshot, delta};
use sinew_node_core::Backoff;
use sinew_transport::session::{FrameSender, Session, SessionError, dial_control};
use sinew_transport::verify::Refusals;
use sinew_transport::{Reach, StreamError};
use sinew_transport_core::ids::Revision;
use sinew_transport_core::wire::{self, Malformed, Message};
use tokio::sync::mpsc;
use tokio::time::{Duration as TokioDuration, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::identity::Identity;
use crate::plane::Plane;

/// Between two attempts to reach a controller: at least, at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often a node says what it sees of its links.
const REPORT_EVERY: TokioDuration = Duration::from_secs(1);

/// Control frames between the reader and the session; the controller waits beyond it.
const FRAMES_MAX: usize = 16;

/// Keeps a session with one of the controllers, for ever.
pub(crate) struct Control {
    pub(crate) plane: Arc<Plane>,
    pub(crate) identity: Identity,
    pub(crate) boot: u64,
    /// Where this node's shards listen.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) refusals: Arc<Refusals>,
    /// The snapshot in use, as the controller made it: what differences start from.
    pub(crate) held: Mutex<Snapshot>,
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
}

impl Control {
    /// Runs until stopped; then the controller is told, so that nobody is sent here any more.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut rng = fastrand::Rng::with_seed(self.boot);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        for turn in 0_usize.. {
            let Some(&controller) =
                self.identity.controllers.get(turn % self.identity.controllers.len().max(1))
            else {
                tracing::error!("no controller is known: join again with a new token");
                return;
            };
            let dialled =
                dial_control(&self.plane.runtime, controller, &self.identity.credentials, &self.refusals)
                    .await;
            match dialled {
                Ok(session) => {
                    let closer = session.closer();
                    let over = tokio::select! {
                        over = self.hold(session, controller, &mut backoff) => over,
                        () = stop.cancelled() => return closer.close_and_wait("the node stops").await,
                    };
                    self.plane.metrics.session.set(0);
                    self.tell(controller, &over);
                }
                Err(error) => {
                    tracing::warn!(%controller, %error, "no control session; traffic goes on with the last snapshot")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(&mut rng)) => {}
                () = stop.cancelled() => return,
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

    /// One session, from registration to its end.
    async fn hold(&self, session: Session, controller: SocketAddr, backoff: &mut Backoff) -> SessionOver {
        let closer = session.closer();
        let Session { mut sender, mut receiver, .. } = session;
        if let Err(over) = sender.send(&self.registration()).await {
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
                    Err(error) => return error,
                }
            }
        };
        let talking = async {
            let mut chunks = Chunks::default();
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
                        }
                        SnapshotChunk::KIND => {
                            if let Some(snapshot) = chunks.take(frame.decode()?)? {
                                self.apply(snapshot, &mut sender).await?;
                            }
                        }
                        Delta::KIND => self.take(frame.decode()?, &mut sender).await?,
                        Farewell::KIND => {
                            let Farewell { reason, detail } = frame.decode()?;
                            return Err(SessionOver::Farewell { reason, detail });
                        }
                        _ if frame.skippable() => {}
                        kind => return Err(Malformed::UnknownKind(kind).into()),
                    },
                    _ = reports.tick() => sender.send(&self.report()).await?,
                }
            }
        };
        let over = tokio::select! {
            error = reading => error.into(),
            over = talking => match over {
                Err(over) => over,
                Ok(never) => never,
            },
        };
        closer.close("over");
        over
    }

    fn registration(&self) -> Register {
        let config = &self.plane.config;
        Register {
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.boot,
            addresses: self.addresses.clone(),
            zone: config.zone.clone(),
            serves: (0_u16..)
                .zip(&config.serves)
                .map(|(slot, serve)| Serve {
                    service: serve.service.clone(),
                    slot,
                    labels: serve.labels.clone(),
                    capacity: CAPACITY_DEFAULT,
                    health: Health::Up,
                })
                .collect(),
            serving: 0,
            listens: config
                .listens
                .iter()
                .map(|listen| Listen { service: listen.service.clone(), source: listen.source.clone() })
                .collect(),
            certificate_expiry: self.identity.credentials.expiry(),
            have: *self.plane.revision().borrow(),
            ext: vec![],
        }
    }

    /// Takes a difference into use, or says why not.
    async fn take(&self, delta: Delta, sender: &mut FrameSender) -> Result<(), SessionError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        match self.plane.apply(snapshot.clone()) {
            Ok(revision) => {
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
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

    fn report(&self) -> Report {
        let links = self.plane.peers.all().into_iter().map(|peer| LinkReport {
            node: peer.name().clone(),
            state: match peer.reach() {
                Reach::Idle => LinkState::Idle,
                Reach::Connecting => LinkState::Connecting,
                Reach::Up => LinkState::Up,
                Reach::Suspect => LinkState::Suspect,
                Reach::Down => LinkState::Down,
            },
            rtt_us: peer
                .links()
                .iter()
                .map(|link| u64::try_from(link.round_trip().as_micros()).unwrap_or(u64::MAX))
                .min()
                .unwrap_or(0),
            loss_ppm: 0,
        });
        Report {
            certificate_expiry: self.identity.credentials.expiry(),
            links: links.collect(),
            endpoints: vec![],
            ext: vec![],
        }
    }
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
