//! `controller.toml`: read once, checked whole, every mistake named at its place.
//!
//! A [`Config`] is right by construction. Unknown keys are mistakes: a misspelt one that is silently
//! ignored costs more than it saves. Some keys may be changed while the
//! controller runs ([`Config::restart_keys`] names the others).

mod keys;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::document::{self, InvalidDocument, Key, Table, text};
use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::ids::{NodeName, TrustDomain};

use keys::{CONTROLLER, FILE};

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
    /// Whether an empty store may stand beside an authority that is not new. The command line's word only.
    pub new_store: bool,
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
    /// See [`Config::new_store`].
    pub new_store: bool,
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7401);
const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7402);
const EXPIRY_GRACE: Duration = sinew_transport::validity::EXPIRY_GRACE;
const CERTIFICATE_TTL: Duration = Duration::from_secs(24 * 3600);

impl Config {
    /// The keys of a file.
    #[must_use]
    pub const fn keys() -> &'static [Key] {
        FILE
    }

    /// A commented file with every key.
    #[must_use]
    pub const fn example() -> &'static str {
        include_str!("config/example.toml")
    }

    /// The keys that differ in `other` and are read at start only.
    #[must_use]
    pub fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
        let differing = [
            ("state", self.state != other.state),
            ("trust_domain", self.trust_domain != other.trust_domain),
            ("name", self.name != other.name),
            ("listen", self.listen != other.listen),
            ("api", self.api != other.api),
            ("expiry_grace", self.expiry_grace != other.expiry_grace),
        ];
        differing.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Reads a configuration; `file_name` is only shown.
    ///
    /// # Errors
    /// Every mistake in it, each with line, column and remedy; with mistakes in the syntax only those.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, InvalidDocument> {
        Self::parse_with(file_name, text, Overrides::default())
    }

    /// The same, with the command line's word over the file's.
    ///
    /// # Errors
    /// Every mistake, as in [`Config::parse`].
    pub fn parse_with(file_name: &str, text: &str, overrides: Overrides) -> Result<Self, InvalidDocument> {
        document::read(file_name, text, document::FILE_MAX, FILE, |file| {
            read(&file.table_or_empty("controller", CONTROLLER), overrides)
        })
    }
}

fn read(table: &Table<'_>, overrides: Overrides) -> Option<Config> {
    if overrides.state.is_none() {
        table.require("state");
    }
    let state = table.text("state", text::path).map(|state| state.into_inner());
    let trust_domain = table.text("trust_domain", TrustDomain::new).map(|domain| domain.into_inner());
    let name = table.text("name", NodeName::new).map(|name| name.into_inner());
    let listen = table.text("listen", text::socket).map(|listen| listen.into_inner());
    let advertise = table.texts("advertise", MAX_ADVERTISED, text::dialable);
    let api = table.text("api", loopback).map(|api| api.into_inner());
    let default_policy = table.text("default_policy", text::policy).map(|policy| policy.into_inner());
    let certificate_ttl = table.duration("certificate_ttl", CERTIFICATE_TTL_MIN..=CERTIFICATE_TTL_MAX);
    let expiry_grace = table.duration("expiry_grace", Duration::ZERO..=EXPIRY_GRACE_MAX);
    Some(Config {
        state: overrides.state.or(state)?,
        trust_domain: overrides.trust_domain.or(trust_domain).or(TrustDomain::new("mesh.local").ok())?,
        name: name.or(NodeName::new("c1").ok())?,
        listen: overrides.listen.or(listen).unwrap_or(LISTEN),
        advertise: advertise.into_iter().map(|address| address.into_inner()).collect(),
        api: overrides.api.or(api).unwrap_or(API),
        default_policy: default_policy.unwrap_or_default(),
        certificate_ttl: certificate_ttl.map_or(CERTIFICATE_TTL, |ttl| ttl.into_inner()),
        expiry_grace: expiry_grace.map_or(EXPIRY_GRACE, |grace| grace.into_inner()),
        new_store: overrides.new_store,
    })
}

/// An address that only this machine reaches.
///
/// # Errors
/// What is wrong with it.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text::socket(text)?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not on loopback, and the API is not encrypted; use a tunnel to reach it"
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests;
