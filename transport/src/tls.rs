//! TLS as every connection of the mesh speaks it: 1.3 only, AES-128-GCM and X25519MLKEM768 first, an
//! explicit provider, time from the [`Runtime`], and never a plaintext alternative.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::rustls;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::TrustDomain;

use crate::runtime::Runtime;
use crate::validity::{Trust, Validity};
use crate::verify::{Expect, PinVerifier, Refusals, Verifier, identity_of};

/// Node to node; the number is the protocol's major version.
pub const ALPN_DATA: &[u8] = b"sinew/1";
/// Node to controller.
pub const ALPN_CONTROL: &[u8] = b"sinew-control/1";
/// A token for a certificate.
pub const ALPN_JOIN: &[u8] = b"sinew-join/1";

/// The name that a dialler puts into SNI. Identities are URIs and SNI can't carry one, so it says
/// nothing; every certificate check goes by the URI.
pub(crate) const SERVER_NAME: &str = "sinew";

/// Who we are: a certificate chain, its key, and the root that everyone else must chain to.
#[derive(Clone)]
pub struct Credentials {
    chain: Arc<[CertificateDer<'static>]>,
    key: Arc<PrivateKeyDer<'static>>,
    root: CertificateDer<'static>,
    identity: Identity,
    validity: Validity,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Why credentials or a TLS configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// There is no certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// The leaf carries no identity of the mesh.
    #[error(
        "the certificate carries no identity: it needs exactly one URI spiffe://<trust domain>/node|controller/<name>"
    )]
    NoIdentity,
    /// rustls refuses them, e.g. because the key does not belong to the certificate.
    #[error("the certificate, key or root can't be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Credentials {
    /// Takes a chain (leaf first), the leaf's key, and the root.
    ///
    /// # Errors
    /// [`CredentialsError`] when the leaf carries no identity.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        root: CertificateDer<'static>,
    ) -> Result<Self, CredentialsError> {
        let leaf = chain.first().ok_or(CredentialsError::Empty)?;
        let identity = identity_of(leaf).map_err(|_| CredentialsError::NoIdentity)?;
        let validity = Validity::of(leaf).ok_or(CredentialsError::NoIdentity)?;
        Ok(Self { chain: chain.into(), key: Arc::new(key), root, identity, validity })
    }

    /// Whom the certificate vouches for.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The end of the certificate's time, seconds since 1970.
    #[must_use]
    pub fn expiry(&self) -> u64 {
        self.validity.until
    }

    /// The certificate's time.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Proves that key, certificate and root belong together, before anything is exchanged for them.
    ///
    /// # Errors
    /// [`CredentialsError`] when a handshake with them could only fail.
    pub fn check(&self, runtime: &Arc<dyn Runtime>) -> Result<(), CredentialsError> {
        let expect = Expect::AnyController(self.identity.trust_domain().clone());
        let (trust, refusals) = (Arc::new(Trust::strict()), Arc::default());
        client(runtime, self, expect, ALPN_CONTROL, &trust, &refusals).map(drop)
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }
}

/// Whom a certificate vouches for; none when it carries no identity of a mesh.
#[must_use]
pub fn identity_in(certificate: &CertificateDer<'_>) -> Option<Identity> {
    identity_of(certificate).ok()
}

/// rustls and quinn ask for the time here.
#[derive(Debug)]
pub(crate) struct WallTime(pub(crate) Arc<dyn Runtime>);

impl quinn::TimeSource for WallTime {
    fn now(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + self.0.wall_now()
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.wall_now()))
    }
}

/// aws-lc-rs with AES-128-GCM first: on machines with AES instructions it costs the least, a third of
/// ChaCha20 per byte. X25519MLKEM768 is first by the feature `prefer-post-quantum`.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..rustls::crypto::aws_lc_rs::default_provider()
    })
}

/// TLS for who accepts. `optional`: clients may show no certificate (for joining, checked after).
pub(crate) fn server(
    runtime: &Arc<dyn Runtime>,
    credentials: &Credentials,
    expect: Expect,
    optional: bool,
    alpn: &[&[u8]],
    trust: &Arc<Trust>,
    refusals: &Arc<Refusals>,
) -> Result<QuicServerConfig, CredentialsError> {
    let provider = provider();
    let (trust, refusals) = (Arc::clone(trust), Arc::clone(refusals));
    let verifier =
        Verifier::new(&credentials.root, expect, optional, Arc::clone(&provider), trust, refusals)?;
    // The root goes along: a joiner finds the certificate that its token pins.
    let mut chain = credentials.chain.to_vec();
    if optional && !chain.contains(&credentials.root) {
        chain.push(credentials.root.clone());
    }
    let mut config =
        rustls::ServerConfig::builder_with_details(provider, Arc::new(WallTime(Arc::clone(runtime))))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, credentials.key.clone_key())?;
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    // A resumed session would skip the certificate check: every connection proves who it is.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    QuicServerConfig::try_from(config).map_err(|_| no_initial())
}

/// TLS for who dials with a certificate.
pub(crate) fn client(
    runtime: &Arc<dyn Runtime>,
    credentials: &Credentials,
    expect: Expect,
    alpn: &[u8],
    trust: &Arc<Trust>,
    refusals: &Arc<Refusals>,
) -> Result<QuicClientConfig, CredentialsError> {
    let provider = provider();
    let (trust, refusals) = (Arc::clone(trust), Arc::clone(refusals));
    let verifier = Verifier::new(&credentials.root, expect, false, Arc::clone(&provider), trust, refusals)?;
    let mut config =
        rustls::ClientConfig::builder_with_details(provider, Arc::new(WallTime(Arc::clone(runtime))))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(credentials.chain.to_vec(), credentials.key.clone_key())?;
    finish_client(&mut config, alpn);
    QuicClientConfig::try_from(config).map_err(|_| no_initial())
}

/// TLS for who joins: no certificate yet, the controller known by the pin of its root.
pub(crate) fn joiner(
    runtime: &Arc<dyn Runtime>,
    trust_domain: &TrustDomain,
    pin: [u8; 32],
    refusals: &Arc<Refusals>,
) -> Result<QuicClientConfig, CredentialsError> {
    let provider = provider();
    let verifier = PinVerifier {
        trust_domain: trust_domain.clone(),
        pin,
        provider: Arc::clone(&provider),
        refusals: Arc::clone(refusals),
    };
    let mut config =
        rustls::ClientConfig::builder_with_details(provider, Arc::new(WallTime(Arc::clone(runtime))))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
    finish_client(&mut config, ALPN_JOIN);
    QuicClientConfig::try_from(config).map_err(|_| no_initial())
}

fn finish_client(config: &mut rustls::ClientConfig, alpn: &[u8]) {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
}

/// quinn needs AES-128-GCM for its Initial packets; our provider always has it.
fn no_initial() -> CredentialsError {
    CredentialsError::Tls(rustls::Error::General("the crypto provider lacks AES-128-GCM".into()))
}
