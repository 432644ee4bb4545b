//! HTTP on a listener of the [`Runtime`](crate::Runtime): the admin pages of nodes and the controller's API; and who
//! may call them.
//!
//! They listen on loopback, where every program of every user reaches them, and every web page that a browser on
//! this machine shows. So places are few and patience ends ([`HttpListener`]), and there are three questions: is the call addressed to this machine ([`check_browser`]: `Host`; a page
//! that rebinds its DNS name to 127.0.0.1 says another), does it come from a page of another origin (`Origin`), and
//! does the caller hold the admin token ([`check_credential`]).

mod listener;

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, Uri, header};

pub use listener::{CONNECTIONS_MAX, HttpListener, HttpStream, IDLE_TIME};

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uncalled {
    /// It is addressed to another machine.
    #[error("call it by 127.0.0.1, [::1] or localhost")]
    Host,
    /// It comes from a foreign page.
    #[error("pages of other origins may not call it")]
    Origin,
    /// There is no token, or another.
    #[error("it needs the token in admin.token of the state directory as `Authorization: Bearer …`")]
    Credential,
}

impl Uncalled {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Credential => "credential",
        }
    }
}

/// Lets through what is addressed to this machine and does not come from a foreign page.
///
/// # Errors
/// [`Uncalled::Host`], [`Uncalled::Origin`].
pub fn check_browser(uri: &Uri, headers: &HeaderMap) -> Result<(), Uncalled> {
    // HTTP/1.1 may carry the host in the request line instead, and that wins (RFC 9112 section 3.2.2).
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text(headers, header::HOST));
    let host = host.filter(|host| is_loopback(host)).ok_or(Uncalled::Host)?;
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if origin != Some(host) {
            return Err(Uncalled::Origin);
        }
    }
    Ok(())
}

/// Lets through who holds the token.
///
/// # Errors
/// [`Uncalled::Credential`].
pub fn check_credential(headers: &HeaderMap, token: &str) -> Result<(), Uncalled> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
    match bearer {
        Some(given) if verify_slices_are_equal(given.as_bytes(), token.as_bytes()).is_ok() => Ok(()),
        _ => Err(Uncalled::Credential),
    }
}

/// The bytes of a new admin token: nobody guesses them.
///
/// # Panics
/// When the system has no randomness, without which nothing here is safe.
#[must_use]
pub fn token_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    #[expect(clippy::expect_used, reason = "see Panics")]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `host` or `host:port` names this machine and nothing that DNS could rebind.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in
            ["127.0.0.1", "127.0.0.1:7402", "localhost", "LocalHost:80", "[::1]:7402", "[::1]", "127.9.9.9:1"]
        {
            assert!(is_loopback(host), "{host} is this machine");
        }
        for host in [
            "",
            ":",
            ":80",
            "evil.example",
            "evil.example:7402",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7402",
            "0.0.0.0:7402",
            "10.0.0.1",
            "[::]:7402",
            "127.0.0.1:7402:7402",
            "127.0.0.1:x",
            "localhost:",
        ] {
            assert!(!is_loopback(host), "{host} is not this machine");
        }
    }
}
