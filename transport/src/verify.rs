//! Who is let in: one verifier for both directions, on top of the chain checks of webpki.
//!
//! A certificate must chain to the mesh's one root, be in its time, and carry exactly one URI, which
//! must be the identity that is [expected](Expect). After its end it counts only by the grace that
//! [`Trust`] gives. What it vouches for is the machine; which services
//! that machine may host or speak for is the controller's word. Every refusal has a reason, counted in
//! [`Refusals`]; the other side learns only TLS's alert.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quinn::rustls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, PeerMisbehaved, SignatureScheme};
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::TrustDomain;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::log_limit::LogLimit;
use crate::validity::{Standing, Trust, Validity};

/// Whom one end of a connection accepts at the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Any node of the trust domain: who accepts data connections.
    AnyNode(TrustDomain),
    /// Any controller of the trust domain: a node that dials for a control session.
    AnyController(TrustDomain),
    /// This one and nobody else: a node that dials another.
    Exactly(Identity),
}

impl Expect {
    fn accepts(&self, identity: &Identity) -> Result<(), Refusal> {
        match (self, identity) {
            (Self::AnyNode(domain), Identity::Node(theirs, _))
            | (Self::AnyController(domain), Identity::Controller(theirs, _)) => {
                if domain == theirs {
                    Ok(())
                } else {
                    Err(Refusal::WrongIdentity)
                }
            }
            (Self::AnyNode(_), Identity::Controller(..)) | (Self::AnyController(_), Identity::Node(..)) => {
                Err(Refusal::WrongRole)
            }
            (Self::Exactly(expected), _) if expected == identity => Ok(()),
            (Self::Exactly(Identity::Node(..)), Identity::Controller(..))
            | (Self::Exactly(Identity::Controller(..)), Identity::Node(..)) => Err(Refusal::WrongRole),
            (Self::Exactly(_), _) => Err(Refusal::WrongIdentity),
        }
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// Why a connection was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Refusal { $($(#[$doc])* $variant),* }

        impl Refusal {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

refusals! {
    /// The other end showed no certificate.
    NoCertificate = "no_certificate",
    /// It does not chain to our root.
    UnknownIssuer = "unknown_issuer",
    /// Its time is over.
    Expired = "expired",
    /// Its time has not begun: someone's clock is wrong.
    NotYetValid = "not_yet_valid",
    /// It does not carry exactly one URI of the form of an identity.
    NoIdentity = "no_identity",
    /// A valid identity, but not the one that was dialled.
    WrongIdentity = "wrong_identity",
    /// A controller where nodes talk, or a node where controllers do.
    WrongRole = "wrong_role",
    /// The root that was shown is not the one that the token pins.
    WrongPin = "wrong_pin",
    /// The certificate is damaged or its signature does not verify.
    BadCertificate = "bad_certificate",
    /// No protocol in common.
    Protocol = "protocol",
    /// The handshake or the greeting did not end in time.
    Timeout = "timeout",
    /// A limit on handshakes in progress was reached.
    Overloaded = "overloaded",
    /// The greeting could not be read, or what followed it on its stream.
    BadHello = "bad_hello",
    /// Another process with the same identity took over, and is there: a copied state directory.
    Superseded = "superseded",
    /// Anything else that ended a handshake.
    Other = "other",
}

/// How many connections were refused, by reason; and how many had to prove their address first.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [AtomicU64; 15],
    /// One for each reason, and one for those that the verifier has named already.
    limits: [LogLimit; 16],
    retried: AtomicU64,
}

impl Refusals {
    /// Counts one.
    pub fn count(&self, reason: Refusal) {
        self.counts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Whether one for this reason may be logged now, and how many were not since the last one. None: the verifier has
    /// named it already.
    pub(crate) fn admit_line(&self, reason: Option<Refusal>) -> Option<u64> {
        let [named @ .., unnamed] = &self.limits;
        reason.map_or(unnamed, |reason| &named[reason as usize]).admit()
    }

    /// How many there were for this reason.
    #[must_use]
    pub fn get(&self, reason: Refusal) -> u64 {
        self.counts[reason as usize].load(Relaxed)
    }

    /// Counts a handshake that must begin again with a proof of its address.
    pub(crate) fn count_retry(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    /// How many had to (a Retry packet, RFC 9000 section 8.1.2). No refusal: who lives at its address comes back at once.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.retried.load(Relaxed)
    }

    /// All reasons with their numbers, zeros included.
    pub fn all(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }
}

/// Checks the other end's certificate, whichever end that is.
#[derive(Debug)]
pub(crate) struct Verifier {
    anchor: TrustAnchor<'static>,
    expect: Expect,
    /// Whether a client may show no certificate at all: joining, and nothing else.
    optional: bool,
    provider: Arc<CryptoProvider>,
    trust: Arc<Trust>,
    refusals: Arc<Refusals>,
}

impl Verifier {
    pub(crate) fn new(
        root: &CertificateDer<'static>,
        expect: Expect,
        optional: bool,
        provider: Arc<CryptoProvider>,
        trust: Arc<Trust>,
        refusals: Arc<Refusals>,
    ) -> Result<Self, rustls::Error> {
        let anchor = webpki::anchor_from_trusted_cert(root)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?
            .to_owned();
        Ok(Self { anchor, expect, optional, provider, trust, refusals })
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let (counts_at, graced) = self.moment(leaf, now);
        let checked = check_chain(leaf, chain, &self.anchor, counts_at, usage, algorithms)
            .and_then(|()| identity_of(leaf))
            .and_then(|identity| self.expect.accepts(&identity).map_err(|refusal| (refusal, Some(identity))));
        checked.map_err(|(refusal, identity)| {
            self.refusals.count(refusal);
            let shown = identity.map(|i| i.to_string()).unwrap_or_default();
            if let Some(withheld) = self.refusals.admit_line(Some(refusal)) {
                tracing::warn!(reason = refusal.name(), shown, expected = ?self.expect, withheld, "certificate refused");
            }
            to_alert(refusal)
        })?;
        if graced {
            self.trust.count_graced();
            let shown = identity_of(leaf).map(|i| i.to_string()).unwrap_or_default();
            tracing::warn!(shown, "certificate accepted after its end: expiry_grace");
        }
        Ok(())
    }

    /// The moment at which a certificate is checked, and whether that is by grace: then it is its last.
    fn moment(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> (UnixTime, bool) {
        let Some(validity) = Validity::of(leaf) else { return (now, false) };
        match validity.standing(now.as_secs(), self.trust.grace_s(validity.until)) {
            Standing::Graced => {
                (UnixTime::since_unix_epoch(std::time::Duration::from_secs(validity.until)), true)
            }
            _ => (now, false),
        }
    }
}

type Refused = (Refusal, Option<Identity>);

fn check_chain(
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    anchor: &TrustAnchor<'static>,
    now: UnixTime,
    usage: webpki::KeyUsage,
    algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm],
) -> Result<(), Refused> {
    let cert = webpki::EndEntityCert::try_from(leaf).map_err(|_| (Refusal::BadCertificate, None))?;
    let anchors = std::slice::from_ref(anchor);
    match cert.verify_for_usage(algorithms, anchors, chain, now, usage, None, None) {
        Ok(_) => Ok(()),
        Err(error) => {
            let refusal = match error {
                webpki::Error::CertExpired { .. } => Refusal::Expired,
                webpki::Error::CertNotValidYet { .. } => Refusal::NotYetValid,
                webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                    Refusal::UnknownIssuer
                }
                _ => Refusal::BadCertificate,
            };
            Err((refusal, identity_of(leaf).ok()))
        }
    }
}

/// What the other end is told; TLS has few words for it.
fn to_alert(refusal: Refusal) -> rustls::Error {
    rustls::Error::InvalidCertificate(match refusal {
        Refusal::Expired => CertificateError::Expired,
        Refusal::NotYetValid => CertificateError::NotValidYet,
        Refusal::UnknownIssuer | Refusal::WrongPin => CertificateError::UnknownIssuer,
        Refusal::WrongIdentity | Refusal::WrongRole | Refusal::NoIdentity => {
            CertificateError::ApplicationVerificationFailure
        }
        _ => CertificateError::BadEncoding,
    })
}

/// The one URI of a certificate.
pub(crate) fn identity_of(leaf: &CertificateDer<'_>) -> Result<Identity, Refused> {
    let none = || (Refusal::NoIdentity, None);
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| (Refusal::BadCertificate, None))?;
    let names = cert.subject_alternative_name().map_err(|_| none())?.ok_or_else(none)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else { return Err(none()) };
    Identity::parse(uri).map_err(|_| none())
}

/// TLS 1.2 is not spoken: quinn refuses to.
fn no_tls12() -> rustls::Error {
    rustls::Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)
}

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(no_tls12())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, cert, signed, algorithms).inspect_err(|_| {
                let (refusal, shown) = (Refusal::BadCertificate, identity_of(cert).ok());
                self.refusals.count(refusal);
                let shown = shown.map(|i| i.to_string()).unwrap_or_default();
                tracing::warn!(reason = refusal.name(), shown, "certificate refused");
            })
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(leaf, chain, now, webpki::KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(leaf, chain, now, webpki::KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

/// Checks a controller that is known only by the pin in a token: its chain must end in the pinned root.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) pin: [u8; 32],
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) refusals: Arc<Refusals>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = chain.iter().find(|cert| sha256(cert) == self.pin);
        let Some(root) = pinned else {
            self.refusals.count(Refusal::WrongPin);
            tracing::warn!(
                reason = Refusal::WrongPin.name(),
                "controller refused: its root is not the one in the token"
            );
            return Err(to_alert(Refusal::WrongPin));
        };
        let root = root.clone().into_owned();
        let expect = Expect::AnyController(self.trust_domain.clone());
        let trust = Arc::new(Trust::strict());
        Verifier::new(&root, expect, false, Arc::clone(&self.provider), trust, Arc::clone(&self.refusals))?
            .verify_server_cert(leaf, chain, name, ocsp, now)
    }

    signatures!();
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
