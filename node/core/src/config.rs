//! A node's configuration: `node.toml`, checked.
//!
//! Text goes through three stages, each with one job. `raw` walks the tables and gives back typed values
//! with their places, collecting whatever is unknown, missing, of another type or out of range. `check`
//! holds the values against each other. What remains is a [`Config`], right by construction. No stage stops
//! at the first mistake; [`InvalidDocument`] shows all of them, each with line, column and remedy.
//!
//! The file is not read here: the caller gives its text, and its name for messages.

mod check;
mod keys;
mod raw;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::document::{self, InvalidDocument, Key};
use sinew_api::hosting::HealthCheck;
use sinew_transport_core::{ServiceName, Zone};

use crate::mechanisms::Mechanisms;

/// Connections that a listener carries at once when its declaration does not say otherwise.
pub const LISTENER_CONNECTIONS: u32 = check::ENTRY_CONNECTIONS;

/// A node's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the node keeps its key, certificate and last snapshot.
    pub state: PathBuf,
    /// Where the node is.
    pub zone: Option<Zone>,
    /// The data socket of shard 0; shard *i* binds port + *i*, or any port if it is 0.
    pub data: SocketAddr,
    /// The addresses that peers dial; empty: that of the data socket, or of the control session.
    pub advertise: Vec<IpAddr>,
    /// How many shards; none: as many as cores, at most 4.
    pub shards: Option<u16>,
    /// Where `/livez`, `/readyz` and `/metrics` are served, on loopback; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// Where the access log goes; none: nowhere; `-`: to the log.
    pub access_log: Option<PathBuf>,
    /// Where the join token is; `-`: on standard input.
    pub token_file: Option<PathBuf>,
    /// Controllers (`host:port`), tried before those of the token.
    pub controllers: Vec<String>,
    /// For how long after its end a peer's certificate is accepted while no controller is reached.
    pub expiry_grace: Duration,
    /// How long a connection may wait for an endpoint.
    pub connect_timeout: Duration,
    /// How long a peer may be silent before its streams are given up.
    pub dead_after: Duration,
    /// How long what runs may take to end when the node stops; zero: it is cut at once.
    pub drain_timeout: Duration,
    /// Connections of applications and to services that the node carries at once.
    pub max_connections: u32,
    /// Where applications call.
    pub listens: Vec<ListenConfig>,
    /// The services behind this node; the position is the endpoint's slot.
    pub serves: Vec<ServeConfig>,
    /// What is switched off for an experiment. Not in the file: a flag of the program.
    pub mechanisms: Mechanisms,
}

/// One `[[listen]]`: a local socket where application traffic enters the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenConfig {
    /// The service that is called there.
    pub service: ServiceName,
    /// The service for which callers speak (`as`); none: the node's only grant.
    pub source: Option<ServiceName>,
    /// Where to listen.
    pub address: SocketAddr,
    /// Connections of applications that it carries at once.
    pub max_connections: u32,
}

/// One `[[serve]]`: a service behind this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Its name in the mesh.
    pub service: ServiceName,
    /// Where the application listens.
    pub address: SocketAddr,
    /// What splits and subsets go by.
    pub labels: BTreeMap<String, String>,
    /// How much it can take beside other endpoints of its service: 1 to 1,000,000. Only the ratio counts.
    pub capacity: u32,
    /// How it is found out whether it answers.
    pub check: HealthCheck,
    /// What one connection to it, and all together, may take.
    pub limits: ServeLimits,
}

/// What connections to an endpoint may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at once; beyond it, callers are sent elsewhere.
    pub connections: u32,
    /// For how long nothing may pass, either way, until a connection is ended; none: for ever.
    pub idle: Option<Duration>,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { connections: check::ENTRY_CONNECTIONS, idle: None }
    }
}

impl Config {
    /// The keys of a file.
    #[must_use]
    pub const fn keys() -> &'static [Key] {
        keys::FILE
    }

    /// The keys of `[node]` that differ in `other` and are read at start only.
    #[must_use]
    pub fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
        let differing = [
            ("state", self.state != other.state),
            ("data", self.data != other.data),
            ("advertise", self.advertise != other.advertise),
            ("shards", self.shards != other.shards),
            ("admin", self.admin != other.admin),
            ("access_log", self.access_log != other.access_log),
            ("token_file", self.token_file != other.token_file),
            ("controllers", self.controllers != other.controllers),
            ("expiry_grace", self.expiry_grace != other.expiry_grace),
            ("dead_after", self.dead_after != other.dead_after),
        ];
        differing.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Parses the text of a configuration file. `file_name` appears in messages only.
    ///
    /// # Errors
    /// [`InvalidDocument`] holds every mistake that was found. With mistakes in the syntax, only those: what the
    /// rest means can't be told.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, InvalidDocument> {
        document::read(file_name, text, document::FILE_MAX, keys::FILE, |file| {
            raw::read(file).and_then(|raw| check::check(raw, file))
        })
    }

    /// A commented file with every key.
    #[must_use]
    pub fn example() -> &'static str {
        include_str!("config/example.toml")
    }
}

#[cfg(test)]
mod tests;
