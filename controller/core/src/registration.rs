//! What a node declares about itself, checked once.
//!
//! [`Registration::check`] turns the words of a [`Register`] into a value that is right by construction,
//! or names every mistake at once, each with its remedy: an operator who corrects a configuration should
//! have to do it once. Everything here came from outside, so every list and text has a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sinew_api::control::{FarewellReason, Register};
use sinew_api::hosting::{Health, Serve, Serving};
use sinew_api::snapshot::Labels;
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

use crate::declared::DeclaredNode;

/// The most endpoints of one node. With the labels below, a registration stays well under the 1 MiB of
/// a control frame unless labels are used to their limit, and a node with more should be several nodes.
pub const MAX_ENDPOINTS: usize = 1000;
/// The most listeners of one node: one local port each.
pub const MAX_LISTENERS: usize = 1000;
/// The most data addresses of one node.
pub const MAX_ADDRESSES: usize = sinew_api::control::ADDRESSES_MAX;
/// The most labels of one endpoint.
pub const MAX_LABELS: usize = 16;
/// The longest label name, as a DNS label.
pub const MAX_LABEL_NAME: usize = 63;
/// The longest label value.
pub const MAX_LABEL_VALUE: usize = 256;
/// The longest version text; it is only shown.
pub const MAX_VERSION: usize = 64;

/// What a node hosts, calls, and where it is reached; only [`Registration::check`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    addresses: Vec<SocketAddr>,
    zone: Option<Zone>,
    serves: BTreeMap<u16, Hosted>,
    /// The version of `serves`.
    version: u64,
    listens: BTreeSet<Listener>,
    /// The zone that an operator declared.
    #[serde(skip)]
    declared_zone: Option<Zone>,
    /// The services of listeners that an operator declared.
    #[serde(skip)]
    declared_calls: BTreeSet<ServiceName>,
}

/// What stands in one slot of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hosted {
    /// The service.
    pub service: ServiceName,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How much it can take beside the others.
    pub capacity: u32,
    /// Whether it takes new connections.
    pub health: Health,
}

impl From<Serve> for Hosted {
    fn from(Serve { service, slot: _, labels, capacity, health }: Serve) -> Self {
        Self { service, labels, capacity, health }
    }
}

/// A service that applications call on a node, and for whom they speak.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listener {
    service: ServiceName,
    /// None: the node's only grant.
    source: Option<ServiceName>,
}

/// One thing that is wrong with a registration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// A served service was not granted.
    #[error(
        "serve `{service}`: not granted to this node (granted: {granted}); remove the [[serve]] entry \
         (`sinew deregister {service}` if it was registered at run time), or join again with a token that names it: sinew token create --node {node} --service {service} …"
    )]
    ServeNotGranted {
        /// The service.
        service: ServiceName,
        /// The node.
        node: NodeName,
        /// What it is granted, for reading.
        granted: String,
    },
    /// A listener speaks for a service that was not granted.
    #[error(
        "listen `{service}` as `{source_service}`: this node may not speak for `{source_service}` (granted: \
         {granted}); correct `as`, or join again with a token that names it: sinew token create --node \
         {node} --service {source_service} …"
    )]
    SourceNotGranted {
        /// The service that is called.
        service: ServiceName,
        /// The service for which the listener speaks.
        source_service: ServiceName,
        /// The node.
        node: NodeName,
        /// What it is granted, for reading.
        granted: String,
    },
    /// A listener names no source although there are several to choose from, or none.
    #[error(
        "listen `{service}`: `as` may be left out only when exactly one service is granted (granted: \
         {granted}); say for which of them the callers speak"
    )]
    SourceUnclear {
        /// The service that is called.
        service: ServiceName,
        /// What the node is granted, for reading.
        granted: String,
    },
    /// A run of the node's program that another took over from, which is still here.
    #[error(
        "another process with the identity of node `{node}` took over from this one and is still connected: \
         its state directory was copied; stop one of the two, and join it under a name of its own with a new \
         token (sinew token create --node …) and an empty state directory"
    )]
    Superseded {
        /// The node.
        node: NodeName,
    },
    /// Two endpoints in one slot.
    #[error("two endpoints claim slot {0}; the agent numbers its endpoints: it needs an update")]
    SlotTwice(u16),
    /// Too many of something.
    #[error("{count} {what}, at most {limit} are taken; split the node")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Nobody could reach the node.
    #[error("no data address; the agent must name at least one socket, see `data` and `advertise`")]
    NoAddress,
    /// An address that nobody can dial.
    #[error("data address {0} has no port; the agent must name the port that it bound")]
    NoPort(SocketAddr),
    /// A label with a name or value outside the rules.
    #[error(
        "label `{name}` of slot {slot}: names have 1 to {MAX_LABEL_NAME} characters, values up to \
         {MAX_LABEL_VALUE}, none of them a control character; shorten it"
    )]
    Label {
        /// The slot of its endpoint.
        slot: u16,
        /// Its name, cut at [`MAX_LABEL_NAME`] characters.
        name: String,
    },
    /// A version text that is too long to show.
    #[error("the version text is longer than {MAX_VERSION} bytes")]
    Version,
}

