//! The messages of data connections: greeting, keep-alive, and the two frames that begin a stream.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use super::{Message, SKIPPABLE};
use crate::ids::{Revision, ServiceName};

/// The growing end of a message: a tag and its bytes. Unknown tags are ignored.
pub type Ext = Vec<(u16, Vec<u8>)>;

/// Something that both ends must name before either uses it. Compared as text, so that a version may
/// name what another has never heard of.
pub type Capability = String;

/// The first frame of a connection, both ways; the peer is up when its own has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Semantic version of the program.
    pub version: String,
    /// What exactly was built; informational.
    pub build: String,
    /// A random number of this run of the program: another one means that the peer restarted.
    pub boot: u64,
    /// The number of the connection between the two nodes, from the dialler; the other end repeats it.
    pub lane: u16,
    /// What the sender can do beyond the protocol's major version.
    pub capabilities: Vec<Capability>,
    /// The revision of the sender's snapshot.
    pub revision: Revision,
    /// Room to grow.
    pub ext: Ext,
}

/// In [`Hello::ext`]: this connection's certificates vouch for an older one between the same two nodes, named
/// by 32 bytes that only its two ends can derive from its keys.
pub const VOUCHES: u16 = 1;

impl Message for Hello {
    const KIND: u16 = 1;
    const MAX_LEN: u32 = 4096;
}

/// A keep-alive: asks for nothing but the acknowledgement of the packet that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ping {
    /// Makes the packet longer than one that only acknowledges, which the link estimator does not
    /// count as unanswered.
    pub padding: [u8; 32],
}

impl Message for Ping {
    const KIND: u16 = 4;
    const MAX_LEN: u32 = 64;
    const FLAGS: u16 = SKIPPABLE;
}

/// Asks the other end for [`Echoed`] at once: how `sinew ping` measures a link. Only for peers that name
/// [`ECHO`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Echo {
    /// Tells this question from others; 0 asks nothing.
    pub number: u64,
    /// As in [`Ping`].
    pub padding: [u8; 32],
}

impl Message for Echo {
    const KIND: u16 = 6;
    const MAX_LEN: u32 = 64;
    const FLAGS: u16 = SKIPPABLE;
}

/// The answer to the newest [`Echo`]. Those before it that were not answered yet are not answered any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Echoed {
    /// As it was asked.
    pub number: u64,
}

impl Message for Echoed {
    const KIND: u16 = 7;
    const MAX_LEN: u32 = 64;
    const FLAGS: u16 = SKIPPABLE;
}

/// The [`Capability`] of answering [`Echo`].
pub const ECHO: &str = "echo";

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum StreamKind {
    /// The bytes of one TCP connection.
    Tcp,
}

/// How a stream competes with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Class {
    /// Someone waits for each answer.
    Interactive,
    /// Only the total matters.
    Bulk,
}

/// The first frame of a stream: what it is, for whom, from whom.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Preamble {
    /// What the stream carries.
    pub kind: StreamKind,
    /// The service that is called.
    pub destination: ServiceName,
    /// The slot on the receiving node; it must hold `destination`.
    pub endpoint: u16,
    /// The service for which the caller speaks; the caller's node must have been granted it.
    pub source: ServiceName,
    /// The revision by which the caller chose.
    pub revision: Revision,
    /// 0 for the first endpoint that this connection is handed to, one more for each that followed.
    pub attempt: u8,
    /// How it competes with others.
    pub class: Class,
    /// How long the caller will wait for `Accepted`, in milliseconds; 0 says nothing about it.
    pub remaining_ms: u32,
    /// The application's address at the caller's listener.
    pub client: Option<SocketAddr>,
    /// W3C trace context, empty when there is none.
    pub traceparent: String,
    /// W3C trace context, forwarded unread.
    pub tracestate: String,
    /// Room to grow.
    pub ext: Ext,
}

impl Message for Preamble {
    const KIND: u16 = 2;
    const MAX_LEN: u32 = 4096;
}

/// The first frame of a stream's answer, sent when the service accepted the connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {
    /// The slot that took it.
    pub endpoint: u16,
    /// How long connecting to the service took, in microseconds.
    pub connect_us: u32,
    /// Connections in progress at that endpoint, this one included.
    pub load: u32,
    /// Room to grow.
    pub ext: Ext,
}

impl Message for Accepted {
    const KIND: u16 = 3;
    const MAX_LEN: u32 = 1024;
}
