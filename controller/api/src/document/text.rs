//! Parsers for what stands in quotes. Each says in words what is wrong.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::snapshot::DefaultPolicy;
use crate::sockets::is_dialable;

/// The longest key or value of a label: every caller's snapshot carries them.
pub const LABEL_LEN_MAX: usize = 63;

/// The longest name of a host (RFC 1035 section 2.3.4).
const HOST_LEN_MAX: usize = 253;

/// A path.
///
/// # Errors
/// It is empty, or no path on any system.
pub fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') { Err("is not a path") } else { Ok(text.into()) }
}

/// An IP address and a port.
///
/// # Errors
/// Which of the two is missing or wrong.
pub fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() => format!("`{text}` has no port"),
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => {
            format!("`{}` is not a port from 0 to 65535", port.escape_debug())
        }
        _ => format!("`{}` is not an IP address and a port; names are not resolved", text.escape_debug()),
    })
}

/// An IP address and a port that somebody can dial.
///
/// # Errors
/// As [`socket`], and for port 0 and addresses that stand for many.
pub fn dialable(text: &str) -> Result<SocketAddr, String> {
    let address = socket(text)?;
    if !is_dialable(&address) {
        return Err(format!("nobody can dial {address}"));
    }
    Ok(address)
}

/// A host, by name or IP address, and a port.
///
/// # Errors
/// Which of the two is missing or wrong.
pub fn host_and_port(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return dialable(text).map(|_| text.to_owned());
    }
    let shown = text.escape_debug();
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{shown}` has no port"))?;
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("`{}` is not a port from 1 to 65535", port.escape_debug()));
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > HOST_LEN_MAX || !host.chars().all(named) {
        return Err(format!("`{}` is no name of a host", host.escape_debug()));
    }
    Ok(text.to_owned())
}

/// An IP address without a port.
///
/// # Errors
/// What it is instead.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| match text.parse::<SocketAddr>() {
        Ok(socket) => format!("`{text}` has a port; write only `{}`", socket.ip()),
        Err(_) => format!("`{}` is not an IP address", text.escape_debug()),
    })
}

/// The answer to a call that no rule decides.
///
/// # Errors
/// It is another word.
pub fn policy(text: &str) -> Result<DefaultPolicy, String> {
    match text {
        "allow" => Ok(DefaultPolicy::Allow),
        "deny" => Ok(DefaultPolicy::Deny),
        _ => Err(format!("`{}` is neither `allow` nor `deny`", text.escape_debug())),
    }
}

/// A key or a value of a label.
///
/// # Errors
/// It is empty, longer than [`LABEL_LEN_MAX`], or has other than visible ASCII characters.
pub fn label(text: &str) -> Result<String, String> {
    if (1..=LABEL_LEN_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(LABEL_LEN_MAX).collect();
    Err(format!("`{}` must be 1 to {LABEL_LEN_MAX} visible ASCII characters", shown.escape_debug()))
}