impl Mistake {
    /// What a node is told when this ends its session.
    #[must_use]
    pub fn reason(&self) -> FarewellReason {
        match self {
            Self::ServeNotGranted { .. } | Self::SourceNotGranted { .. } | Self::SourceUnclear { .. } => {
                FarewellReason::NotGranted
            }
            Self::Superseded { .. } => FarewellReason::Superseded,
            _ => FarewellReason::Invalid,
        }
    }
}

impl Registration {
    /// Checks what `node` says about itself. `session_ip`, from which it speaks, replaces every
    /// unspecified address.
    ///
    /// # Errors
    /// Every mistake there is, in the order of the registration.
    pub fn check(
        register: Register,
        node: &NodeName,
        granted: &BTreeSet<ServiceName>,
        session_ip: IpAddr,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = limit_mistakes(&register);
        let mut serves = BTreeMap::new();
        for serve in register.serves {
            if serves.contains_key(&serve.slot) {
                mistakes.push(Mistake::SlotTwice(serve.slot));
            }
            serves.insert(serve.slot, serve.into());
        }
        let listens = register
            .listens
            .into_iter()
            .map(|listen| Listener { service: listen.service, source: listen.source })
            .collect();
        let addresses = register.addresses.into_iter().map(|a| specified(a, session_ip)).collect();
        let this = Self {
            addresses,
            zone: register.zone,
            serves,
            version: register.serving,
            listens,
            declared_zone: None,
            declared_calls: BTreeSet::new(),
        };
        mistakes.extend(this.ungranted(node, granted));
        if mistakes.is_empty() { Ok(this) } else { Err(mistakes) }
    }

    /// The same after endpoints came, changed or went.
    ///
    /// # Errors
    /// Every mistake in what the node hosts then.
    pub fn serving(
        &self,
        serving: Serving,
        node: &NodeName,
        granted: &BTreeSet<ServiceName>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut next = self.clone();
        next.version = serving.version;
        if serving.whole {
            next.serves.clear();
        }
        let mut mistakes = Vec::new();
        for (slot, change) in serving.changes {
            let Some(serve) = change else {
                next.serves.remove(&slot);
                continue;
            };
            mistakes.extend(label_mistakes(&serve));
            next.serves.insert(slot, serve.into());
        }
        if next.serves.len() > MAX_ENDPOINTS {
            let (what, count, limit) = ("endpoints", next.serves.len(), MAX_ENDPOINTS);
            mistakes.push(Mistake::TooMany { what, count, limit });
        }
        mistakes.extend(next.ungranted(node, granted));
        if mistakes.is_empty() { Ok(next) } else { Err(mistakes) }
    }

    /// The same with what is declared for the node.
    pub(crate) fn declared(mut self, declared: &DeclaredNode) -> Self {
        self.declared_zone.clone_from(&declared.zone);
        self.declared_calls = declared.listeners.iter().map(|listener| listener.service.clone()).collect();
        self
    }

