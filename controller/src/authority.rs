//! The certificate authority of the trust domain.
//!
//! One ECDSA P-256 root, made at first start, signs what every machine of the mesh shows: exactly one
//! URI, of a node or of the controller. From a certificate request only the public key is used, and only
//! after the request's own signature proved that the asker holds the private one; name, lifetime and use
//! are the authority's word. Certificates are valid from [`BACKDATE`] before their issue, so that a clock
//! a little behind accepts them.

mod key;
mod x509;

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sinew_transport::runtime::Access;
use sinew_transport::tls::{Credentials, CredentialsError};
use sinew_transport_core::identity::Identity;
use sinew_transport_core::ids::{NodeName, TrustDomain};

use crate::credential::random_bytes;
use crate::files::{StateDir, StateError};
use key::Key;

pub(crate) use x509::Request;
pub use x509::is_usable_request;

/// How long before its issue a certificate is valid: the clock skew that is tolerated.
pub(crate) const BACKDATE: Duration = sinew_transport::validity::SKEW;
/// The root's lifetime. Exchanging a root touches every machine; ten years are longer than most meshes.
const ROOT_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The lifetime of the controller's own certificate. It is issued anew at every start and lies beside
/// the root's key, so that a shorter one would protect nothing.
const CONTROLLER_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

