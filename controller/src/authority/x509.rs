//! Reading what others wrote in X.509: certificate requests, which came from outside, and our own root.

use std::time::Duration;

use rcgen::{
    CertificateParams, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
    SubjectPublicKeyInfo,
};
use sinew_api::join::MAX_CSR_LEN;
use sinew_transport_core::ids::TrustDomain;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

use super::AuthorityError;

/// A certificate request whose asker holds the private key.
#[derive(Debug)]
pub(crate) struct Request(SubjectPublicKeyInfo);

/// Why a certificate request can't be used; told to the asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("the certificate request is longer than {MAX_CSR_LEN} bytes")]
    TooLong,
    #[error("the certificate request is not PKCS #10 in DER")]
    Unreadable,
    #[error("the certificate request is not signed by its own key")]
    Signature,
    #[error(
        "the key of the certificate request is of an unknown kind; use ECDSA on P-256 or P-384, or Ed25519"
    )]
    KeyKind,
}

/// Whether bytes are a certificate request that a join or a renewal takes: for whoever tries any bytes.
#[must_use]
pub fn is_usable_request(der: &[u8]) -> bool {
    Request::parse(der).is_ok()
}

impl Request {
    /// Reads a request and proves that its asker holds the key. Whatever else it asks for is ignored.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, BadRequest> {
        if der.len() > MAX_CSR_LEN {
            return Err(BadRequest::TooLong);
        }
        let Ok((&[], request)) = X509CertificationRequest::from_der(der) else {
            return Err(BadRequest::Unreadable);
        };
        let spki = &request.certification_request_info.subject_pki;
        let key = SubjectPublicKeyInfo::from_der(spki.raw).map_err(|_| BadRequest::KeyKind)?;
        let kinds = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
        if !kinds.contains(&key.algorithm()) {
            return Err(BadRequest::KeyKind);
        }
        request.verify_signature().map_err(|_| BadRequest::Signature)?;
        Ok(Self(key))
    }

    /// The one thing that is used of it.
    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.0
    }
}

/// What must be known of a root on disk.
pub(super) struct Root {
    pub(super) trust_domain: TrustDomain,
    pub(super) public_key: Vec<u8>,
    not_before: u64,
    pub(super) not_after: u64,
}

impl Root {
    pub(super) fn parse(der: &[u8]) -> Result<Self, &'static str> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "it is no certificate")?;
        if !certificate.is_ca() {
            return Err("it is no certificate of an authority");
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let uris = names.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
            _ => None,
        });
        let [domain] = uris.collect::<Vec<_>>()[..] else {
            return Err("it does not name exactly one trust domain as spiffe://<trust domain>");
        };
        let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        Ok(Self {
            trust_domain: TrustDomain::new(domain).map_err(|_| "the trust domain in it is not valid")?,
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            not_before: seconds(certificate.validity().not_before),
            not_after: seconds(certificate.validity().not_after),
        })
    }

    /// Whether it may sign for this domain now.
    pub(super) fn check(
        &self,
        path: &str,
        configured: &TrustDomain,
        now: Duration,
    ) -> Result<(), AuthorityError> {
        if self.trust_domain != *configured {
            return Err(AuthorityError::TrustDomain {
                path: path.to_owned(),
                found: self.trust_domain.clone(),
                configured: configured.clone(),
            });
        }
        let now = now.as_secs();
        let remedy = if now < self.not_before {
            "correct the clock of this machine"
        } else if now >= self.not_after {
            "correct the clock of this machine, or choose another state directory to begin a new mesh"
        } else {
            return Ok(());
        };
        Err(AuthorityError::Time {
            path: path.to_owned(),
            from: self.not_before,
            to: self.not_after,
            now,
            remedy,
        })
    }
}

/// Sets when a certificate is valid.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    from: Duration,
    to: Duration,
) -> Result<(), X509Error> {
    let time = |time: Duration| {
        let seconds = i64::try_from(time.as_secs()).map_err(|_| X509Error::InvalidDate)?;
        ASN1Time::from_timestamp(seconds)
    };
    params.not_before = time(from)?.to_datetime();
    params.not_after = time(to)?.to_datetime();
    Ok(())
}
