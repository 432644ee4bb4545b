//! Framed sessions between a node and a controller: one bidirectional stream on a connection of its own.
//!
//! Two protocols share the controller's socket. `sinew-control/1` needs a node's certificate;
//! `sinew-join/1` comes without one, since getting one is its purpose. Which of the two a connection is
//! shows only after the handshake, so certificates are optional in TLS and the rule is applied here,
//! in one place: no session of kind control without a verified node.

mod listener;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, VarInt};
use sinew_transport_core::ids::TrustDomain;
use sinew_transport_core::wire::{self, Head, Malformed, Message};
use tokio::time::timeout;

pub use listener::{Arrival, SessionListener};
pub(crate) use listener::{alpn_of, peer_identity, peer_validity, refusal_of};

use crate::quic::{self, ResetKeys};
use crate::runtime::Runtime;
use crate::socket::MeshSocket;
use crate::stream::{RecvStream, SendStream, StreamError};
use crate::tls::{self, ALPN_CONTROL, Credentials, CredentialsError, SERVER_NAME};
use crate::validity::Trust;
use crate::verify::{Expect, Refusals};

/// How long a handshake and the opening of the stream may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long a finished session waits for the last acknowledgement before it closes.
const LINGER: Duration = Duration::from_secs(2);

/// Longest frame of a session.
const FRAME_MAX: u32 = 1024 * 1024;

/// Why a session can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The stream under it.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The other end closed the session.
    #[error("the session is closed: {0}")]
    Closed(String),
}

/// Why a socket for sessions can't be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system.
    #[error(
        "binding UDP {address}: {source}; is another program using the port? Choose another with `listen`/`data`, or 0 for any"
    )]
    Socket {
        /// What was tried.
        address: SocketAddr,
        /// What it said.
        source: io::Error,
    },
    /// Our own certificate.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Why a session can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No socket, or no TLS.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody answered in time.
    #[error(
        "no answer from {0} in {HANDSHAKE_TIME:?}: is a controller running there, and does UDP get through?"
    )]
    Timeout(SocketAddr),
    /// The connection was refused, by us or by them.
    #[error("connecting to {address}: {reason}")]
    Refused {
        /// Who was dialled.
        address: SocketAddr,
        /// What happened, in TLS's or QUIC's words.
        reason: String,
    },
}

/// One received frame.
#[derive(Debug, Clone)]
pub struct Frame {
    head: Head,
    payload: Vec<u8>,
}

impl Frame {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.head.kind
    }

    /// Whether a receiver that does not know the kind steps over it.
    #[must_use]
    pub fn skippable(&self) -> bool {
        self.head.skippable()
    }

    /// The message in it.
    ///
    /// # Errors
    /// [`Malformed`] when it is another, or can't be read.
    pub fn decode<M: Message>(&self) -> Result<M, Malformed> {
        if self.head.kind != M::KIND {
            return Err(Malformed::Unexpected { found: self.head.kind, expected: M::KIND });
        }
        wire::decode(&self.payload)
    }
}

/// The sending half of a session.
#[derive(Debug)]
pub struct FrameSender(SendStream);

impl FrameSender {
    /// Sends a message.
    ///
    /// # Errors
    /// [`SessionError`] when the session is gone.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), SessionError> {
        Ok(self.0.write_frame(message, bytes::Bytes::new()).await?)
    }

    /// Ends this half and waits, for at most two seconds, until all of it arrived.
    pub async fn finish(mut self) {
        self.0.finish();
        let _ = timeout(LINGER, self.0.delivered()).await;
    }
}

/// The receiving half of a session.
#[derive(Debug)]
pub struct FrameReceiver(RecvStream);

impl FrameReceiver {
    /// The next frame. Not cancel-safe: give it a task or a loop of its own.
    ///
    /// # Errors
    /// [`SessionError`] at the end of the session, or when a frame is over 1 MiB.
    pub async fn next(&mut self) -> Result<Frame, SessionError> {
        let head = self.0.read_head().await?;
        if head.len > FRAME_MAX {
            let error = Malformed::TooLong { kind: head.kind, len: head.len, max: FRAME_MAX };
            return Err(StreamError::Malformed(error).into());
        }
        let mut payload = vec![0; head.len as usize];
        self.0.read_exact(&mut payload).await?;
        Ok(Frame { head, payload })
    }
}

/// Ends a session from anywhere.
#[derive(Debug, Clone)]
pub struct SessionCloser {
    connection: quinn::Connection,
    /// A dialler's own.
    endpoint: Option<Endpoint>,
}

