//! Finding an endpoint that accepts, and moving on only on proof.
//!
//! A connection may go to another endpoint when none of its payload was handed to QUIC, or when the peer
//! answered with a code that means nothing was delivered. Payload rides along with the preamble only to
//! a peer that was heard a moment ago and owes no answer; to any other the preamble goes alone, and the
//! payload follows its `Accepted`. So silence costs a connection without payload nothing but time, and
//! a connection with payload is never replayed into silence.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use sinew_node_core::view::EndpointRecord;
use sinew_node_core::{Outcome, Record};
use sinew_transport::{Link, Stream, StreamError};
use sinew_transport_core::Code;
use sinew_transport_core::ids::{EndpointId, ServiceName};
use sinew_transport_core::wire::{Accepted, Class, Preamble, StreamKind};
use tokio::time::{Instant, timeout_at};

use super::Connection;
use super::connected::{Connected, Hold};
use super::pick::{Pick, pick};
use crate::app::AppReader;
use crate::copy::{Sink, Source};
use crate::local;
use crate::plane::Plane;
use crate::turns::EndpointTurns;

/// Payload that is kept for another endpoint until one accepts; beyond it the application waits.
pub(crate) const REPLAY_MAX: usize = 64 * 1024;

/// Endpoints that one connection is handed to, at most: an outage of everything must end.
const ATTEMPTS_MAX: u8 = 16;

/// How an attempt ended without a connection.
enum Left {
    /// Nothing was delivered: the next endpoint may have it. The code, if the peer answered with one.
    Free(Option<Code>, &'static str),
    /// Nobody else may have it.
    Final(Outcome, String),
}

/// Payload read from the application and not yet accepted by anybody.
#[derive(Default)]
struct Replay {
    pieces: Vec<Bytes>,
    len: usize,
}

impl Replay {
    fn keep(&mut self, piece: Bytes) {
        self.len += piece.len();
        self.pieces.push(piece);
    }
}

/// Hands the connection to one endpoint after the other until one accepts.
pub(super) async fn connect(
    connection: &Connection,
    source: ServiceName,
    record: &mut Record,
    reader: &mut AppReader,
) -> Result<Connected, (Outcome, String)> {
    let plane = &connection.plane;
    let deadline = Instant::now() + plane.live().connect_timeout;
    let mut rng = fastrand::Rng::with_seed(plane.clock.now_us() ^ u64::from(connection.client.port()) << 32);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut replay = Replay::default();
    let mut last = None;
    for attempt in 0..ATTEMPTS_MAX {
        let pick = match pick(connection, &tried, deadline, &mut rng).await {
            Ok(pick) => pick,
            // What the last endpoint said tells more than that none is left.
            Err(why) => return Err(last.unwrap_or((Outcome::Unavailable, why.to_string()))),
        };
        record.picked(&pick.way.endpoint.id, plane.unix_us());
        let probe = Probe { plane, endpoint: &pick.way.endpoint };
        let handed = Attempt { connection, source: &source, pick: &pick, attempt, deadline };
        let load = EndpointTurns::open(plane, &pick.way);
        let handed = handed.run(&mut replay, reader, load).await;
        match handed {
            Ok(connected) => {
                pick.way.endpoint.breaker.on_success();
                drop(probe);
                return Ok(connected);
            }
            Err(Left::Final(outcome, reason)) => {
                count(&pick, outcome);
                return Err((outcome, reason));
            }
            Err(Left::Free(code, why)) => {
                plane.metrics.moved(why);
                record.left(why);
                let outcome = code.map_or(Outcome::Unavailable, Outcome::from);
                count(&pick, outcome);
                // Silence is the link's matter, and has its own judge.
                if outcome.opens_breaker() {
                    pick.way.endpoint.breaker.on_refused(plane.clock.now_us(), &mut rng);
                }
                last = Some((outcome, format!("{}: {why}", pick.way.endpoint.id)));
                tracing::debug!(endpoint = %pick.way.endpoint.id, why, "moving on to another endpoint");
                // Who answered was tried. Who fell silent is left out by its link for as long as it is, and
                // may have the connection when it answers again.
                if code.is_some() {
                    tried.push(pick.way.endpoint.id.clone());
                }
            }
        }
        drop(probe);
    }
    Err(last.unwrap_or((Outcome::Unavailable, "too many endpoints refused".into())))
}

/// Counts an attempt that ended without a connection, for the next report.
fn count(pick: &Pick, outcome: Outcome) {
    if let Some(good) = outcome.speaks_of_endpoint() {
        pick.way.endpoint.tally.on_end(good);
    }
}

/// A pick may have taken a breaker's only probe. However the attempt ends, dropped included, the probe is
/// given back; where the endpoint answered, that has settled the breaker before and this changes nothing.
struct Probe<'a> {
    plane: &'a Plane,
    endpoint: &'a EndpointRecord,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.endpoint.breaker.on_abandoned(self.plane.clock.now_us());
    }
}