const ROOT_KEY: &str = "ca.key.pem";
const ROOT_CERTIFICATE: &str = "ca.cert.pem";
const CONTROLLER_KEY: &str = "controller.key.pem";
const CONTROLLER_CERTIFICATE: &str = "controller.cert.pem";

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The state directory can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The authority on disk is another domain's.
    #[error(
        "{path} is the authority of trust domain `{found}`, but the configuration says `{configured}`; set \
         trust_domain = \"{found}\", or choose another state directory to begin a new mesh"
    )]
    TrustDomain {
        /// The certificate's file.
        path: String,
        /// The domain in it.
        found: TrustDomain,
        /// The domain in the configuration.
        configured: TrustDomain,
    },
    /// The root's time is over, or has not come.
    #[error("{path} is valid from {from} to {to} (seconds since 1970), now it is {now}; {remedy}")]
    Time {
        /// The certificate's file.
        path: String,
        /// Its beginning.
        from: u64,
        /// Its end.
        to: u64,
        /// The moment.
        now: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// Signing failed, or the crypto library did.
    #[error("the authority can't {doing}: {reason}")]
    Crypto {
        /// What was tried.
        doing: &'static str,
        /// What the library says.
        reason: String,
    },
    /// What was issued can't be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

fn crypto<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> AuthorityError {
    move |e| AuthorityError::Crypto { doing, reason: e.to_string() }
}

/// The CA, with its key.
#[derive(Debug)]
pub(crate) struct Authority {
    trust_domain: TrustDomain,
    issuer: Issuer<'static, Key>,
    root: CertificateDer<'static>,
    /// The end of the root's time; no certificate outlives it.
    root_expiry: u64,
}

impl Authority {
    /// Its files: key and certificate.
    pub(crate) const FILES: [&str; 2] = [ROOT_KEY, ROOT_CERTIFICATE];

    /// Whether there is one in the directory, or a part of one.
    pub(crate) fn is_in(state: &StateDir) -> Result<bool, StateError> {
        Ok(state.read(ROOT_KEY)?.is_some() || state.read(ROOT_CERTIFICATE)?.is_some())
    }

    /// Loads the authority, or makes one when the state directory has none.
    pub(crate) fn open(
        state: &StateDir,
        trust_domain: &TrustDomain,
        now: Duration,
    ) -> Result<Self, AuthorityError> {
        const REMEDY: &str = "choose another state directory to begin a new mesh, which every node must join";
        match (state.read(ROOT_KEY)?, state.read(ROOT_CERTIFICATE)?) {
            (None, None) => Self::create(state, trust_domain, now),
            (Some(key), Some(certificate)) => {
                let damaged = |name, reason: String| state.damaged(name, reason, REMEDY);
                let key = Key::from_pem(&key).map_err(|e| damaged(ROOT_KEY, e.to_string()))?;
                let root = CertificateDer::from_pem_slice(&certificate)
                    .map_err(|e| damaged(ROOT_CERTIFICATE, e.to_string()))?;
                let facts = x509::Root::parse(&root).map_err(|e| damaged(ROOT_CERTIFICATE, e.to_owned()))?;
                if facts.public_key != key.der_bytes() {
                    let reason = format!("its key is not the one in {ROOT_KEY}");
                    return Err(damaged(ROOT_CERTIFICATE, reason).into());
                }
                facts.check(&state.path(ROOT_CERTIFICATE).display().to_string(), trust_domain, now)?;
                let issuer = Issuer::from_ca_cert_der(&root, key).map_err(crypto("read its root"))?;
                Ok(Self {
                    trust_domain: facts.trust_domain,
                    issuer,
                    root: root.into_owned(),
                    root_expiry: facts.not_after,
                })
            }
            (key, _) => {
                let (there, missing) =
                    if key.is_some() { (ROOT_KEY, ROOT_CERTIFICATE) } else { (ROOT_CERTIFICATE, ROOT_KEY) };
                let reason = format!("it is here, but {missing} is missing");
                Err(state.damaged(there, reason, REMEDY).into())
            }
        }
    }

    fn create(state: &StateDir, trust_domain: &TrustDomain, now: Duration) -> Result<Self, AuthorityError> {
        let key = Key::generate().map_err(crypto("make its key"))?;
        let uri = format!("spiffe://{trust_domain}");
        let mut params = certificate(&uri, &format!("sinew root of {trust_domain}"), now, ROOT_TTL)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).map_err(crypto("sign its root"))?;
        state.write(ROOT_KEY, key.to_pem().as_bytes(), Access::Private)?;
        state.write(ROOT_CERTIFICATE, root.pem().as_bytes(), Access::Public)?;
        Ok(Self {
            trust_domain: trust_domain.clone(),
            root: root.der().clone(),
            root_expiry: (now + ROOT_TTL).as_secs(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The naming root that it signs for.
    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root certificate.
    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Issues a node's certificate for the public key of a request.
    pub(crate) fn issue_node(
        &self,
        node: &NodeName,
        request: &Request,
        now: Duration,
        ttl: Duration,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        self.issue(&Identity::Node(self.trust_domain.clone(), node.clone()), request.public_key(), now, ttl)
    }

    /// Issues the controller's own certificate, with a new key, and keeps both.
    pub(crate) fn issue_controller(
        &self,
        state: &StateDir,
        name: &NodeName,
        now: Duration,
    ) -> Result<Credentials, AuthorityError> {
        let key = Key::generate().map_err(crypto("make the controller's key"))?;
        let identity = Identity::Controller(self.trust_domain.clone(), name.clone());
        let certificate = self.issue(&identity, &key, now, CONTROLLER_TTL)?;
        state.write(CONTROLLER_KEY, key.to_pem().as_bytes(), Access::Private)?;
        state.write(
            CONTROLLER_CERTIFICATE,
            key::pem("CERTIFICATE", &certificate).as_bytes(),
            Access::Public,
        )?;
        Ok(Credentials::new(vec![certificate], key.to_der(), self.root.clone())?)
    }

    fn issue(
        &self,
        identity: &Identity,
        public_key: &impl PublicKeyData,
        now: Duration,
        ttl: Duration,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let name = match identity {
            Identity::Node(_, name) | Identity::Controller(_, name) => name.as_str(),
        };
        let ttl = ttl.min(Duration::from_secs(self.root_expiry).saturating_sub(now));
        let mut params = certificate(&identity.to_string(), name, now, ttl)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A node dials and is dialled; what a controller may not do is told by its identity.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issued = params.signed_by(public_key, &self.issuer).map_err(crypto("sign a certificate"))?;
        Ok(issued.der().clone())
    }
}

/// What all certificates have in common: one URI, a random number, a time.
fn certificate(
    uri: &str,
    common_name: &str,
    now: Duration,
    ttl: Duration,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let uri = uri.try_into().map_err(crypto::<rcgen::Error>("write an identity into a certificate"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let (from, to) = (now.saturating_sub(BACKDATE), now + ttl);
    x509::set_validity(&mut params, from, to).map_err(crypto("write times into a certificate"))?;
    // RFC 5280 section 4.1.2.2: positive, at most 20 bytes; 16 random ones are never met twice.
    let mut serial = random_bytes::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from(serial.to_vec()));
    Ok(params)
}

#[cfg(test)]
mod tests;
