//! The story of one control session.
//!
//! `Register` → `Welcome` → a snapshot, and after every change that concerns the node the difference → `Ack`
//! or `Reject` to each, and a `Report` now and then → a `Farewell`, when it is us who end it. What a session says
//! next is asked from the mesh at that moment, so that the newest snapshot wins and a slow node holds up
//! nobody but itself.

mod push;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_api::control::{Ack, Farewell, FarewellReason, Register, Reject, Renew, Renewed, Report, Welcome};
use sinew_api::hosting::Serving;
use sinew_controller_core::{Mistake, SessionEnd, Turn};
use sinew_transport::session::{self, FrameReceiver, FrameSender, Session, SessionCloser, SessionError};
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::wire::{Malformed, Message};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{self, Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::hub::{Attendance, Hub, sleep_until};
use crate::metrics::Metrics;
use crate::renew::{Renewals, renew_only};

/// How long a node may take to register. It has everything it says at hand.
pub(crate) const REGISTER_TIME: Duration = Duration::from_secs(5);
/// At most so often does a session look at what changed: the first change after a calm is told at once, and when
/// many nodes come together, each hears of the others in a few snapshots instead of one for each.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// How long a push may take until the node has answered. 8 MiB in half a minute is 2 Mbit/s; who is slower
/// than that is not reading.
const PUSH_TIME: Duration = Duration::from_secs(30);
/// How long a farewell may take.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// How long after the end of its stream a connection may take to say whether it was closed or lost.
pub(crate) const CLOSE_TIME: Duration = Duration::from_secs(2);
/// What the log says of a node that does not answer.
const NOT_TAKEN: &str = "it did not take its snapshot";
/// Answers to renewals between hearing and telling; the node waits for one at a time.
const ANSWERS_MAX: usize = 1;
/// How many mistakes a farewell names; an operator corrects a few at a time.
const MISTAKES_TOLD: usize = 20;

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The node closed it.
    Closed(String),
    /// It fell silent or broke.
    Lost(String),
    /// The node said something that is no control message, or not yet.
    Malformed(String),
    /// The node did not take a snapshot, or did not register, in time.
    TooSlow(&'static str),
    /// We ended it.
    Left(FarewellReason, String),
    /// It was for renewing an expired certificate only.
    Renewed,
}

impl Ending {
    /// The name in logs and metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Lost(_) => "lost",
            Self::Malformed(_) => "malformed",
            Self::TooSlow(_) => "too_slow",
            Self::Left(FarewellReason::Superseded, _) => "superseded",
            Self::Left(FarewellReason::NotGranted, _) => "not_granted",
            Self::Left(FarewellReason::Invalid, _) => "invalid",
            Self::Left(FarewellReason::Stopping, _) => "stopping",
            Self::Left(FarewellReason::CertificateExpired, _) => "certificate_expired",
            Self::Renewed => "renewed",
        }
    }

    /// What it means for the node's endpoints.
    fn for_mesh(&self) -> SessionEnd {
        match self {
            Self::Closed(_) => SessionEnd::Closed,
            _ => SessionEnd::Lost,
        }
    }

    /// What the node is told, when it still listens.
    fn farewell(&self) -> Option<Farewell> {
        let (reason, detail) = match self {
            Self::Left(reason, detail) => (*reason, detail.clone()),
            Self::Malformed(detail) => (FarewellReason::Invalid, detail.clone()),
            Self::Closed(_) | Self::Lost(_) | Self::TooSlow(_) | Self::Renewed => return None,
        };
        Some(Farewell { reason, detail })
    }
}

/// Serves one session of a node, from its registration to its end.
pub(crate) async fn serve(hub: Arc<Hub>, session: Session, node: NodeName, stop: CancellationToken) {
    let (remote, closer) = (session.remote, session.closer());
    let Session { mut sender, mut receiver, peer_expiry, .. } = session;
    let mut renewals = Renewals::default();
    // The last second of a certificate counts.
    let expiry = Duration::from_secs(peer_expiry.unwrap_or(0)) + Duration::from_secs(1);
    if hub.wall_now() >= expiry {
        let ending = renew_only(&hub, &mut sender, &mut receiver, &node, &closer, &mut renewals).await;
        return leave(&hub, ending, sender, &closer, &node, remote).await;
    }
    let ending = match registered(&hub, &mut receiver, &node, remote, &closer).await {
        Ok(attendance) => {
            let answered = Notify::new();
            let (answer, answers) = mpsc::channel(ANSWERS_MAX);
            let ending = tokio::select! {
                ending = tell(&hub, &mut sender, &attendance, &answered, answers) => ending,
                ending = hear(&hub, &mut receiver, &attendance, &closer, &answered, (&mut renewals, answer)) => ending,
                () = sleep(expiry.saturating_sub(hub.wall_now())) => expired(),
                () = stop.cancelled() => {
                    Ending::Left(FarewellReason::Stopping, "the controller stops; come back later".to_owned())
                }
            };
            attendance.end(ending.for_mesh());
            ending
        }
        Err(ending) => ending,
    };
    leave(&hub, ending, sender, &closer, &node, remote).await;
}

