//! A controller in the test's hands: it takes sessions, and says whatever it is made to say.
//!
//! It is a bare QUIC server instead of a `SessionListener`, which sends nothing but well-formed frames.

use std::net::SocketAddr;

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use sinew_api::Snapshot;
use sinew_api::control::{Ack, Register, Reject, Report, SnapshotChunk, Welcome};
use sinew_api::snapshot::{DefaultPolicy, Peer};
use sinew_transport::tls::ALPN_CONTROL;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use sinew_transport_core::wire::{self, Message};

use super::authority::Authority;
use super::raw::{self, soon};

/// What a node needs to know of the mesh: that these peers may speak for these services.
pub(crate) fn snapshot(revision: u64, peers: &[(&str, &str)]) -> Snapshot {
    let service = |name: &str| ServiceName::new(name).expect("valid");
    let peer = |&(node, granted): &(&str, &str)| Peer {
        node: NodeName::new(node).expect("valid"),
        zone: None,
        addresses: vec![],
        granted: vec![service(granted)],
        serving: 0,
    };
    Snapshot {
        revision: Revision(revision),
        default: DefaultPolicy::Allow,
        granted: vec![service("orders"), service("billing")],
        services: vec![],
        assigned: vec![],
        listeners: vec![],
        peers: peers.iter().map(peer).collect(),
    }
}

/// What a node says to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Ack(Ack),
    Reject(Reject),
}

impl Answer {
    pub(crate) fn ack(revision: u64) -> Self {
        Self::Ack(Ack { revision: Revision(revision) })
    }
}

pub(crate) struct Controller {
    endpoint: Endpoint,
}

impl Controller {
    pub(crate) fn start(authority: &Authority) -> Self {
        Self { endpoint: raw::server(&authority.issue_controller("c1"), ALPN_CONTROL) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("bound")
    }

    /// The next session, registered.
    pub(crate) async fn session(&self) -> Session {
        let incoming = soon("a session", self.endpoint.accept()).await.expect("open");
        let connection = soon("its handshake", incoming.into_future()).await.expect("a node");
        let (send, mut receive) = soon("its stream", connection.accept_bi()).await.expect("opened");
        let register = raw::read_frame(&mut receive).await;
        Session { connection, send, receive, register }
    }
}

/// A session with the node.
pub(crate) struct Session {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    pub(crate) register: Register,
}

impl Session {
    pub(crate) async fn welcome(&mut self) {
        self.say(&wire::encode(&Welcome {
            controller: NodeName::new("c1").expect("valid"),
            version: "0.0.0".into(),
            granted: vec![],
            ext: vec![],
        }))
        .await;
    }

    /// Writes any bytes.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        raw::write(&mut self.send, bytes).await;
    }

    /// Sends a snapshot, in one piece.
    pub(crate) async fn send(&mut self, snapshot: &Snapshot) {
        self.say(&chunk(snapshot.revision.0, 0, 1, wire::encode_part(snapshot))).await;
    }

    /// Sends a snapshot, and what the node says to it.
    pub(crate) async fn tell(&mut self, snapshot: &Snapshot) -> Answer {
        self.send(snapshot).await;
        self.answer().await
    }

    /// What the node says to the oldest snapshot that it has not answered.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            let (head, payload) = raw::read_any(&mut self.receive).await;
            match head.kind {
                Report::KIND => {}
                Ack::KIND => return Answer::Ack(wire::decode(&payload).expect("well-formed")),
                Reject::KIND => return Answer::Reject(wire::decode(&payload).expect("well-formed")),
                kind => panic!("frame kind {kind} is no answer"),
            }
        }
    }

    /// Waits until the node has ended the session.
    pub(crate) async fn over(&self) {
        let end = soon("the session's end", self.connection.closed()).await;
        assert!(matches!(end, quinn::ConnectionError::ApplicationClosed(_)), "{end}");
    }
}

/// One piece of a snapshot as a frame.
pub(crate) fn chunk(revision: u64, index: u32, count: u32, bytes: Vec<u8>) -> Vec<u8> {
    wire::encode(&SnapshotChunk { revision: Revision(revision), index, count, bytes })
}
