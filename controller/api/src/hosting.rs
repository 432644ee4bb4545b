//! What stands behind a node, and whether it answers.
//!
//! A node numbers each state of what it hosts ([`Serving::version`]). Whoever hears of it twice, from the
//! controller and from the node itself, lets the higher version win, so that neither needs to be asked which of
//! them spoke last.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::ServiceName;
use sinew_transport_core::wire::{Message, SKIPPABLE};
use utoipa::ToSchema;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, ToSchema)]
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

/// How a node finds out whether an endpoint of its own answers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize, ToSchema,
)]
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
    /// What is taken for an answer.
    pub probe: Probe,
}

/// What a check takes for an answer.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// That the service says or ends anything, after the node connected and ended its own direction. A process
    /// that was stopped does not: its kernel goes on accepting for it.
    #[default]
    Answer,
    /// That the connection was accepted: for services that do not react to the end of one.
    Connect,
}

impl Default for HealthCheck {
    /// Two checks of a second each: a service that hangs is left after at most three seconds. One that refuses
    /// is left at the first check, and at the first connection that it refuses.
    fn default() -> Self {
        Self { interval_ms: 1000, timeout_ms: 1000, rise: 1, fall: 2, probe: Probe::Answer }
    }
}

impl HealthCheck {
    /// Never checked, and up.
    pub const OFF: Self = Self { interval_ms: 0, timeout_ms: 0, rise: 1, fall: 1, probe: Probe::Connect };

    /// Whether there is nothing to check.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.interval_ms == 0
    }
}

/// Node to controller, and node to node: endpoints that came, changed or went.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Serving {
    /// The number of this state: higher than all before it, those of earlier runs of the node included.
    pub version: u64,
    /// Whether `changes` is all there is; what is not in it is gone.
    pub whole: bool,
    /// Endpoints by slot; none: it is gone. Unless whole, every slot that changed since the version that the
    /// receiver was told last, so that it may know later ones already, by another way.
    pub changes: Vec<(u16, Option<Serve>)>,
}

/// Node to node, behind the greeting and after each change: what stands behind the sender. One that is too long
/// for a frame follows in several of the same version, of which only the first is whole.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Tell {
    /// What came, changed or went.
    pub serving: Serving,
}

impl Message for Tell {
    const KIND: u16 = 5;
    const MAX_LEN: u32 = TELL_MAX;
    // A few bytes of wire become a map in memory: more than the limit of the other frames of data connections.
    const CONTROL: bool = true;
    const FLAGS: u16 = SKIPPABLE;
}

/// The longest [`Tell`]: some thousand endpoints without labels, and little to hold for each peer.
pub const TELL_MAX: u32 = 64 * 1024;