/// One endpoint's turn.
struct Attempt<'a> {
    connection: &'a Connection,
    source: &'a ServiceName,
    pick: &'a Pick,
    attempt: u8,
    deadline: Instant,
}

impl Attempt<'_> {
    async fn run(
        &self,
        replay: &mut Replay,
        reader: &mut AppReader,
        turns: EndpointTurns,
    ) -> Result<Connected, Left> {
        let Some(peer) = &self.pick.way.peer else { return self.run_local(replay, turns).await };
        if !peer.has_room() {
            return Err(Left::Free(Some(Code::Overloaded), Code::Overloaded.name()));
        }
        let link = peer.link_for(self.connection.shard).ok_or(Left::Free(None, "NO_LINK"))?;
        let opened = tokio::select! {
            opened = timeout_at(self.deadline, link.open()) => opened,
            () = link.suspected() => return Err(Left::Free(None, "SUSPECT")),
        };
        match opened {
            Ok(Ok(stream)) => self.offer(stream, &link, replay, reader, turns).await,
            Ok(Err(_)) => Err(Left::Free(None, "LOST")),
            Err(_) => Err(Left::Final(Outcome::Overloaded, "the peer allows no more streams".into())),
        }
    }

    /// Sends the preamble, with payload or without, and waits for the answer.
    async fn offer(
        &self,
        stream: Stream,
        link: &Arc<Link>,
        replay: &mut Replay,
        reader: &mut AppReader,
        turns: EndpointTurns,
    ) -> Result<Connected, Left> {
        let Stream { mut send, mut receive, guard } = stream;
        let rides_along = link.fresh();
        if rides_along
            && replay.len == 0
            && let Some(first) = reader.read_now()
        {
            replay.keep(first);
        }
        let mut handed = 0;
        {
            let first =
                if rides_along { replay.pieces.first().cloned().unwrap_or_default() } else { Bytes::new() };
            handed += first.len();
            let preamble = self.preamble();
            send.write_frame(&preamble, first).await.map_err(|e| left(&e, handed))?;
        }
        if rides_along {
            for piece in replay.pieces.iter().skip(1) {
                handed += piece.len();
                send.write(piece.clone()).await.map_err(|e| left(&e, handed))?;
            }
            if handed > 0 {
                turns.on_up();
            }
        }
        let accepted = {
            let answer = receive.read_frame::<Accepted>();
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer,
                    () = link.suspected(), if handed == 0 => {
                        send.reset(Code::Broken);
                        return Err(Left::Free(None, "SUSPECT"));
                    }
                    () = tokio::time::sleep_until(self.deadline) => {
                        let reason = format!("no answer from {} in {:?}", self.pick.way.endpoint.id, self.connection.plane.live().connect_timeout);
                        return Err(Left::Final(if handed == 0 { Outcome::Unavailable } else { Outcome::Broken }, reason));
                    }
                    read = reader.read(), if rides_along && replay.len < REPLAY_MAX && !replay_ended(replay) => match read {
                        Ok(Some(piece)) => {
                            replay.keep(piece.clone());
                            handed += piece.len();
                            send.write(piece).await.map_err(|e| left(&e, handed))?;
                            turns.on_up();
                        }
                        // The end is seen again by the copy loop, after the answer.
                        Ok(None) => replay.pieces.push(Bytes::new()),
                        Err(error) => {
                            send.reset(Code::ResetByApplication);
                            return Err(Left::Final(Outcome::ResetByApplication, error.to_string()));
                        }
                    },
                }
            }
        };
        accepted.map_err(|e| left(&e, handed))?;
        turns.on_accepted();
        let mut sink = Sink::Stream(send);
        let handed_over = replay.len as u64;
        if handed == 0 {
            hand_over(&mut sink, replay, &turns).await?;
        }
        Ok(Connected { sink, source: Source::Stream(receive), turns, handed_over, hold: Hold::Stream(guard) })
    }

    fn preamble(&self) -> Preamble {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        Preamble {
            kind: StreamKind::Tcp,
            destination: self.connection.listener.service.clone(),
            endpoint: self.pick.way.endpoint.id.slot,
            source: self.source.clone(),
            revision: self.pick.revision,
            attempt: self.attempt,
            class: Class::Interactive,
            remaining_ms: u32::try_from(remaining.max(Duration::from_millis(1)).as_millis())
                .unwrap_or(u32::MAX),
            client: Some(self.connection.client),
            traceparent: String::new(),
            tracestate: String::new(),
            ext: vec![],
        }
    }

    /// A service on this node: joined without QUIC, by the same rules.
    async fn run_local(&self, replay: &mut Replay, turns: EndpointTurns) -> Result<Connected, Left> {
        let plane = &self.connection.plane;
        let (mut sink, source, service) = match local::open(plane, &self.preamble()).await {
            Ok(opened) => opened,
            Err(not) if not.code == Code::Denied => return Err(Left::Final(Outcome::Denied, not.reason)),
            Err(not) => return Err(Left::Free(Some(not.code), not.code.name())),
        };
        turns.on_accepted();
        let handed_over = replay.len as u64;
        hand_over(&mut sink, replay, &turns).await?;
        Ok(Connected { sink, source, turns, handed_over, hold: Hold::Local(service) })
    }
}