    /// What this registration would ask too much under other grants; empty when it may stay.
    #[must_use]
    pub fn ungranted(&self, node: &NodeName, granted: &BTreeSet<ServiceName>) -> Vec<Mistake> {
        let names = || match granted.len() {
            0 => "nothing".to_owned(),
            _ => granted.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", "),
        };
        let served: BTreeSet<_> = self.serves.values().map(|hosted| &hosted.service).collect();
        let serves = served.into_iter().filter(|service| !granted.contains(service)).map(|service| {
            Mistake::ServeNotGranted { service: service.clone(), node: node.clone(), granted: names() }
        });
        let listens = self.listens.iter().filter_map(|listener| match &listener.source {
            None if granted.len() == 1 => None,
            None => Some(Mistake::SourceUnclear { service: listener.service.clone(), granted: names() }),
            Some(source) if granted.contains(source) => None,
            Some(source) => Some(Mistake::SourceNotGranted {
                service: listener.service.clone(),
                source_service: source.clone(),
                node: node.clone(),
                granted: names(),
            }),
        });
        serves.chain(listens).collect()
    }

    /// The data sockets: for each address a run of entries, of which entry *i* is where shard *i* listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the node is.
    #[must_use]
    pub fn zone(&self) -> Option<&Zone> {
        self.declared_zone.as_ref().or(self.zone.as_ref())
    }

    /// What the node hosts, by slot.
    #[must_use]
    pub fn serves(&self) -> &BTreeMap<u16, Hosted> {
        &self.serves
    }

    /// The version of what the node hosts.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The services that the node hosts, each once.
    #[must_use]
    pub fn hosted(&self) -> BTreeSet<&ServiceName> {
        self.serves.values().map(|hosted| &hosted.service).collect()
    }

    /// The services that the node's listeners lead to, each once.
    #[must_use]
    pub fn called(&self) -> BTreeSet<&ServiceName> {
        self.listens.iter().map(|listener| &listener.service).chain(&self.declared_calls).collect()
    }
}

fn specified(address: SocketAddr, session_ip: IpAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { session_ip } else { address.ip() };
    SocketAddr::new(ip.to_canonical(), address.port())
}

/// The mistakes that need no grants to be seen.
fn limit_mistakes(register: &Register) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if register.version.len() > MAX_VERSION {
        mistakes.push(Mistake::Version);
    }
    if register.addresses.is_empty() {
        mistakes.push(Mistake::NoAddress);
    }
    mistakes.extend(
        register.addresses.iter().filter(|a| a.port() == 0).take(MAX_ADDRESSES).map(|a| Mistake::NoPort(*a)),
    );
    for (what, count, limit) in [
        ("data addresses", register.addresses.len(), MAX_ADDRESSES),
        ("endpoints", register.serves.len(), MAX_ENDPOINTS),
        ("listeners", register.listens.len(), MAX_LISTENERS),
    ] {
        if count > limit {
            mistakes.push(Mistake::TooMany { what, count, limit });
        }
    }
    mistakes.extend(register.serves.iter().take(MAX_ENDPOINTS).flat_map(label_mistakes));
    mistakes
}

fn label_mistakes(serve: &Serve) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if serve.labels.len() > MAX_LABELS {
        let count = serve.labels.len();
        mistakes.push(Mistake::TooMany { what: "labels on one endpoint", count, limit: MAX_LABELS });
    }
    for (name, _) in serve.labels.iter().filter(|(name, value)| !label_ok(name, value)).take(MAX_LABELS) {
        let name = name.chars().take(MAX_LABEL_NAME).collect();
        mistakes.push(Mistake::Label { slot: serve.slot, name });
    }
    mistakes
}

fn label_ok(name: &str, value: &str) -> bool {
    (1..=MAX_LABEL_NAME).contains(&name.chars().count())
        && value.chars().count() <= MAX_LABEL_VALUE
        && !name.chars().chain(value.chars()).any(char::is_control)
}

#[cfg(test)]
mod tests;
