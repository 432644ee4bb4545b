//! The controller's end: handshakes, and telling joins from control sessions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::rustls::pki_types::CertificateDer;
use quinn::{Endpoint, VarInt};
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::NodeName;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{BindError, FrameReceiver, FrameSender, HANDSHAKE_TIME, LINGER, Session, bind};
use crate::keyring::{Keyring, Serving};
use crate::quic::{self, PROVE_FROM, ResetKeys};
use crate::runtime::Runtime;
use crate::stream::{RecvStream, SendStream};
use crate::tls::{self, ALPN_CONTROL, ALPN_JOIN, Credentials, CredentialsError};
use crate::validity::{Trust, Validity};
use crate::verify::{Expect, Refusal, Refusals, identity_of};

/// Handshakes in progress at once. Each takes a fraction of a millisecond of a core and two round trips: with
/// 100 ms between them, these are a thousand a second. Who comes beyond it waits in [`WAITING_MAX`].
const HANDSHAKES_MAX: usize = 256;
/// First packets that wait for their handshake, as many as come when a mesh of thousands comes back at once;
/// more are refused, and their nodes come back with back-off.
const WAITING_MAX: usize = 4096;
/// How long one may wait: less than its dialler does ([`HANDSHAKE_TIME`]), or every place would be taken by those
/// that have given up.
const WAITING_TIME: Duration = Duration::from_secs(2);

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
        let keyring = Arc::new(Keyring::new(credentials.clone()));
        Self::bind_with(runtime, address, keyring, &ResetKeys::random(), &Arc::new(Trust::strict()))
    }

    /// The same with credentials that may be exchanged while in use; with keys that survive a restart: nodes
    /// then notice at once that the controller they talk to is another run; and with `trust` in certificates
    /// whose end is over ([`Session::peer_expiry`] tells).
    ///
    /// # Errors
    /// As [`SessionListener::bind`].
    pub fn bind_with(
        runtime: &Arc<dyn Runtime>,
        address: SocketAddr,
        keyring: Arc<Keyring>,
        keys: &ResetKeys,
        trust: &Arc<Trust>,
    ) -> Result<Self, BindError> {
        let refusals = Arc::new(Refusals::default());
        let settings = Settings {
            runtime: Arc::clone(runtime),
            keys: keys.clone(),
            trust: Arc::clone(trust),
            refusals: Arc::clone(&refusals),
        };
        let serving = Serving::new(keyring.current(), |own| settings.server(own))?;
        let (_, config) = serving.with(keyring.current(), |own| settings.server(own));
        let endpoint = bind(runtime, address, keys, quic::SESSION_MTU, Some(config))?;
        let address = endpoint.local_addr().map_err(|source| BindError::Socket { address, source })?;
        let (arrived, arrivals) = mpsc::channel(HANDSHAKES_MAX);
        let mut accepting = JoinSet::new();
        let server = move || serving.with(keyring.current(), |own| settings.server(own)).1;
        accepting.spawn(accept_all(endpoint.clone(), server, Arc::clone(&refusals), arrived));
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

    /// How many handshakes had to prove their address first.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.refusals.retried()
    }

    /// Closes every session, and waits for at most two seconds until the other ends know.
    pub async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"the controller stops");
        let _ = timeout(LINGER, self.endpoint.wait_idle()).await;
    }
}

/// What a server's configuration is made of, beside its credentials.
struct Settings {
    runtime: Arc<dyn Runtime>,
    keys: ResetKeys,
    trust: Arc<Trust>,
    refusals: Arc<Refusals>,
}

impl Settings {
    fn server(&self, own: &Credentials) -> Result<quinn::ServerConfig, CredentialsError> {
        let expect = Expect::AnyNode(own.identity().trust_domain().clone());
        let alpn = &[ALPN_CONTROL, ALPN_JOIN];
        let tls = tls::server(&self.runtime, own, expect, true, alpn, &self.trust, &self.refusals)?;
        let mut config = quinn::ServerConfig::new(Arc::new(tls), self.keys.token_key());
        config
            .transport_config(Arc::new(quic::session()))
            .migration(false)
            .time_source(Arc::new(tls::WallTime(Arc::clone(&self.runtime))));
        quic::limit_strangers(&mut config);
        // Those that wait for their turn are not taken up yet.
        config.max_incoming(WAITING_MAX);
        Ok(config)
    }
}

