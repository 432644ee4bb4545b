//! A peer in the test's hands: a valid certificate, and no manners.

use std::net::SocketAddr;

use quinn::{Connection, Endpoint, ReadError, ReadToEndError, RecvStream, SendStream};
use sinew_transport::tls::ALPN_DATA;
use sinew_transport_core::ids::{Revision, ServiceName};
use sinew_transport_core::wire::{self, Accepted, Class, Hello, Preamble, StreamKind};

use super::authority::Authority;
use super::raw::{self, soon};

/// A call of `orders` for `web`, as the snapshot of the stage allows it.
pub(crate) fn preamble() -> Preamble {
    let service = |name: &str| ServiceName::new(name).expect("valid");
    Preamble {
        kind: StreamKind::Tcp,
        destination: service("orders"),
        endpoint: super::ORDERS,
        source: service("web"),
        revision: Revision(5),
        attempt: 0,
        class: Class::Interactive,
        remaining_ms: 0,
        client: None,
        traceparent: String::new(),
        tracestate: String::new(),
        ext: vec![],
    }
}

/// A peer with a connection to the node.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    /// The connection's first stream; its end is the connection's.
    pub(crate) greeting: (SendStream, RecvStream),
    pub(crate) hello: Hello,
    _endpoint: Endpoint,
}

impl Peer {
    /// A connection as node `name` whose first stream is not opened yet.
    pub(crate) async fn connect(
        name: &str,
        authority: &Authority,
        address: SocketAddr,
    ) -> (Endpoint, Connection) {
        let endpoint = raw::client(Some(&authority.issue_node(name)), ALPN_DATA);
        let connection = raw::connect(&endpoint, address).await.expect("a valid certificate");
        (endpoint, connection)
    }

    /// A connection as node `name` that is up.
    pub(crate) async fn greet(name: &str, authority: &Authority, address: SocketAddr) -> Self {
        let (endpoint, connection) = Self::connect(name, authority, address).await;
        let (send, receive, hello) = raw::greet(&connection).await;
        Self { connection, greeting: (send, receive), hello, _endpoint: endpoint }
    }

    /// Opens a stream and writes these bytes.
    pub(crate) async fn say(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, receive) = soon("a stream", self.connection.open_bi()).await.expect("opened");
        raw::write(&mut send, bytes).await;
        (send, receive)
    }

    /// Opens a stream with that first frame, and sends `hello` through it.
    pub(crate) async fn call(&self, first: &[u8]) -> RecvStream {
        let (mut send, receive) = self.say(first).await;
        raw::write(&mut send, b"hello").await;
        send.finish().expect("open until here");
        receive
    }

    /// A stream that is as it should be is served, to its clean end.
    pub(crate) async fn is_served(&self) {
        served(self.call(&wire::encode(&preamble())).await).await;
    }
}

/// The answer to [`Peer::call`] is accepted, whole, and ends cleanly.
pub(crate) async fn served(mut receive: RecvStream) {
    let accepted: Accepted = raw::read_frame(&mut receive).await;
    assert_eq!(accepted.endpoint, super::ORDERS);
    let echo = soon("the echo", receive.read_to_end(100)).await.expect("a clean end");
    assert_eq!(echo, b"hello");
}

/// The number on RESET_STREAM, and the one on STOP_SENDING; nothing came before.
pub(crate) async fn codes((send, receive): (SendStream, RecvStream)) -> (u64, u64) {
    let stopped = soon("STOP_SENDING", send.stopped()).await.expect("the connection stays");
    let stopped = stopped.expect("stopped, not taken to its end");
    (reset_code(receive).await, stopped.into_inner())
}

/// The number on RESET_STREAM; nothing came before.
pub(crate) async fn reset_code(mut receive: RecvStream) -> u64 {
    match soon("RESET_STREAM", receive.read_to_end(0)).await {
        Err(ReadToEndError::Read(ReadError::Reset(code))) => code.into_inner(),
        other => panic!("a reset, not {other:?}"),
    }
}
