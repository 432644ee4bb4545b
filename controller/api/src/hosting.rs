//! What stands behind a node, and whether it answers.
//!
//! A node numbers each state of what it hosts ([`Serving::version`]). Whoever hears of it twice, from the
//! controller and from the node itself, lets the higher version win, so that neither needs to be asked which of
//! them spoke last.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::ServiceName;

use crate::snapshot::Labels;

/// The capacity of an endpoint that declares none.
pub const CAPACITY_DEFAULT: u32 = 100;

/// One endpoint as its node declares it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Serve {
    /// The service.
    pub service: ServiceName,
    /// The place on the node. It is not given to another endpoint while the node runs.
    pub slot: u16,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How much it can take beside other endpoints of its service: 1 to 1,000,000, [`CAPACITY_DEFAULT`] unless
    /// declared. Only the ratio counts.
    pub capacity: u32,
    /// Whether it takes new connections.
    pub health: Health,
}

/// Whether an endpoint takes new connections. Callers are told only of those that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not checked yet.
    Starting,
    /// Answers.
    Up,
    /// Does not answer.
    Down,
    /// Finishes what runs and takes nothing new.
    Draining,
}

/// How a node finds out whether an endpoint of its own answers: it connects, ends its direction, and waits for
/// the service to say or end anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Between two checks of an endpoint that is up, in milliseconds; 0: it is never checked, and up.
    pub interval_ms: u32,
    /// For how long an answer is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// How many checks in a row must succeed until it is up.
    pub rise: u8,
    /// How many checks in a row must fail until it is down.
    pub fall: u8,
}

impl Default for HealthCheck {
    /// Two checks of a second each: a service that hangs is left after three to four seconds. One that refuses
    /// is left at the first check.
    fn default() -> Self {
        Self { interval_ms: 1000, timeout_ms: 1000, rise: 1, fall: 2 }
    }
}

/// Node to controller, and node to node: endpoints that came, changed or went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Serving {
    /// The number of this state: higher than all before it, those of earlier runs of the node included.
    pub version: u64,
    /// Whether `changes` is all there is; what is not in it is gone.
    pub whole: bool,
    /// Endpoints by slot; none: it is gone.
    pub changes: Vec<(u16, Option<Serve>)>,
}