impl SessionCloser {
    /// Closes the connection at once; the reason is shown at the other end.
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Closes the connection and waits, for at most two seconds, until the other end was told: for who
    /// ends its process next.
    pub async fn close_and_wait(&self, reason: &str) {
        self.close(reason);
        if let Some(endpoint) = &self.endpoint {
            let _ = timeout(LINGER, endpoint.wait_idle()).await;
        }
    }

    /// Packets that arrived from the other end so far: one more is a sign of life.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    /// Waits until the session is gone, and says why: whether it was closed by the other end
    /// deliberately, or lost.
    pub async fn closed(&self) -> SessionEnd {
        match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                SessionEnd::Closed(String::from_utf8_lossy(&close.reason).into_owned())
            }
            quinn::ConnectionError::LocallyClosed => SessionEnd::Closed("closed here".into()),
            other => SessionEnd::Lost(other.to_string()),
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// One end closed it deliberately.
    Closed(String),
    /// It fell silent, or was refused.
    Lost(String),
}

/// A session in progress.
#[derive(Debug)]
pub struct Session {
    /// The other end's address.
    pub remote: SocketAddr,
    /// To the other end.
    pub sender: FrameSender,
    /// From the other end.
    pub receiver: FrameReceiver,
    /// The end of the other end's certificate, seconds since 1970; none when it showed none, to join.
    pub peer_expiry: Option<u64>,
    connection: quinn::Connection,
    /// A dialler's socket lives as long as its session.
    endpoint: Option<Endpoint>,
}

impl Session {
    /// Something that ends it, and notices its end.
    #[must_use]
    pub fn closer(&self) -> SessionCloser {
        SessionCloser { connection: self.connection.clone(), endpoint: self.endpoint.clone() }
    }
}

pub(crate) fn bind(
    runtime: &Arc<dyn Runtime>,
    address: SocketAddr,
    keys: &ResetKeys,
    mtu: u16,
    server: Option<quinn::ServerConfig>,
) -> Result<Endpoint, BindError> {
    let bound = |source| BindError::Socket { address, source };
    let socket = Arc::new(MeshSocket::new(runtime.bind_udp(address).map_err(bound)?, mtu));
    Endpoint::new_with_abstract_socket(
        quic::endpoint(keys, mtu),
        server,
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(bound)
}

/// Opens a control session with the controller at `address`.
///
/// # Errors
/// [`DialError`]; trying again later may help unless the certificate was refused.
pub async fn dial_control(
    runtime: &Arc<dyn Runtime>,
    address: SocketAddr,
    credentials: &Credentials,
    refusals: &Arc<Refusals>,
) -> Result<Session, DialError> {
    let expect = Expect::AnyController(credentials.identity().trust_domain().clone());
    let trust = Arc::new(Trust::strict());
    let tls =
        tls::client(runtime, credentials, expect, ALPN_CONTROL, &trust, refusals).map_err(BindError::from)?;
    dial(runtime, address, quinn::ClientConfig::new(Arc::new(tls))).await
}

/// Opens a connection for joining; the controller must show the root that the token pins.
///
/// # Errors
/// [`DialError`]; a wrong pin is final.
pub async fn dial_join(
    runtime: &Arc<dyn Runtime>,
    address: SocketAddr,
    trust_domain: &TrustDomain,
    root_pin: [u8; 32],
    refusals: &Arc<Refusals>,
) -> Result<Session, DialError> {
    let tls = tls::joiner(runtime, trust_domain, root_pin, refusals).map_err(BindError::from)?;
    dial(runtime, address, quinn::ClientConfig::new(Arc::new(tls))).await
}

async fn dial(
    runtime: &Arc<dyn Runtime>,
    address: SocketAddr,
    mut config: quinn::ClientConfig,
) -> Result<Session, DialError> {
    config.transport_config(Arc::new(quic::session()));
    let any: SocketAddr = if address.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = bind(runtime, any, &ResetKeys::random(), quic::SESSION_MTU, None)?;
    let refused = |reason: String| DialError::Refused { address, reason };
    let connecting =
        endpoint.connect_with(config, address, SERVER_NAME).map_err(|e| refused(e.to_string()))?;
    let connection = match timeout(HANDSHAKE_TIME, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(refused(error.to_string())),
        Err(_) => return Err(DialError::Timeout(address)),
    };
    let (send, receive) = connection.open_bi().await.map_err(|e| refused(e.to_string()))?;
    Ok(Session {
        remote: address,
        sender: FrameSender(SendStream::new(send)),
        receiver: FrameReceiver(RecvStream::new(receive)),
        peer_expiry: peer_validity(&connection).map(|validity| validity.until),
        connection,
        endpoint: Some(endpoint),
    })
}
