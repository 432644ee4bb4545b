//! Who a certificate vouches for: exactly one URI, of a node or of a controller.
//!
//! `spiffe://<trust domain>/node/<name>` and `spiffe://<trust domain>/controller/<name>`. A service is
//! `spiffe://<trust domain>/ns/<namespace>/service/<name>`, but no certificate carries that: which
//! services a node may host and speak for is the controller's word, in the snapshot.

use std::fmt;

use crate::ids::{InvalidName, NodeName, ServiceName, TrustDomain};

/// What a node or controller is called by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// An agent beside services.
    Node(TrustDomain, NodeName),
    /// A controller. Its name follows the rules of a node's.
    Controller(TrustDomain, NodeName),
}

/// A URI that is no identity of this mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Not of the form `spiffe://<trust domain>/node|controller/<name>`.
    #[error("`{}` is not spiffe://<trust domain>/node/<name> or spiffe://<trust domain>/controller/<name>", .0.escape_debug())]
    Form(String),
    /// A part of it breaks the rule for its kind.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Identity {
    /// Parses the URI of a certificate.
    ///
    /// # Errors
    /// [`InvalidIdentity`] when it is of another form, or a name in it is not valid.
    pub fn parse(uri: &str) -> Result<Self, InvalidIdentity> {
        let form = || InvalidIdentity::Form(uri.chars().take(300).collect());
        let rest = uri.strip_prefix("spiffe://").ok_or_else(form)?;
        let mut parts = rest.split('/');
        let (Some(domain), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let domain = TrustDomain::new(domain)?;
        match kind {
            "node" => Ok(Self::Node(domain, NodeName::new(name)?)),
            "controller" => Ok(Self::Controller(domain, NodeName::new(name)?)),
            _ => Err(form()),
        }
    }

    /// The naming root.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Node(domain, _) | Self::Controller(domain, _) => domain,
        }
    }

    /// The node, unless it is a controller.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(_, name) => Some(name),
            Self::Controller(..) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(domain, name) => write!(f, "spiffe://{domain}/node/{name}"),
            Self::Controller(domain, name) => write!(f, "spiffe://{domain}/controller/{name}"),
        }
    }
}

/// The name under which a service is known outside the mesh.
#[must_use]
pub fn service_uri(domain: &TrustDomain, service: &ServiceName) -> String {
    format!("spiffe://{domain}/ns/{}/service/{}", service.namespace(), service.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_written() {
        for uri in ["spiffe://mesh.local/node/n1", "spiffe://mesh.local/controller/c1"] {
            assert_eq!(Identity::parse(uri).expect("valid").to_string(), uri);
        }
    }

    #[test]
    fn anything_else_is_no_identity() {
        for uri in [
            "",
            "https://mesh.local/node/n1",
            "spiffe://mesh.local/node",
            "spiffe://mesh.local/node/n1/x",
            "spiffe://mesh.local/pod/n1",
            "spiffe:///node/n1",
            "spiffe://mesh.local/node/N1",
            "spiffe://mesh.local/node/",
        ] {
            assert!(Identity::parse(uri).is_err(), "{uri:?} must be refused");
        }
    }

    #[test]
    fn a_refused_uri_is_shown_on_one_line() {
        let error = Identity::parse("a\nb\u{7}").expect_err("no identity");

        assert!(error.to_string().starts_with("`a\\nb\\u{7}` is not spiffe://"), "{error}");
    }

    #[test]
    fn a_service_is_named_with_its_namespace() {
        let domain = TrustDomain::new("mesh.local").expect("valid");
        let service = ServiceName::new("orders").expect("valid");

        assert_eq!(service_uri(&domain, &service), "spiffe://mesh.local/ns/default/service/orders");
    }
}
