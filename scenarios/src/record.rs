//! What was seen: every request, every event, every connection that the mesh logged.
//!
//! A [`Recording`] is all that expectations and reports look at. It holds facts only; what they mean is
//! decided in [`crate::judge`]. Times are [`Duration`]s since the load began; the mesh's own log has unix
//! time, which [`Recording::wall_us`] relates to it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sinew_transport_core::ids::{EndpointId, NodeName};

use crate::scenario::{Action, Topology};

/// One request as whoever made it saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its number, unique in the run.
    pub id: u64,
    /// Which load made it, by position.
    pub load: usize,
    /// When it should have been sent. Latency counts from here, so that a request that had to wait for
    /// another one counts its waiting (no coordinated omission).
    pub due: Duration,
    /// When it was begun.
    pub sent: Duration,
    /// When the last byte of its answer came, or when it had failed.
    pub end: Duration,
    /// The socket it was sent from, unless there was none. By it the mesh's log knows the connection.
    pub local: Option<SocketAddr>,
    /// Whether it had a connection of its own, or was the first on a kept one.
    pub new_connection: bool,
    /// The endpoint that answered.
    pub answered_by: Option<EndpointId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes that differ from what was sent, are missing from a complete answer, or are too many.
    pub wrong_bytes: u64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered, and the connection ended cleanly if it ended.
    Ok,
    /// Never sent: the load had reached its own limit of requests at once.
    NotSent,
    /// The listener did not accept.
    NoConnection,
    /// The connection was reset before the answer was complete.
    Reset,
    /// The connection ended before the answer was complete.
    CutOff,
    /// Nothing came in time.
    TimedOut,
    /// What came was no answer, or another request's.
    NotAnAnswer,
    /// The answer was complete, but then the connection broke instead of ending.
    UncleanEnd,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::NotSent => "not_sent",
            Self::NoConnection => "no_connection",
            Self::Reset => "reset",
            Self::CutOff => "cut_off",
            Self::TimedOut => "timed_out",
            Self::NotAnAnswer => "not_an_answer",
            Self::UncleanEnd => "unclean_end",
        })
    }
}

impl Sample {
    /// Whether whoever made it would call it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcome != Outcome::Ok
    }

    /// How long it took, from when it was due.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.end.saturating_sub(self.due)
    }
}

/// An event that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Its name.
    pub name: String,
    /// What was done.
    pub action: Action,
    /// When it was begun: a kill or a return counts from here, the strictest reading.
    pub at: Duration,
    /// When it was done: the new latency holds, the process is gone or started.
    pub done: Duration,
    /// When a node or controller that was started was ready; when an apply was acknowledged everywhere.
    pub ready: Option<Duration>,
}

/// One connection as the node logged it where it entered the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The application's socket.
    pub client: SocketAddr,
    /// When it came, unix microseconds.
    pub started_us: u64,
    /// When the last endpoint was picked, unix microseconds; 0 when none was.
    pub picked_us: u64,
    /// The endpoint that it ended with.
    pub endpoint: Option<EndpointId>,
    /// The endpoints that were tried and left before, with the reasons.
    pub tried: Vec<String>,
    /// How it ended, in the mesh's words.
    pub outcome: String,
}

impl Logged {
    /// Whether an endpoint on `node` was tried and left.
    #[must_use]
    pub fn left(&self, node: &NodeName) -> bool {
        self.tried.iter().any(|t| t.split([' ', '/']).next().is_some_and(|name| name == node.as_str()))
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What ran where.
    pub topology: Topology,
    /// Unix time at which the load began, in microseconds.
    pub began_us: u64,
    /// When the load was over and every request had ended.
    pub ended: Duration,
    /// Every request, by id.
    pub samples: Vec<Sample>,
    /// What the mesh logged about the connection of each sample, in the same order.
    pub logged: Vec<Option<Logged>>,
    /// Connections in the mesh's logs that no sample made: there should be none.
    pub strangers: Vec<Logged>,
    /// Every event, by time.
    pub events: Vec<Happened>,
}

/// A stretch between two events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// The event that began it; `start` for the first.
    pub name: String,
    /// When it began.
    pub from: Duration,
    /// When the next began, or the run ended.
    pub until: Duration,
}

impl Recording {
    /// Unix microseconds of a moment.
    #[must_use]
    pub fn wall_us(&self, at: Duration) -> u64 {
        self.began_us.saturating_add(u64::try_from(at.as_micros()).unwrap_or(u64::MAX))
    }

    /// The event of that name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&Happened> {
        self.events.iter().find(|e| e.name == name)
    }

    /// The stretches between events, in order.
    #[must_use]
    pub fn phases(&self) -> Vec<Phase> {
        let starts = self.events.iter().map(|e| (e.name.clone(), e.at));
        let starts: Vec<_> = std::iter::once(("start".to_owned(), Duration::ZERO)).chain(starts).collect();
        let ends = starts.iter().skip(1).map(|(_, at)| *at).chain([self.ended]).collect::<Vec<_>>();
        starts.into_iter().zip(ends).map(|((name, from), until)| Phase { name, from, until }).collect()
    }

    /// Samples with what was logged about them.
    pub fn with_logs(&self) -> impl Iterator<Item = (&Sample, Option<&Logged>)> {
        self.samples.iter().zip(self.logged.iter().map(Option::as_ref))
    }

    /// Everything that the mesh logged, whoever made the connection.
    pub fn all_logged(&self) -> impl Iterator<Item = &Logged> {
        self.logged.iter().flatten().chain(&self.strangers)
    }
}

/// The endpoint that a request went to: the one that answered, or else the one that the mesh picked last.
#[must_use]
pub fn endpoint_of<'a>(sample: &'a Sample, logged: Option<&'a Logged>) -> Option<&'a EndpointId> {
    sample.answered_by.as_ref().or_else(|| logged?.endpoint.as_ref())
}

/// Reads `n1/0`.
#[must_use]
pub fn parse_endpoint(text: &str) -> Option<EndpointId> {
    let (node, slot) = text.split_once('/')?;
    Some(EndpointId { node: NodeName::new(node).ok()?, slot: slot.parse().ok()? })
}