/// The end of every session: told, closed, recorded.
async fn leave(
    hub: &Hub,
    ending: Ending,
    sender: FrameSender,
    closer: &SessionCloser,
    node: &NodeName,
    remote: SocketAddr,
) {
    if let Some(farewell) = ending.farewell() {
        let _ = timeout(FAREWELL_TIME, part(sender, &farewell)).await;
    }
    closer.close(ending.name());
    record(hub, &ending, node, remote);
}

/// A session does not outlive the certificate that it was made with.
pub(crate) fn expired() -> Ending {
    let detail = "the node's certificate ended: it must be renewed first; compare the clocks of both machines \
                  if it should not have";
    Ending::Left(FarewellReason::CertificateExpired, detail.to_owned())
}

/// The first message: who the node is and what it brings.
async fn registered(
    hub: &Arc<Hub>,
    receiver: &mut FrameReceiver,
    node: &NodeName,
    remote: SocketAddr,
    closer: &SessionCloser,
) -> Result<Attendance, Ending> {
    let Ok(frame) = timeout(REGISTER_TIME, receiver.next()).await else {
        return Err(Ending::TooSlow("it did not register"));
    };
    let register = match frame {
        Ok(frame) => frame.decode::<Register>().map_err(|e| Ending::Malformed(e.to_string()))?,
        Err(error) => return Err(gone(error, closer).await),
    };
    let (version, endpoints) = (register.version.clone(), register.serves.len());
    let attendance = hub.register(node, register, remote.ip()).map_err(|mistakes| refused(&mistakes))?;
    tracing::info!(%node, %remote, version, endpoints, "node registered");
    Ok(attendance)
}

/// What the node is told: welcome, then what it needs to know at every moment at which it can take it. Ends
/// when the session must.
async fn tell(
    hub: &Hub,
    sender: &mut FrameSender,
    attendance: &Attendance,
    answered: &Notify,
    mut answers: mpsc::Receiver<Renewed>,
) -> Ending {
    let mut changes = Changes { changed: hub.watch(), looked: None };
    // By when the push that is on its way must be answered.
    let mut deadline = None;
    let welcome = Welcome {
        controller: hub.answerer().controller.clone(),
        version: hub.answerer().version.clone(),
        granted: attendance.granted().to_vec(),
        ext: Vec::new(),
    };
    if let Err(error) = sender.send(&welcome).await {
        return Ending::Lost(error.to_string());
    }
    loop {
        match attendance.poll_turn() {
            Turn::Rest => {}
            Turn::Push(push) => {
                let until = Instant::now() + PUSH_TIME;
                deadline = Some(until);
                match timeout_at(until, push::send(&hub.metrics, sender, &push)).await {
                    Ok(Ok(push::Fate::Sent)) => {}
                    Ok(Ok(push::Fate::TooLarge(len))) => {
                        push::unsent(attendance, push.snapshot.revision, len)
                    }
                    Ok(Err(error)) => return Ending::Lost(error.to_string()),
                    Err(_) => return Ending::TooSlow(NOT_TAKEN),
                }
            }
            Turn::Leave(reason) => return Ending::Left(reason, detail(reason).to_owned()),
        }
        // Asked, not told: a word about the push before may come after this one was sent.
        deadline = deadline.filter(|_| attendance.awaits_answer());
        tokio::select! {
            () = changes.next() => {}
            Some(renewed) = answers.recv() => if let Err(error) = sender.send(&renewed).await {
                return Ending::Lost(error.to_string());
            },
            () = answered.notified() => {}
            () = sleep_until(deadline) => return Ending::TooSlow(NOT_TAKEN),
        }
    }
}

/// What the node says. Ends when the session does, or when it says something that it may not.
async fn hear(
    hub: &Hub,
    receiver: &mut FrameReceiver,
    attendance: &Attendance,
    closer: &SessionCloser,
    answered: &Notify,
    (renewals, answer): (&mut Renewals, mpsc::Sender<Renewed>),
) -> Ending {
    loop {
        let frame = match receiver.next().await {
            Ok(frame) => frame,
            Err(error) => return gone(error, closer).await,
        };
        let heard = match frame.kind() {
            Ack::KIND => frame.decode().map(|ack: Ack| {
                hub.metrics.acks.inc();
                if attendance.note(|mesh, node, session| mesh.on_ack(node, session, ack.revision)) {
                    hub.on_answer();
                    answered.notify_one();
                }
            }),
            Reject::KIND => frame.decode().map(|reject: Reject| {
                hub.metrics.rejects.inc();
                let taken = attendance.note(|mesh, node, session| {
                    let (revision, name, reason) = (reject.revision, &reject.name, &reject.reason);
                    tracing::warn!(%node, %revision, name, reason, "node refused its snapshot");
                    mesh.on_reject(node, session, reject)
                });
                if taken {
                    hub.on_answer();
                    answered.notify_one();
                }
            }),
            Report::KIND => frame.decode().map(|report: Report| attendance.report(report)),
            Renew::KIND => match frame.decode() {
                Ok(renew) => {
                    // The other half sends, one answer at a time.
                    let _ = answer.send(renewals.answer(hub, attendance.node(), &renew)).await;
                    Ok(())
                }
                Err(malformed) => Err(malformed),
            },
            Serving::KIND => match frame.decode::<Serving>().map(|serving| attendance.serving(serving)) {
                Ok(Err(mistakes)) => return refused(&mistakes),
                Ok(Ok(())) => Ok(()),
                Err(malformed) => Err(malformed),
            },
            _ if frame.skippable() => {
                hub.metrics.frames_skipped.inc();
                Ok(())
            }
            kind => Err(Malformed::UnknownKind(kind)),
        };
        if let Err(malformed) = heard {
            return Ending::Malformed(malformed.to_string());
        }
    }
}

