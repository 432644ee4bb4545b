//! The messages of a control session: one bidirectional stream, opened by the node.
//!
//! The node greets with [`Register`]; the controller answers with [`Welcome`], then sends the node's snapshot
//! in [`SnapshotChunk`]s and at every change a [`Delta`]. The node answers each with [`Ack`] or [`Reject`], tells
//! by [`Serving`] what comes and goes behind it, and sends a [`Report`] from time to time. Before its certificate
//! ends it asks for another with [`Renew`]. A [`Farewell`] says why the controller ends a session.

use std::net::SocketAddr;

use bincode::{Decode, Encode};
use sinew_transport_core::ids::{EndpointId, NodeName, Revision, ServiceName, Zone};
use sinew_transport_core::wire::{Ext, Message};

use crate::delta::Delta;
use crate::hosting::{Serve, Serving};

/// The longest control frame: 1 MiB. Snapshots are cut into chunks of [`CHUNK_LEN`].
pub const MAX_FRAME: u32 = 1024 * 1024;

/// Payload of one [`SnapshotChunk`].
pub const CHUNK_LEN: usize = 512 * 1024;

/// The most chunks of one snapshot: 8 MiB, half of what decoding may allocate. A node refuses more.
pub const MAX_CHUNKS: u32 = 16;

/// The most data addresses of one node: as many shards as one may have at a single address, or eight shards at as
/// many as one may advertise.
pub const ADDRESSES_MAX: usize = 64;

macro_rules! control {
    ($type:ident, $kind:literal) => {
        impl Message for $type {
            const KIND: u16 = $kind;
            const MAX_LEN: u32 = MAX_FRAME;
            const CONTROL: bool = true;
        }
    };
}

/// Node to controller, first: what this node hosts, calls, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Register {
    /// Version of the program.
    pub version: String,
    /// A random number of this run of the program.
    pub boot: u64,
    /// The data sockets: for each address of the node a run of entries with that IP, of which entry *i* is where
    /// shard *i* listens. At most [`ADDRESSES_MAX`]. An unspecified IP stands for the address from which the
    /// session comes.
    pub addresses: Vec<SocketAddr>,
    /// Where the node is.
    pub zone: Option<Zone>,
    /// What is behind this node now; [`Serving`] tells what changes.
    pub serves: Vec<Serve>,
    /// The version of `serves` ([`Serving::version`]).
    pub serving: u64,
    /// The services that applications call here.
    pub listens: Vec<Listen>,
    /// The end of this node's certificate, seconds since 1970.
    pub certificate_expiry: u64,
    /// The revision of the snapshot in use. A controller that still knows it sends only the difference.
    pub have: Option<Revision>,
    /// Room to grow.
    pub ext: Ext,
}
control!(Register, 32);

/// One listener as its node declares it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Listen {
    /// The service that is called.
    pub service: ServiceName,
    /// The service for which the caller speaks; none when the node leaves it to its only grant.
    pub source: Option<ServiceName>,
}

/// Controller to node: the registration is taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The controller's name.
    pub controller: NodeName,
    /// Version of the program.
    pub version: String,
    /// The services granted to the node.
    pub granted: Vec<ServiceName>,
    /// Room to grow.
    pub ext: Ext,
}
control!(Welcome, 33);

/// Controller to node: a piece of an encoded [`Snapshot`](crate::Snapshot).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotChunk {
    /// The snapshot's revision.
    pub revision: Revision,
    /// The number of this piece, from 0.
    pub index: u32,
    /// How many pieces there are, at most [`MAX_CHUNKS`].
    pub count: u32,
    /// The piece, at most [`CHUNK_LEN`].
    pub bytes: Vec<u8>,
}
control!(SnapshotChunk, 34);

/// Node to controller: the snapshot of this revision is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// The revision.
    pub revision: Revision,
}
control!(Ack, 35);

/// The [`Reject::name`] by which a node says that it does not hold what a [`Delta`] starts from: it is sent the
/// whole.
pub const REJECT_BASE: &str = "base";

/// Node to controller: the snapshot of this revision was refused; the one before stays in use.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reject {
    /// The revision.
    pub revision: Revision,
    /// What in it is wrong.
    pub name: String,
    /// Why.
    pub reason: String,
}
control!(Reject, 36);

/// Node to controller: what the node sees of its links. At most one a second.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// The end of this node's certificate, seconds since 1970.
    pub certificate_expiry: u64,
    /// The certificate's issue, seconds since 1970.
    pub certificate_issued: u64,
    /// The node's clock when it sent this, milliseconds since 1970.
    pub clock_ms: u64,
    /// Every peer in the snapshot.
    pub links: Vec<LinkReport>,
    /// Every endpoint in use: with connections in progress, or turns or ends since the last report.
    pub endpoints: Vec<EndpointReport>,
    /// Room to grow.
    pub ext: Ext,
}
control!(Report, 37);

/// One link as one end sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LinkReport {
    /// The other end.
    pub node: NodeName,
    /// Up, suspect, or why not.
    pub state: LinkState,
    /// Smoothed round trip in microseconds, 0 when unknown.
    pub rtt_us: u64,
    /// Packets lost of a million, among those sent since the last report and at least the last hundred.
    pub loss_ppm: u32,
}

/// What the callers on one node saw of one endpoint since the last report.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EndpointReport {
    /// The service.
    pub service: ServiceName,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// How long its turns took toward the end of that time, in microseconds, the link included: an average that
    /// remembers a quarter of a second.
    pub latency_us: u64,
    /// How many turns there were; 0: nothing was measured.
    pub turns: u32,
    /// Connections in progress.
    pub in_flight: u32,
    /// Connections that ended well.
    pub successes: u32,
    /// Connections that it refused, or that broke.
    pub errors: u32,
}

/// The state of a link.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// No connection, and none is wanted now.
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

control!(Serving, 39);
control!(Delta, 40);

/// Node to controller: a certificate for the same identity and a new key is wanted, in time before the end of
/// the one in use. Over a live session nothing else is needed: it proves who asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Renew {
    /// A certificate signing request (PKCS #10, DER), at most [`crate::join::MAX_CSR_LEN`] bytes.
    pub csr: Vec<u8>,
}
control!(Renew, 41);

/// Controller to node: the answer to [`Renew`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Renewed {
    /// The certificate and its issuers (DER), the node's first; empty when it was refused.
    pub chain: Vec<Vec<u8>>,
    /// Why it was refused; empty when it was not.
    pub refused: String,
}
control!(Renewed, 42);

/// Controller to node, last: why the session ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Farewell {
    /// What happened.
    pub reason: FarewellReason,
    /// For a person: what was wrong and what to do.
    pub detail: String,
}
control!(Farewell, 38);

/// Why a controller ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FarewellReason {
    /// A newer session with the same identity took over: a copied state directory, or a restart.
    Superseded,
    /// The registration asks for what the node was not granted; it must be changed first.
    NotGranted,
    /// The registration breaks another rule.
    Invalid,
    /// The controller stops; come back with back-off.
    Stopping,
    /// The node's certificate ended: come back to renew it, and for nothing else, before anything else.
    CertificateExpired,
}
