//! Joining: the token that an operator carries to a new node, and the exchange that turns it into a
//! certificate.
//!
//! A token reads `sinew1.` and base64url of JSON (bytes at rest are JSON with a version). It names the
//! trust domain, pins the root by the SHA-256 of its DER, and holds a secret of 32 bytes of which the
//! controller keeps only the SHA-256. The connection is authenticated on the server's side only, against
//! that pin; one [`JoinRequest`], one [`JoinAnswer`], closed.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, ServiceName, TrustDomain};
use sinew_transport_core::wire::Message;

use crate::secret::Secret;

/// How every token begins; the digit is the version of the format.
const PREFIX: &str = "sinew1.";

/// Longest token that is read: 8 KiB of base64 hold some hundred services.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

/// Longest certificate request.
pub const MAX_CSR_LEN: usize = 8 * 1024;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The naming root that the node joins.
    pub trust_domain: TrustDomain,
    /// SHA-256 of the root certificate's DER.
    pub root_pin: [u8; 32],
    /// Where controllers are, tried in order.
    pub controllers: Vec<SocketAddr>,
    /// The node's name.
    pub node: NodeName,
    /// The services that the node may host and speak for.
    pub services: Vec<ServiceName>,
    /// What proves the right to join once: 32 random bytes in hex.
    pub secret: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenJson {
    trust_domain: TrustDomain,
    root_sha256: String,
    controllers: Vec<SocketAddr>,
    node: NodeName,
    services: Vec<ServiceName>,
    secret: String,
}

/// Why a text is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("the token is longer than {MAX_TOKEN_LEN} bytes; pass the whole token and nothing else")]
    TooLong,
    /// Another prefix.
    #[error("the token does not begin with `{PREFIX}`; make one with `sinew token create`")]
    Prefix,
    /// Cut or changed.
    #[error("the token is damaged ({0}); it may have been cut when it was copied")]
    Damaged(String),
}

/// Bytes as lower-case hex.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// 32 bytes from 64 hex digits.
#[must_use]
pub fn from_hex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

impl Token {
    /// The text that an operator carries.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let json = TokenJson {
            trust_domain: self.trust_domain.clone(),
            root_sha256: to_hex(&self.root_pin),
            controllers: self.controllers.clone(),
            node: self.node.clone(),
            services: self.services.clone(),
            secret: self.secret.expose().to_owned(),
        };
        #[expect(clippy::expect_used, reason = "strings and lists always serialize")]
        let json = serde_json::to_vec(&json).expect("plain data");
        Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json)))
    }

    /// Reads a token; white space around it is ignored.
    ///
    /// # Errors
    /// [`InvalidToken`] says what is wrong with the text, never what is in it.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.len() > MAX_TOKEN_LEN {
            return Err(InvalidToken::TooLong);
        }
        let body = text.strip_prefix(PREFIX).ok_or(InvalidToken::Prefix)?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| InvalidToken::Damaged("not base64url".into()))?;
        // serde's message could quote a value: say only where it stopped.
        let json: TokenJson = serde_json::from_slice(&json)
            .map_err(|e| InvalidToken::Damaged(format!("unreadable at byte {}", e.column())))?;
        let root_pin =
            from_hex32(&json.root_sha256).ok_or_else(|| InvalidToken::Damaged("bad root pin".into()))?;
        Ok(Self {
            trust_domain: json.trust_domain,
            root_pin,
            controllers: json.controllers,
            node: json.node,
            services: json.services,
            secret: Secret::new(json.secret),
        })
    }
}

/// Node to controller: the token's secret and a certificate request.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct JoinRequest {
    /// The token's secret.
    pub secret: String,
    /// PKCS #10, DER, at most [`MAX_CSR_LEN`]. Only its public key is used: the name is the token's.
    pub csr: Vec<u8>,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest")
            .field("secret", &"[redacted]")
            .field("csr_len", &self.csr.len())
            .finish()
    }
}

impl Message for JoinRequest {
    const KIND: u16 = 64;
    const MAX_LEN: u32 = 12 * 1024;
}

/// Controller to node: the certificate, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JoinAnswer {
    /// Welcome.
    Joined {
        /// The node's certificate, DER.
        certificate: Vec<u8>,
        /// The root certificate, DER.
        root: Vec<u8>,
    },
    /// The token is not known, was used, or its time is over. Which of these, only the controller's log
    /// says: whoever guesses tokens learns nothing.
    Refused,
    /// The certificate request can't be used.
    BadRequest(String),
}

impl Message for JoinAnswer {
    const KIND: u16 = 65;
    const MAX_LEN: u32 = 32 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            trust_domain: TrustDomain::new("mesh.local").expect("valid"),
            root_pin: [0xab; 32],
            controllers: vec!["127.0.0.1:7401".parse().expect("valid")],
            node: NodeName::new("n1").expect("valid"),
            services: vec![ServiceName::new("web").expect("valid")],
            secret: Secret::new("5ec4e7".into()),
        }
    }

    #[test]
    fn a_token_reads_back_as_written() {
        let text = token().to_text();

        assert_eq!(Token::parse(&format!("  {}\n", text.expose())), Ok(token()));
    }

    #[test]
    fn a_damaged_token_is_refused_without_showing_it() {
        let text = token().to_text();
        let cut = &text.expose()[..text.expose().len() - 7];

        let error = Token::parse(cut).expect_err("cut");

        assert!(matches!(error, InvalidToken::Damaged(_)));
        assert!(!error.to_string().contains("5ec4e7"));
    }

    #[test]
    fn another_text_is_no_token() {
        assert_eq!(Token::parse("hello"), Err(InvalidToken::Prefix));
        assert_eq!(Token::parse(&"x".repeat(MAX_TOKEN_LEN + 1)), Err(InvalidToken::TooLong));
    }

    #[test]
    fn debugging_a_token_or_request_shows_no_secret() {
        let request = JoinRequest { secret: "5ec4e7".into(), csr: vec![1] };

        assert!(!format!("{:?} {request:?}", token()).contains("5ec4e7"));
    }
}
