//! Certificates that are not right, over real QUIC: each is refused, counted under its reason, named in the
//! log of the end that refuses, and the other end is told TLS's word and nothing of ours.
//!
//! The misbehaving ends are [`common::raw`] ones. After each refusal the same socket still serves a good one.
#![allow(clippy::disallowed_methods, reason = "stories in the real world")]

#[path = "../common/mod.rs"]
mod common;

mod at_a_controller;
mod at_a_dialler;
mod at_a_joiner;
mod at_a_node;

use std::collections::BTreeMap;

use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError};
use sinew_transport::verify::{Refusal, Refusals};

use common::authority::{Authority, Issued, Leaf, valid};
use common::log::Log;

/// What somebody shows, and what must come of it.
struct Bad {
    what: &'static str,
    /// Nothing, or a certificate.
    shown: Option<Issued>,
    refusal: Refusal,
    /// Who the certificate says it is, as far as one can tell.
    named: String,
    alert: AlertDescription,
    told: rustls::Error,
}

impl Bad {
    /// A certificate that is refused by what is in it.
    fn new(what: &'static str, shown: Issued, refusal: Refusal, named: &str, told: CertificateError) -> Self {
        let alert = AlertDescription::from(told.clone());
        Self { what, shown: Some(shown), refusal, named: named.into(), alert, told: told.into() }
    }

    /// The end that showed it knows that it was refused, and no more than TLS has words for.
    fn assert_told(&self, end: &ConnectionError) {
        let ConnectionError::ConnectionClosed(close) = end else {
            panic!("{}: the other end closes, not: {end}", self.what);
        };
        // RFC 9001 section 4.8: a TLS alert is the QUIC error 0x100 plus its number.
        let alert = 0x100 + u64::from(u8::from(self.alert));
        assert_eq!(u64::from(close.error_code), alert, "{}: {close}", self.what);
        let told = std::str::from_utf8(&close.reason).expect("text");
        assert_eq!(told, self.told.to_string(), "{}", self.what);
    }

    /// The end that refused it says in its log whom, and why.
    async fn assert_named(&self, log: &Log) {
        let line = log.next(self.what, |line| line.message == "certificate refused").await;
        assert_eq!(
            (line.level, line.field("reason"), line.field("shown")),
            (tracing::Level::WARN, self.refusal.name(), self.named.as_str()),
            "{}",
            self.what
        );
    }
}

/// Certificates that would be right for `uri`, but for one thing.
fn flawed(authority: &Authority, uri: &str) -> Vec<Bad> {
    use CertificateError::{
        ApplicationVerificationFailure as NotAccepted, BadEncoding, BadSignature, Expired, NotValidYet,
        UnknownIssuer,
    };
    let of = |uris: &[&str]| authority.issue(&valid(uris));
    let other_domain = uri.replace("mesh.local", "other.mesh");
    let dated = |days| authority.issue(&Leaf { uris: &[uri], days });
    vec![
        Bad::new(
            "of another authority",
            Authority::new().issue(&valid(&[uri])),
            Refusal::UnknownIssuer,
            uri,
            UnknownIssuer,
        ),
        Bad::new(
            "signed by a node",
            authority.signed_by_a_node(&valid(&[uri])),
            Refusal::BadCertificate,
            uri,
            BadEncoding,
        ),
        Bad::new("expired", dated((-2, -1)), Refusal::Expired, uri, Expired),
        Bad::new("not yet valid", dated((1, 2)), Refusal::NotYetValid, uri, NotValidYet),
        Bad::new("without a URI", of(&[]), Refusal::NoIdentity, "", NotAccepted),
        Bad::new(
            "with two URIs",
            of(&[uri, "spiffe://mesh.local/node/z"]),
            Refusal::NoIdentity,
            "",
            NotAccepted,
        ),
        Bad::new(
            "of a service",
            of(&["spiffe://mesh.local/ns/default/service/web"]),
            Refusal::NoIdentity,
            "",
            NotAccepted,
        ),
        Bad::new(
            "of another trust domain",
            of(&[&other_domain]),
            Refusal::WrongIdentity,
            &other_domain,
            NotAccepted,
        ),
        Bad::new("without its key", of(&[uri]).stolen(), Refusal::BadCertificate, uri, BadSignature),
    ]
}

/// Refusals by reason; those that never happened are left out.
fn counts(refusals: &Refusals) -> BTreeMap<&'static str, u64> {
    refusals.all().filter(|(_, n)| *n > 0).map(|(reason, n)| (reason.name(), n)).collect()
}
