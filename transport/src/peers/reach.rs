//! Where a peer is, how it is reached, and what came of trying.

use std::net::SocketAddr;

/// Where a peer is, and whether we want a connection with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// For each address of the peer a run of entries with that IP; entry *i* of a run is where shard *i* listens.
    pub addresses: Vec<SocketAddr>,
    /// Whether we call services there; otherwise it may only call ours.
    pub wanted: bool,
}

/// What is known of reaching a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No connection, and none is wanted.
    Idle,
    /// No connection yet.
    Connecting,
    /// Answers.
    Up,
    /// Does not answer: no new picks.
    Suspect,
    /// Could not be reached; tried again with back-off.
    Down,
}

/// A dial that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// Where it was dialled.
    pub address: SocketAddr,
    /// What came of it.
    pub reason: String,
    /// How many failed in a row.
    pub dials: u64,
}
