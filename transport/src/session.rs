//! Framed sessions between a node and a controller: one bidirectional stream on a connection of its own.
//!
//! Two protocols share the controller's socket. `sinew-control/1` needs a node's certificate;
//! `sinew-join/1` comes without one, since getting one is its purpose. Which of the two a connection is
//! shows only after the handshake, so certificates are optional in TLS and the rule is applied here,
//! in one place: no session of kind control without a verified node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Endpoint, VarInt};
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::{NodeName, TrustDomain};
use sinew_transport_core::wire::{self, Head, Malformed, Message};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::quic::{self, ResetKeys};
use crate::runtime::Runtime;
use crate::socket::MeshSocket;
use crate::stream::{RecvStream, SendStream, StreamError};
use crate::tls::{self, ALPN_CONTROL, ALPN_JOIN, Credentials, CredentialsError, SERVER_NAME};
use crate::verify::{Expect, Refusal, Refusals, identity_of};

/// Handshakes in progress at once; more are refused and counted. Authentic nodes come back.
const HANDSHAKES_MAX: usize = 1024;

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
pub struct SessionCloser(quinn::Connection);

impl SessionCloser {
    /// Closes the connection at once; the reason is shown at the other end.
    pub fn close(&self, reason: &str) {
        self.0.close(VarInt::from_u32(0), reason.as_bytes());
    }