async fn accept_all(
    endpoint: Endpoint,
    server: impl Fn() -> quinn::ServerConfig,
    refusals: Arc<Refusals>,
    arrived: mpsc::Sender<Arrival>,
) {
    let mut handshakes = JoinSet::new();
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                None => return,
                Some(incoming) if waiting.len() >= WAITING_MAX => {
                    refusals.count(Refusal::Overloaded);
                    incoming.refuse();
                }
                Some(incoming) if handshakes.len() >= PROVE_FROM && !incoming.remote_address_validated() => {
                    refusals.count_retry();
                    let _ = incoming.retry();
                }
                Some(incoming) => waiting.push_back((Instant::now(), incoming)),
            },
            Some(_) = handshakes.join_next() => {}
        }
        while handshakes.len() < HANDSHAKES_MAX
            && let Some((since, incoming)) = waiting.pop_front()
        {
            if since.elapsed() > WAITING_TIME {
                // Its dialler has given up, or will before it is done: it comes back.
                refusals.count(Refusal::Overloaded);
                incoming.ignore();
                continue;
            }
            let (refusals, arrived, config) = (Arc::clone(&refusals), arrived.clone(), Arc::new(server()));
            handshakes.spawn(async move {
                let remote = incoming.remote_address();
                match timeout(HANDSHAKE_TIME, arrive(incoming, config)).await {
                    Ok(Ok(arrival)) => drop(arrived.send(arrival).await),
                    Ok(Err((refusal, reason))) => refused(&refusals, refusal, remote, &reason),
                    Err(_) => refused(&refusals, Some(Refusal::Timeout), remote, "too slow"),
                }
            });
        }
    }
}

fn refused(refusals: &Refusals, refusal: Option<Refusal>, remote: SocketAddr, reason: &str) {
    if let Some(refusal) = refusal {
        refusals.count(refusal);
        if let Some(withheld) = refusals.admit_line(Some(refusal)) {
            tracing::warn!(%remote, reason, refusal = refusal.name(), withheld, "session refused");
        }
    } else if let Some(withheld) = refusals.admit_line(None) {
        // The verifier has counted and named what it refused, but can't know where it came from.
        tracing::info!(%remote, reason, withheld, "session refused");
    }
}

/// One handshake: who is it, what do they want, and the stream they open.
async fn arrive(
    incoming: quinn::Incoming,
    config: Arc<quinn::ServerConfig>,
) -> Result<Arrival, (Option<Refusal>, String)> {
    let connecting = incoming.accept_with(config).map_err(|e| (refusal_of(&e), e.to_string()))?;
    let connection = connecting.await.map_err(|e| (refusal_of(&e), e.to_string()))?;
    let node = peer_identity(&connection);
    let join = alpn_of(&connection).as_deref() == Some(ALPN_JOIN);
    if !join && node.is_none() {
        connection.close(VarInt::from_u32(1), b"a control session needs a node's certificate");
        return Err((Some(Refusal::NoCertificate), "a control session without a certificate".into()));
    }
    let (send, receive) = connection.accept_bi().await.map_err(|e| (left(&e), e.to_string()))?;
    let session = Session {
        remote: connection.remote_address(),
        sender: FrameSender(SendStream::new(send)),
        receiver: FrameReceiver(RecvStream::new(receive)),
        peer_expiry: peer_validity(&connection).map(|validity| validity.until),
        connection,
        endpoint: None,
    };
    match node {
        Some(Identity::Node(_, name)) if !join => Ok(Arrival::Control(session, name)),
        _ => Ok(Arrival::Join(session)),
    }
}

/// Why nobody asked for anything. Whoever leaves in peace only wanted to know whether somebody answers
/// (`sinew check`), and is not counted among those who did wrong.
fn left(error: &quinn::ConnectionError) -> Option<Refusal> {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(0) => None,
        _ => Some(Refusal::Other),
    }
}

/// The reason of a failed handshake, unless our own verifier has counted it already.
pub(crate) fn refusal_of(error: &quinn::ConnectionError) -> Option<Refusal> {
    /// TLS alerts that our verifier causes (RFC 8446 section 6.2): bad_certificate, certificate_expired,
    /// certificate_unknown, unknown_ca, access_denied, decrypt_error (a signature).
    const VERIFIER: [u8; 6] = [42, 45, 46, 48, 49, 51];
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
    identity_of(&peer_certificate(connection)?).ok()
}

pub(crate) fn peer_validity(connection: &quinn::Connection) -> Option<Validity> {
    Validity::of(&peer_certificate(connection)?)
}

fn peer_certificate(connection: &quinn::Connection) -> Option<CertificateDer<'static>> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    chain.first().cloned()
}
