//! quinn's settings: one place, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::ControllerFactory;
use quinn::crypto::HmacKey;
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// The largest packet that is tried. 9,000-byte links halve the CPU per byte; what does not fit is found
/// out by discovery, which loses only its probes.
pub const MTU_MAX: u16 = 8952;

/// The largest packet of a session: an Ethernet frame's. quinn keeps room for some two thousand of the largest
/// on each socket, and every session of a node has a socket of its own.
pub(crate) const SESSION_MTU: u16 = 1472;

/// Streams that a peer may have open at first. quinn keeps an entry for each one allowed, so a
/// connection with 8,192 costs 845 KiB; [`crate::link`] raises it as it is used up.
pub(crate) const STREAMS_AT_FIRST: u32 = 100;

/// The most streams that a peer may have open, on all its links together. Both ends count.
pub(crate) const STREAMS_MAX: u32 = 10_000;

/// The most that QUIC itself allows on one link. quinn tells that streams have ended only when they are more than an
/// eighth of what is allowed, so that much more is needed for [`STREAMS_MAX`] to be open at any time; and one by which
/// the ends greeted each other.
pub(crate) const CREDIT_MAX: u32 = STREAMS_MAX / 7 * 8 + 8;

/// A connection that nobody heard from is forgotten. Only the backstop: *dead* comes much sooner.
const DATA_IDLE: Duration = Duration::from_secs(30);

/// Handshakes of others in progress at once.
pub(crate) const HANDSHAKES_MAX: usize = 1024;
/// From this many on, whoever dials must prove its address first, so that nobody fills the places under addresses
/// that are not his. It costs a round trip, and no memory here.
pub(crate) const PROVE_FROM: usize = 64;
/// What may arrive for one handshake before it is taken up.
const FIRST_BYTES_MAX: u64 = 64 << 10;
/// The same for all.
const FIRST_BYTES_ALL_MAX: u64 = 16 << 20;

/// How long a control session may be silent.
const SESSION_IDLE: Duration = Duration::from_secs(10);
/// How often an idle control session says that it lives.
const SESSION_KEEP_ALIVE: Duration = Duration::from_secs(3);

/// The least time between two stateless resets: none. quinn's 20 ms, and any other pause, lets one packet of each
/// batch be answered, and a restarted controller be noticed by a thousand nodes over seconds. Only packets to a
/// connection id of ours are answered, which nobody can make up without our key, each by a shorter one.
const RESET_INTERVAL: Duration = Duration::ZERO;

/// What one stream may have in flight: a link of 1 Gbit/s and 30 ms.
pub const STREAM_WINDOW: u64 = 4 << 20;
/// What one connection may have unacknowledged.
const SEND_WINDOW: u64 = 16 << 20;

/// The secrets that must survive a restart, so that peers notice it at once: a packet of an old
/// connection is then answered with a stateless reset instead of silence.
#[derive(Clone)]
pub struct ResetKeys {
    /// Key of stateless resets.
    pub reset: [u8; 32],
    /// Key of the tokens that prove an address.
    pub token: [u8; 32],
    /// Key of connection ids.
    pub connection_id: u64,
}

impl std::fmt::Debug for ResetKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResetKeys([redacted])")
    }
}

impl ResetKeys {
    /// Bytes of all keys together.
    pub const LEN: usize = 72;

    /// New random keys.
    ///
    /// # Panics
    /// When the system has no randomness, without which nothing here is safe.
    #[must_use]
    pub fn random() -> Self {
        let fill = |bytes: &mut [u8]| {
            #[expect(clippy::expect_used, reason = "see Panics")]
            aws_lc_rs::rand::fill(bytes).expect("the system has randomness");
        };
        let (mut reset, mut token, mut id) = ([0; 32], [0; 32], [0; 8]);
        fill(&mut reset);
        fill(&mut token);
        fill(&mut id);
        Self { reset, token, connection_id: u64::from_le_bytes(id) }
    }

    /// The keys as bytes, for a private file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.reset);
        bytes[32..64].copy_from_slice(&self.token);
        bytes[64..].copy_from_slice(&self.connection_id.to_le_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave; none when the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (reset, rest) = bytes.split_first_chunk::<32>()?;
        let (token, id) = rest.split_first_chunk::<32>()?;
        Some(Self { reset: *reset, token: *token, connection_id: u64::from_le_bytes(id.try_into().ok()?) })
    }

    pub(crate) fn token_key(&self) -> Arc<dyn quinn::crypto::HandshakeTokenKey> {
        Arc::new(aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, &[]).extract(&self.token))
    }
}

/// Settings of an endpoint.
pub(crate) fn endpoint(keys: &ResetKeys, mtu: u16) -> EndpointConfig {
    let hmac: Arc<dyn HmacKey> =
        Arc::new(aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &keys.reset));
    let mut config = EndpointConfig::new(hmac);
    let key = keys.connection_id;
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(key)));
    config.min_reset_interval(RESET_INTERVAL);
    // A wrapper that reads packets must be able to tell QUIC from what is not.
    config.grease_quic_bit(false);
    // Without it the peer's MTU discovery stops at 1452. It refuses only values below 1200.
    let _ = config.max_udp_payload_size(mtu);
    config
}

/// What a server takes of those who have shown nothing yet.
pub(crate) fn limit_strangers(server: &mut quinn::ServerConfig) {
    server
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(FIRST_BYTES_MAX)
        .incoming_buffer_size_total(FIRST_BYTES_ALL_MAX);
}

/// Settings of a data connection.
pub(crate) fn data(controller: Arc<dyn ControllerFactory + Send + Sync>) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_MAX);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_AT_FIRST))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(IdleTimeout::try_from(DATA_IDLE).ok())
        .stream_receive_window(VarInt::try_from(STREAM_WINDOW).unwrap_or(VarInt::MAX))
        .send_window(SEND_WINDOW)
        // Nobody reads them yet, and what is not read is kept: up to 1.25 MB a connection.
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(controller);
    config
}

/// Settings of a control session or a join.
pub(crate) fn session() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(SESSION_IDLE).ok())
        .keep_alive_interval(Some(SESSION_KEEP_ALIVE));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    /// quinn shows its settings, and hands them out in no other way.
    #[test]
    fn strangers_have_64_kib_each_and_16_mib_together() {
        let key = ResetKeys::random().token_key();
        let credentials = rcgen::generate_simple_self_signed(["sinew".to_owned()]).expect("valid");
        let tls = rustls::ServerConfig::builder_with_provider(crate::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(
                vec![credentials.cert.der().clone()],
                rustls_pki_types::PrivateKeyDer::Pkcs8(credentials.signing_key.serialize_der().into()),
            )
            .expect("they belong together");
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).expect("AES-128-GCM is there");
        let mut server = quinn::ServerConfig::new(Arc::new(tls), key);
        limit_strangers(&mut server);

        let shown = format!("{server:?}");

        for setting in
            ["max_incoming: 1024", "incoming_buffer_size: 65536", "incoming_buffer_size_total: 16777216"]
        {
            assert!(shown.contains(setting), "{setting}: {shown}");
        }
    }

    #[test]
    fn keys_read_back_as_written() {
        let keys = ResetKeys::random();
        let bytes = keys.to_bytes();

        let back = ResetKeys::from_bytes(&bytes).expect("whole");

        assert_eq!(
            (back.reset, back.token, back.connection_id),
            (keys.reset, keys.token, keys.connection_id)
        );
        assert!(ResetKeys::from_bytes(&bytes[1..]).is_none());
    }
}