    /// Waits until the session is gone, and says why: whether it was closed by the other end
    /// deliberately, or lost.
    pub async fn closed(&self) -> SessionEnd {
        match self.0.closed().await {
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
    connection: quinn::Connection,
    /// A dialler's socket lives as long as its session.
    _endpoint: Option<Endpoint>,
}

impl Session {
    /// Something that ends it, and notices its end.
    #[must_use]
    pub fn closer(&self) -> SessionCloser {
        SessionCloser(self.connection.clone())
    }
}

/// What arrived at a controller.
#[derive(Debug)]
pub enum Arrival {
    /// Someone with a token, not authenticated.
    Join(Session),
    /// A node of our root.
    Control(Session, NodeName),
}

/// The controller's socket.
#[derive(Debug)]
pub struct SessionListener {
    endpoint: Endpoint,
    address: SocketAddr,
    refusals: Arc<Refusals>,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
    _accepting: JoinSet<()>,
}

impl SessionListener {
    /// Binds the socket and begins to take handshakes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] when the port or the credentials can't be used.
    pub fn bind(
        runtime: &Arc<dyn Runtime>,
        address: SocketAddr,
        credentials: &Credentials,
    ) -> Result<Self, BindError> {
        let refusals = Arc::new(Refusals::default());
        let expect = Expect::AnyNode(credentials.identity().trust_domain().clone());
        let tls = tls::server(runtime, credentials, expect, true, &[ALPN_CONTROL, ALPN_JOIN], &refusals)?;
        let keys = ResetKeys::random();
        let mut config = quinn::ServerConfig::new(Arc::new(tls), keys.token_key());
        config.transport_config(Arc::new(quic::session())).migration(false);
        let endpoint = bind(runtime, address, &keys, Some(config))?;
        let address = endpoint.local_addr().map_err(|source| BindError::Socket { address, source })?;
        let (arrived, arrivals) = mpsc::channel(HANDSHAKES_MAX);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept_all(endpoint.clone(), Arc::clone(&refusals), arrived));
        Ok(Self { endpoint, address, refusals, arrivals: Mutex::new(arrivals), _accepting: accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next session, after its handshake; none once the listener is closed. Cancel-safe.
    pub async fn accept(&self) -> Option<Arrival> {
        self.arrivals.lock().await.recv().await
    }

    /// How many connections were refused, by reason.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, u64)> {
        self.refusals.all().map(|(reason, n)| (reason.name().to_owned(), n)).collect()
    }

    /// Closes every session, and waits for at most two seconds until the other ends know.
    pub async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the controller stops");
        let _ = timeout(LINGER, self.endpoint.wait_idle()).await;
    }
}

async fn accept_all(endpoint: Endpoint, refusals: Arc<Refusals>, arrived: mpsc::Sender<Arrival>) {
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        if handshakes.len() >= HANDSHAKES_MAX {
            refusals.count(Refusal::Overloaded);
            incoming.refuse();
            continue;
        }
        let (refusals, arrived) = (Arc::clone(&refusals), arrived.clone());
        handshakes.spawn(async move {
            let remote = incoming.remote_address();
            match timeout(HANDSHAKE_TIME, arrive(incoming)).await {
                Ok(Ok(arrival)) => drop(arrived.send(arrival).await),
                Ok(Err((refusal, reason))) => refused(&refusals, refusal, remote, &reason),
                Err(_) => refused(&refusals, Some(Refusal::Timeout), remote, "too slow"),
            }
        });
    }
}

fn refused(refusals: &Refusals, refusal: Option<Refusal>, remote: SocketAddr, reason: &str) {
    // The verifier has counted and named what it refused.
    if let Some(refusal) = refusal {
        refusals.count(refusal);
        tracing::warn!(%remote, reason, refusal = refusal.name(), "session refused");
    } else {
        tracing::debug!(%remote, reason, "session refused");
    }
}

/// One handshake: who is it, what do they want, and the stream they open.
async fn arrive(incoming: quinn::Incoming) -> Result<Arrival, (Option<Refusal>, String)> {
    let connection = incoming.await.map_err(|e| (refusal_of(&e), e.to_string()))?;
    let node = peer_identity(&connection);
    let join = alpn_of(&connection).as_deref() == Some(ALPN_JOIN);
    if !join && node.is_none() {
        connection.close(VarInt::from_u32(1), b"a control session needs a node's certificate");
        return Err((Some(Refusal::NoCertificate), "a control session without a certificate".into()));
    }
    let (send, receive) = connection.accept_bi().await.map_err(|e| (Some(Refusal::Other), e.to_string()))?;
    let session = Session {
        remote: connection.remote_address(),
        sender: FrameSender(SendStream::new(send)),
        receiver: FrameReceiver(RecvStream::new(receive)),
        connection,
        _endpoint: None,
    };
    match node {
        Some(Identity::Node(_, name)) if !join => Ok(Arrival::Control(session, name)),
        _ => Ok(Arrival::Join(session)),
    }
}

/// The reason of a failed handshake, unless our own verifier has counted it already.
pub(crate) fn refusal_of(error: &quinn::ConnectionError) -> Option<Refusal> {
    /// TLS alerts that our verifier causes (RFC 8446 section 6.2): bad_certificate, certificate_expired,
    /// certificate_unknown, unknown_ca, access_denied.
    const VERIFIER: [u8; 5] = [42, 45, 46, 48, 49];
    match error {
        quinn::ConnectionError::TransportError(e) => match tls_alert(e.code) {
            Some(alert) if VERIFIER.contains(&alert) => None,
            Some(116) => Some(Refusal::NoCertificate),
            Some(120) => Some(Refusal::Protocol),
            _ => Some(Refusal::Other),
        },
        quinn::ConnectionError::TimedOut => Some(Refusal::Timeout),
        quinn::ConnectionError::VersionMismatch => Some(Refusal::Protocol),
        _ => Some(Refusal::Other),
    }
}

/// The TLS alert inside a QUIC error code (RFC 9001 section 4.8).
fn tls_alert(code: quinn::TransportErrorCode) -> Option<u8> {
    match u64::from(code) {
        code @ 0x100..0x200 => u8::try_from(code - 0x100).ok(),
        _ => None,
    }
}

pub(crate) fn alpn_of(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast_ref::<quinn::crypto::rustls::HandshakeData>()?.protocol.clone()
}

pub(crate) fn peer_identity(connection: &quinn::Connection) -> Option<Identity> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<quinn::rustls::pki_types::CertificateDer<'static>>>()?;
    identity_of(chain.first()?).ok()
}

pub(crate) fn bind(
    runtime: &Arc<dyn Runtime>,
    address: SocketAddr,
    keys: &ResetKeys,
    server: Option<quinn::ServerConfig>,
) -> Result<Endpoint, BindError> {
    let bound = |source| BindError::Socket { address, source };
    let socket = Arc::new(MeshSocket::new(runtime.bind_udp(address).map_err(bound)?, quic::MTU_MAX));
    Endpoint::new_with_abstract_socket(quic::endpoint(keys), server, socket, Arc::new(quinn::TokioRuntime))
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
    let tls = tls::client(runtime, credentials, expect, ALPN_CONTROL, refusals).map_err(BindError::from)?;
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
    let endpoint = bind(runtime, any, &ResetKeys::random(), None)?;
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
        connection,
        _endpoint: Some(endpoint),
    })
}
