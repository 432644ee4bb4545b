//! `controller.toml`: read once, checked whole, every mistake named at its place.
//!
//! A [`Config`] is right by construction. Unknown keys are mistakes: a misspelt one that is silently
//! ignored costs more than it saves. None of the keys can be changed while the controller runs.

mod mistakes;
mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{NodeName, TrustDomain};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use mistakes::Found;
pub use mistakes::{ConfigErrors, ConfigMistake};
use table::{Key, Table};

/// The shortest life of a node's certificate; tests run with it.
pub const CERTIFICATE_TTL_MIN: Duration = Duration::from_secs(10);
/// The longest: a stolen key should not be good for a season.
pub const CERTIFICATE_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest grace: after a quarter an expired certificate is no longer an oversight.
pub const EXPIRY_GRACE_MAX: Duration = Duration::from_hours(90 * 24);
/// The most addresses that tokens carry.
pub const MAX_ADVERTISED: usize = 8;

/// How a controller runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it keeps what it must not forget.
    pub state: PathBuf,
    /// The naming root. Used when the authority is made; must match it later.
    pub trust_domain: TrustDomain,
    /// The controller's name.
    pub name: NodeName,
    /// Where nodes reach it: control sessions and joins, UDP.
    pub listen: SocketAddr,
    /// What tokens say about where it is; empty: the bound address.
    pub advertise: Vec<SocketAddr>,
    /// The HTTP API; loopback.
    pub api: SocketAddr,
    /// The answer to a call that no rule decides.
    pub default_policy: DefaultPolicy,
    /// The life of a node's certificate.
    pub certificate_ttl: Duration,
    /// For how long after its end a node's certificate is good for renewing it.
    pub expiry_grace: Duration,
}

/// What the command line says in place of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `state`.
    pub state: Option<PathBuf>,
    /// In place of `listen`.
    pub listen: Option<SocketAddr>,
    /// In place of `api`.
    pub api: Option<SocketAddr>,
    /// In place of `trust_domain`.
    pub trust_domain: Option<TrustDomain>,
}

const KEYS: &[Key] = &[
    Key { name: "state", example: r#"state = "/var/lib/sinew/controller""# },
    Key { name: "trust_domain", example: r#"trust_domain = "mesh.local""# },
    Key { name: "name", example: r#"name = "c1""# },
    Key { name: "listen", example: r#"listen = "0.0.0.0:7401""# },
    Key { name: "advertise", example: r#"advertise = ["10.0.0.1:7401"]"# },
    Key { name: "api", example: r#"api = "127.0.0.1:7402""# },
    Key { name: "default_policy", example: r#"default_policy = "allow""# },
    Key { name: "certificate_ttl", example: r#"certificate_ttl = "24h""# },
    Key { name: "expiry_grace", example: r#"expiry_grace = "7d""# },
];

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7401);
const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7402);
const CERTIFICATE_TTL: Duration = Duration::from_secs(24 * 3600);

impl Config {
    /// Reads a configuration; `file_name` is only shown.
    ///
    /// # Errors
    /// Every mistake in it, each with line, column and remedy; with mistakes in the syntax only those.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigErrors> {
        Self::parse_with(file_name, text, Overrides::default())
    }

    /// The same, with the command line's word over the file's.
    ///
    /// # Errors
    /// Every mistake, as in [`Config::parse`].
    pub fn parse_with(file_name: &str, text: &str, overrides: Overrides) -> Result<Self, ConfigErrors> {
        let mut found = Found::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            found.add(span, error.message(), "see https://toml.io/en/v1.0.0 for how TOML is written");
        }
        let config = if errors.is_empty() { read(&document, overrides, &mut found) } else { None };
        found.or(file_name, text, config)
    }
}

fn read(document: &Spanned<DeTable<'_>>, overrides: Overrides, found: &mut Found) -> Option<Config> {
    let empty = DeTable::new();
    let (mut span, mut entries) = (0..0, &empty);
    for (key, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) if key.get_ref() == "controller" => (span, entries) = (key.span(), table),
            _ => {
                let message = format!("`{}` does not belong here", key.get_ref().escape_debug());
                found.add(key.span(), message, "everything stands below a line that says [controller]");
            }
        }
    }
    let mut table = Table::new("[controller]", KEYS, span, entries, found);

    if overrides.state.is_none() {
        table.require("state");
    }
    let state = table.value("state", path);
    let trust_domain = table.value("trust_domain", TrustDomain::new);
    let name = table.value("name", NodeName::new);
    let listen = table.value("listen", address);
    let advertise = table.list("advertise", MAX_ADVERTISED, dialable);
    let api = table.value("api", loopback);
    let default_policy = table.value("default_policy", policy);
    let certificate_ttl = table.value("certificate_ttl", certificate_ttl);
    let expiry_grace = table.value("expiry_grace", expiry_grace);
    Some(Config {
        state: overrides.state.or(state)?,
        trust_domain: overrides.trust_domain.or(trust_domain).or(TrustDomain::new("mesh.local").ok())?,
        name: name.or(NodeName::new("c1").ok())?,
        listen: overrides.listen.or(listen).unwrap_or(LISTEN),
        advertise,
        api: overrides.api.or(api).unwrap_or(API),
        default_policy: default_policy.unwrap_or_default(),
        certificate_ttl: certificate_ttl.unwrap_or(CERTIFICATE_TTL),
        expiry_grace: expiry_grace.unwrap_or(sinew_transport::validity::EXPIRY_GRACE),
    })
}

fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("the path is empty") } else { Ok(PathBuf::from(text)) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{}` is no IP address with a port", text.escape_debug()))
}

fn dialable(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(format!("nobody can dial {address}"));
    }
    Ok(address)
}

/// An address that only this machine reaches.
///
/// # Errors
/// What is wrong with it.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not on loopback, and the API is not encrypted; use a tunnel to reach it"
        ));
    }
    Ok(address)
}

fn policy(text: &str) -> Result<DefaultPolicy, String> {
    match text {
        "allow" => Ok(DefaultPolicy::Allow),
        "deny" => Ok(DefaultPolicy::Deny),
        _ => Err(format!("`{}` is neither `allow` nor `deny`", text.escape_debug())),
    }
}

fn certificate_ttl(text: &str) -> Result<Duration, String> {
    duration(text, CERTIFICATE_TTL_MIN, CERTIFICATE_TTL_MAX)
}

fn expiry_grace(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO, EXPIRY_GRACE_MAX)
}

fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let given = humantime::parse_duration(text).map_err(|e| format!("`{}`: {e}", text.escape_debug()))?;
    if !(least..=most).contains(&given) {
        let [given, least, most] = [given, least, most].map(humantime::format_duration);
        return Err(format!("{given} is not from {least} to {most}"));
    }
    Ok(given)
}

#[cfg(test)]
mod tests;
