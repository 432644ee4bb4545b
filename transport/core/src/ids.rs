//! Names and numbers of the mesh, each a type of its own so that the compiler notices a swap.
//!
//! A name is checked when it is parsed and never again. All names sort, print short, and read the same
//! in configuration, on the wire, in metrics and in logs. Lengths follow DNS labels (RFC 1035, 63
//! octets), so that every name may become part of a host name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

/// Longest label, as in DNS (RFC 1035 section 2.3.4).
const LABEL_MAX: usize = 63;
/// Longest trust domain, as in SPIFFE-ID section 2.1.
const TRUST_DOMAIN_MAX: usize = 255;

/// A name that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid {what}: {rule}", given.escape_debug())]
pub struct InvalidName {
    /// What was being named.
    pub what: &'static str,
    /// The text as given, cut at 80 characters.
    pub given: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const LABEL_RULE: &str = "use 1 to 63 of a-z, 0-9 and -, not beginning or ending with -";

fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn invalid(what: &'static str, given: &str, rule: &'static str) -> InvalidName {
    InvalidName { what, given: given.chars().take(80).collect(), rule }
}

/// Text in, text out: what all names share, given `check`.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Parses a name.
            ///
            /// # Errors
            /// [`InvalidName`] when the text breaks the rule of this kind of name.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(invalid($what, text, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_impls!($type);
    };
}

/// Display, Debug, FromStr, serde and bincode by way of the text.
macro_rules! text_impls {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl Encode for $type {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.as_str().encode(encoder)
            }
        }

        impl<Context> Decode<Context> for $type {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                let text = String::decode(decoder)?;
                Self::new(&text).map_err(|e| DecodeError::OtherString(e.to_string()))
            }
        }

        impl<'de, Context> BorrowDecode<'de, Context> for $type {
            fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, DecodeError> {
                Self::decode(decoder)
            }
        }
    };
}

name!(
    /// A machine in the mesh, and the agent on it.
    NodeName, "node name", LABEL_RULE, is_label
);
name!(
    /// The middle part of every service's name; `default` unless written.
    Namespace, "namespace", LABEL_RULE, is_label
);
name!(
    /// A place that fails and is near together.
    Zone, "zone", LABEL_RULE, is_label
);
name!(
    /// The naming root that one authority signs for.
    TrustDomain,
    "trust domain",
    "use 1 to 255 of a-z, 0-9, - and . in labels of 1 to 63",
    |text| text.len() <= TRUST_DOMAIN_MAX && text.split('.').all(is_label)
);

/// The namespace of a name that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A name that applications call, in a namespace.
///
/// Written `orders`, or `orders.shop` outside the namespace `default`. The namespace is part of every
/// comparison; `orders` and `orders.default` are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// As written and shown: without `.default`.
    shown: Arc<str>,
    /// Where the service's own name ends in `shown`.
    name_len: usize,
}

impl ServiceName {
    /// Parses `name` or `name.namespace`.
    ///
    /// # Errors
    /// [`InvalidName`] when either part is not a label.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let (name, namespace) = text.split_once('.').unwrap_or((text, DEFAULT_NAMESPACE));
        if !is_label(name) || !is_label(namespace) {
            return Err(invalid(
                "service name",
                text,
                "write name or name.namespace, each 1 to 63 of a-z, 0-9 and -, not beginning or ending with -",
            ));
        }
        let shown = if namespace == DEFAULT_NAMESPACE { name } else { text };
        Ok(Self { shown: shown.into(), name_len: name.len() })
    }

    /// The name and, unless it is `default`, the namespace.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The name without its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shown[..self.name_len]
    }

    /// The namespace, `default` when none was written.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.shown.get(self.name_len + 1..).unwrap_or(DEFAULT_NAMESPACE)
    }
}

text_impls!(ServiceName);

/// One instance of a service on one node: the node, and the number of the place there.
///
/// The slot is the position of the `[[serve]]` entry in the node's configuration, or a later number for what came
/// while the node ran. It is only a hint on the wire: the destination checks that the service named beside it is
/// what stands in that slot.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
pub struct EndpointId {
    /// The hosting node.
    pub node: NodeName,
    /// The place on that node.
    pub slot: u16,
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.slot)
    }
}

/// The number of a state of the whole configuration; grows with every change.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_without_a_namespace_is_in_default() {
        let short = ServiceName::new("orders").expect("valid");
        let long = ServiceName::new("orders.default").expect("valid");

        assert_eq!(short, long);
        assert_eq!(long.as_str(), "orders");
        assert_eq!((short.name(), short.namespace()), ("orders", "default"));
    }

    #[test]
    fn a_service_name_keeps_its_namespace() {
        let name = ServiceName::new("orders.shop").expect("valid");

        assert_eq!((name.name(), name.namespace(), name.as_str()), ("orders", "shop", "orders.shop"));
        assert_ne!(name, ServiceName::new("orders").expect("valid"));
    }

    #[test]
    fn a_refused_name_is_shown_on_one_line_and_steers_no_terminal() {
        let error = NodeName::new("a\n\u{1b}[2J").expect_err("not a name");

        assert_eq!(error.given, "a\n\u{1b}[2J");
        assert!(error.to_string().starts_with("`a\\n\\u{1b}[2J` is not a valid node name"), "{error}");
    }

    #[test]
    fn names_outside_the_rules_are_refused() {
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "a/b", "é", "a.b.c", ".", "a.", long.as_str()] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?} must be refused");
        }
        for bad in ["", "-a", "a-", "A", "a.b", long.as_str()] {
            assert!(NodeName::new(bad).is_err(), "{bad:?} must be refused");
        }
        assert!(TrustDomain::new("a..b").is_err());
        assert!(TrustDomain::new("mesh.example.com").is_ok());
    }
}