/// What a session notices of changes.
struct Changes {
    changed: watch::Receiver<()>,
    /// When the last one was noticed.
    looked: Option<Instant>,
}

impl Changes {
    /// Waits for a change and, when another was noticed less than [`DEBOUNCE`] ago, for those that come with it.
    async fn next(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if let Some(looked) = self.looked {
            time::sleep_until(looked + DEBOUNCE).await;
        }
        self.changed.mark_unchanged();
        self.looked = Some(Instant::now());
    }
}

/// Whether a session whose stream ended was closed by the node or lost.
pub(crate) async fn gone(error: SessionError, closer: &SessionCloser) -> Ending {
    match timeout(CLOSE_TIME, closer.closed()).await {
        Ok(session::SessionEnd::Closed(reason)) => Ending::Closed(reason),
        Ok(session::SessionEnd::Lost(reason)) => Ending::Lost(reason),
        Err(_) => Ending::Lost(error.to_string()),
    }
}

async fn part(mut sender: FrameSender, farewell: &Farewell) {
    if sender.send(farewell).await.is_ok() {
        sender.finish().await;
    }
}

fn refused(mistakes: &[Mistake]) -> Ending {
    let reason = mistakes.iter().map(Mistake::reason).find(|r| *r != FarewellReason::NotGranted);
    let mut detail: Vec<_> = mistakes.iter().take(MISTAKES_TOLD).map(ToString::to_string).collect();
    if mistakes.len() > MISTAKES_TOLD {
        detail.push(format!("and {} more", mistakes.len() - MISTAKES_TOLD));
    }
    Ending::Left(reason.unwrap_or(FarewellReason::NotGranted), detail.join("\n"))
}

fn detail(reason: FarewellReason) -> &'static str {
    match reason {
        FarewellReason::Superseded => {
            "a newer session with the same identity took over; if no agent was restarted, its state directory \
             was copied: give each node a token of its own"
        }
        FarewellReason::NotGranted => {
            "the node's grants were replaced and no longer cover what it registered; correct its configuration"
        }
        FarewellReason::Invalid | FarewellReason::Stopping | FarewellReason::CertificateExpired => "",
    }
}

/// Counts the end, and tells the log who and why.
fn record(hub: &Hub, ending: &Ending, node: &NodeName, remote: SocketAddr) {
    let end = ending.name();
    Metrics::count_reason(&hub.metrics.session_ends, end);
    match ending {
        Ending::Closed(reason) => tracing::info!(%node, %remote, end, reason, "session ended"),
        Ending::Left(FarewellReason::Stopping, _) => tracing::debug!(%node, %remote, end, "session ended"),
        Ending::Lost(reason) | Ending::Malformed(reason) | Ending::Left(_, reason) => {
            tracing::warn!(%node, %remote, end, reason, "session ended");
        }
        Ending::Renewed => tracing::debug!(%node, %remote, end, "session ended"),
        Ending::TooSlow(reason) => tracing::warn!(%node, %remote, end, reason, "session ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a change is noticed without any waiting.
    async fn at_once(changes: &mut Changes) -> bool {
        tokio::select! {
            biased;
            () = changes.next() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_after_a_calm_is_noticed_at_once_and_the_next_ones_together_and_never_lost() {
        let changed = watch::Sender::new(());
        let mut changes = Changes { changed: changed.subscribe(), looked: None };
        assert!(!at_once(&mut changes).await, "nothing has changed");

        changed.send_replace(());
        assert!(at_once(&mut changes).await, "the first of all");
        let first = Instant::now();
        changed.send_replace(());
        assert!(!at_once(&mut changes).await, "it is collected with those that follow");
        changed.send_replace(());
        timeout(PUSH_TIME, changes.next()).await.expect("it is not lost");
        assert_eq!(first.elapsed(), DEBOUNCE);
        assert!(!at_once(&mut changes).await, "both were noticed");

        sleep(DEBOUNCE * 2).await;
        changed.send_replace(());
        assert!(at_once(&mut changes).await, "after a calm");
    }
}
