//! An authority for tests: it signs whatever it is asked to, right or wrong.
//!
//! The node's tests use this file too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sinew_transport::Credentials;

/// An authority of its own; certificates of two of them do not chain to each other.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// What a certificate says, when it is not simply right.
pub(crate) struct Leaf<'a> {
    pub(crate) uris: &'a [&'a str],
    /// From now, in days.
    pub(crate) days: (i64, i64),
}

/// A certificate, whatever holds for it, and a key.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The certificate, and what is shown behind it.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// PKCS #8, DER.
    pub(crate) key: Vec<u8>,
    pub(crate) root: CertificateDer<'static>,
}

impl Issued {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.chain.clone(), self.private_key(), self.root.clone()).expect("credentials")
    }

    /// The certificate as before, in the hands of someone who does not have its key.
    pub(crate) fn stolen(mut self) -> Self {
        self.key = KeyPair::generate().expect("a key").serialize_der();
        self
    }

    /// The root is shown, too: joining needs it.
    pub(crate) fn with_root(mut self, root: &CertificateDer<'static>) -> Self {
        self.chain.push(root.clone());
        self
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        Self { root: root.der().clone(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    pub(crate) fn issue(&self, leaf: &Leaf<'_>) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let cert = params(leaf).signed_by(&key, &self.issuer).expect("a certificate");
        Issued { chain: vec![cert.der().clone()], key: key.serialize_der(), root: self.root.clone() }
    }

    /// A certificate that a node signed with its own key, its own certificate behind it.
    pub(crate) fn signed_by_a_node(&self, leaf: &Leaf<'_>) -> Issued {
        let (node_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let node = params(&valid(&["spiffe://mesh.local/node/n1"]));
        let node_cert = node.signed_by(&node_key, &self.issuer).expect("a certificate");
        let cert = params(leaf).signed_by(&key, &Issuer::new(node, node_key)).expect("a certificate");
        let chain = vec![cert.der().clone(), node_cert.der().clone()];
        Issued { chain, key: key.serialize_der(), root: self.root.clone() }
    }

    pub(crate) fn issue_node(&self, name: &str) -> Issued {
        self.issue(&valid(&[&format!("spiffe://mesh.local/node/{name}")]))
    }

    pub(crate) fn issue_controller(&self, name: &str) -> Issued {
        self.issue(&valid(&[&format!("spiffe://mesh.local/controller/{name}")]))
    }

    pub(crate) fn node(&self, name: &str) -> Credentials {
        self.issue_node(name).credentials()
    }

    /// A node whose certificate ends soon.
    pub(crate) fn node_for(&self, name: &str, life: Duration) -> Credentials {
        let (key, uri) = (KeyPair::generate().expect("a key"), format!("spiffe://mesh.local/node/{name}"));
        let mut params = params(&valid(&[&uri]));
        params.not_after = (SystemTime::now() + life).into();
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![cert.der().clone()];
        Issued { chain, key: key.serialize_der(), root: self.root.clone() }.credentials()
    }

    pub(crate) fn controller(&self, name: &str) -> Credentials {
        self.issue_controller(name).credentials()
    }
}

/// A certificate of yesterday, long before it is renewed.
pub(crate) fn valid<'a>(uris: &'a [&'a str]) -> Leaf<'a> {
    Leaf { uris, days: (-1, 30) }
}

fn params(leaf: &Leaf<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Not the subject of the root, which all authorities here share.
    params.distinguished_name.push(DnType::CommonName, leaf.uris.first().copied().unwrap_or("nobody"));
    params.subject_alt_names =
        leaf.uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let day = |days: i64| {
        let unix = i64::try_from(now).expect("before the year 292 billion") + days * 86_400;
        time::OffsetDateTime::from_unix_timestamp(unix).expect("a date")
    };
    params.not_before = day(leaf.days.0);
    params.not_after = day(leaf.days.1);
    params
}