/// Payload that waited for the answer follows it.
async fn hand_over(sink: &mut Sink, replay: &mut Replay, turns: &EndpointTurns) -> Result<(), Left> {
    for piece in std::mem::take(&mut replay.pieces) {
        if piece.is_empty() {
            continue;
        }
        // Counted as one sum, before the copy begins.
        sink.write(piece, &AtomicU64::new(0))
            .await
            .map_err(|broken| Left::Final(broken.outcome(), broken.reason()))?;
        turns.on_up();
    }
    Ok(())
}

/// Whether the application has ended its direction: marked by an empty piece.
fn replay_ended(replay: &Replay) -> bool {
    replay.pieces.last().is_some_and(Bytes::is_empty)
}

/// What a broken attempt allows, after `handed` bytes of payload were handed to QUIC.
fn left(error: &StreamError, handed: usize) -> Left {
    match error {
        StreamError::Reset(code @ (Code::Denied | Code::BadPreamble)) => {
            Left::Final((*code).into(), format!("the destination's node answered {code}"))
        }
        StreamError::Reset(code) if code.proves_nothing_delivered() => Left::Free(Some(*code), code.name()),
        StreamError::Lost(_) | StreamError::Reset(_) if handed == 0 => Left::Free(None, "LOST"),
        other => Left::Final(other.code().into(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_in_the_hands_of_quic_stays_where_it_is_unless_the_peer_proves_otherwise() {
        let lost = StreamError::Lost("gone".into());

        assert!(matches!(left(&lost, 0), Left::Free(None, "LOST")));
        assert!(matches!(left(&lost, 1), Left::Final(Outcome::Broken, _)));
        for code in Code::ALL {
            let moves = matches!(left(&StreamError::Reset(code), 1), Left::Free(..));
            let may = code.proves_nothing_delivered() && !matches!(code, Code::Denied | Code::BadPreamble);
            assert_eq!(moves, may, "{code}");
        }
    }
}
