//! A whole set of resources held against itself and against who joined.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use sinew_api::document::{did_you_mean, text};
use sinew_api::resource::{
    Endpoint, HealthSettings, IN_A_ROW, INTERVALS, Listener, Node, Resource, ResourceKey, Resources, Service,
    TIMEOUTS, time,
};
use sinew_api::snapshot::Labels;
use sinew_api::sockets::{is_dialable, overlap};
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::TokenGrants;
use crate::mesh::MAX_NODES;
use crate::registration::{MAX_ENDPOINTS, MAX_LABELS, MAX_LISTENERS};

/// The most services of one mesh: as many as nodes, each of which exists to host one.
pub const MAX_SERVICES: usize = MAX_NODES;
/// The most services of one node: each peer's snapshot lists them.
pub const MAX_GRANTS: usize = 256;
/// From 1 to a million: enough to tell a small machine from the largest.
pub(super) const CAPACITIES: RangeInclusive<u32> = 1..=1_000_000;
/// Faults that are told which name was meant. Comparing with every name of a large mesh is too slow for more.
const SUGGESTED: usize = 50;

/// Something that is wrong in a set of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which resource.
    pub key: ResourceKey,
    /// In which field, as it is called in a file; `grants.orders` is an item of a list.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The other resource and field, when two do not fit together.
    pub beside: Option<(ResourceKey, String)>,
}

/// Every fault in a set, sorted by key. `tokens` are the nodes that joined.
#[must_use]
pub fn check(resources: &Resources, tokens: &TokenGrants) -> Vec<Fault> {
    let declared = resources.services().map(|service| &service.name);
    let services = declared.chain(tokens.values().flatten()).collect();
    let mut check = Check { resources, tokens, services, faults: Vec::new() };
    check.counts();
    for (key, resource) in resources.iter() {
        match resource {
            Resource::Mesh(_) => {}
            Resource::Service(service) => check.service(key, service),
            Resource::Node(node) => check.node(key, node),
            Resource::Endpoint(endpoint) => check.endpoint(key, endpoint),
            Resource::Listener(listener) => check.listener(key, listener),
        }
    }
    let nodes: BTreeSet<&NodeName> = resources.iter().filter_map(|(key, _)| key.node()).collect();
    nodes.into_iter().for_each(|node| check.beside_each_other(node));
    check.faults.sort_by(|one, other| one.key.cmp(&other.key));
    check.faults
}

struct Check<'a> {
    resources: &'a Resources,
    tokens: &'a TokenGrants,
    services: BTreeSet<&'a ServiceName>,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    fn add(&mut self, key: &ResourceKey, field: &str, message: String, help: impl Into<String>) {
        let (key, field, help) = (key.clone(), field.to_owned(), help.into());
        self.faults.push(Fault { key, field, message, help, beside: None });
    }

    /// The same, of two resources that do not fit together.
    fn add_beside(
        &mut self,
        key: &ResourceKey,
        field: &str,
        message: String,
        help: String,
        beside: (ResourceKey, &str),
    ) {
        let beside = Some((beside.0, beside.1.to_owned()));
        self.faults.push(Fault { key: key.clone(), field: field.to_owned(), message, help, beside });
    }

    fn counts(&mut self) {
        let excess = |keys: &mut dyn Iterator<Item = ResourceKey>, limit| keys.nth(limit);
        let services = excess(
            &mut self.resources.services().map(|s| ResourceKey::Service(s.name.clone())),
            MAX_SERVICES,
        );
        let nodes = excess(&mut self.resources.nodes().map(|n| ResourceKey::Node(n.name.clone())), MAX_NODES);
        for (what, key, limit) in [("services", services, MAX_SERVICES), ("nodes", nodes, MAX_NODES)] {
            if let Some(key) = key {
                self.add(
                    &key,
                    "name",
                    format!("more than {limit} {what}"),
                    "divide them among several meshes",
                );
            }
        }
    }

    fn service(&mut self, key: &ResourceKey, service: &Service) {
        if service.port == Some(0) {
            let help = "write where its endpoints listen, e.g. port = 8080";
            self.add(key, "port", "`port`: nothing can be reached at port 0".into(), help);
        }
        self.health(key, &service.health);
    }

    fn node(&mut self, key: &ResourceKey, node: &Node) {
        self.labels(key, &node.labels);
        let grants = node.grants.iter().flatten();
        if let Some(one_too_many) = grants.clone().nth(MAX_GRANTS) {
            let message = format!("`grants`: more than {MAX_GRANTS} services of one node");
            self.add(key, &format!("grants.{one_too_many}"), message, "divide them among several nodes");
        }
        for service in grants.take(MAX_GRANTS) {
            self.service_exists(key, &format!("grants.{service}"), service);
        }
    }

    fn endpoint(&mut self, key: &ResourceKey, endpoint: &Endpoint) {
        let Endpoint { node, service, address, labels, capacity, health } = endpoint;
        let there = self.node_exists(key, node) & self.service_exists(key, "service", service);
        if there && !self.grants(node).is_some_and(|grants| grants.contains(service)) {
            self.not_granted(key, "service", node, service);
        }
        if !is_dialable(address) {
            let help = "write where the service listens, e.g. 127.0.0.1:8080";
            self.add(key, "address", format!("`address`: nothing can be reached at {address}"), help);
        }
        if let Some(capacity) = capacity {
            self.range(key, "capacity", *capacity, &CAPACITIES);
        }
        self.labels(key, labels);
        self.health(key, health);
    }

    fn listener(&mut self, key: &ResourceKey, listener: &Listener) {
        let Listener { node, address, service, source } = listener;
        self.service_exists(key, "service", service);
        if address.port() == 0 || address.ip().is_multicast() {
            let help = "write a port of its own, e.g. 127.0.0.1:5001";
            self.add(key, "address", format!("`address`: nobody would find a listener at {address}"), help);
        }
        if !self.node_exists(key, node) {
            return;
        }
        match source {
            Some(source) => {
                let exists = self.service_exists(key, "as", source);
                if exists && !self.grants(node).is_some_and(|grants| grants.contains(source)) {
                    self.not_granted(key, "as", node, source);
                }
            }
            None if self.grants(node).is_some_and(|grants| grants.len() == 1) => {}
            None => {
                let granted = self.granted(node);
                let message = format!(
                    "`as` may be left out only when the node has one grant, and `{node}` has {granted}"
                );
                let beside = (ResourceKey::Node(node.clone()), "grants");
                self.add_beside(
                    key,
                    "as",
                    message,
                    "say for which service callers speak, e.g. as = \"web\"".into(),
                    beside,
                );
            }
        }
    }

    /// What several resources of one node would do to each other.
    fn beside_each_other(&mut self, node: &NodeName) {
        let mut ports: BTreeMap<u16, Vec<&'a SocketAddr>> = BTreeMap::new();
        for (index, listener) in self.resources.listeners_on(node).enumerate() {
            let key = ResourceKey::Listener { node: node.clone(), address: listener.address };
            if index == MAX_LISTENERS {
                let message = format!("more than {MAX_LISTENERS} listeners on one node");
                self.add(&key, "node", message, "divide them among several nodes");
            }
            let same_port = ports.entry(listener.address.port()).or_default();
            let taken = same_port.iter().find(|earlier| overlap(earlier, &listener.address)).copied();
            same_port.push(&listener.address);
            if let Some(taken) = taken {
                let message =
                    format!("`address`: `listener/{node}/{taken}` takes {} already", listener.address);
                let beside = (ResourceKey::Listener { node: node.clone(), address: *taken }, "address");
                self.add_beside(
                    &key,
                    "address",
                    message,
                    "give each listener a port of its own".into(),
                    beside,
                );
            }
        }
        for (index, endpoint) in self.resources.endpoints_on(node).enumerate() {
            let Endpoint { address, service, .. } = endpoint;
            let key =
                ResourceKey::Endpoint { node: node.clone(), address: *address, service: service.clone() };
            if index == MAX_ENDPOINTS {
                let message = format!("more than {MAX_ENDPOINTS} endpoints on one node");
                self.add(&key, "node", message, "divide them among several nodes");
            }
            let circle =
                ports.get(&address.port()).and_then(|l| l.iter().find(|l| overlap(l, address)).copied());
            if let Some(listener) = circle {
                let message =
                    format!("`address`: {address} is a listener of `{node}`: calls would go in circles");
                let beside = (ResourceKey::Listener { node: node.clone(), address: *listener }, "address");
                self.add_beside(
                    &key,
                    "address",
                    message,
                    "write where the service itself listens".into(),
                    beside,
                );
            }
        }
    }

    fn labels(&mut self, key: &ResourceKey, labels: &Labels) {
        if labels.len() > MAX_LABELS {
            let message = format!("`labels`: {} are written, at most {MAX_LABELS} are taken", labels.len());
            self.add(key, "labels", message, "keep those that traffic is split by");
        }
        for wrong in
            labels.iter().flat_map(|(name, value)| [name, value]).filter_map(|word| text::label(word).err())
        {
            self.add(
                key,
                "labels",
                format!("`labels`: {wrong}"),
                "write for example labels = { version = \"v1\" }",
            );
        }
    }

    fn health(&mut self, key: &ResourceKey, health: &HealthSettings) {
        // 0 switches the checks off.
        for (field, value, range) in [
            ("health.interval", health.interval_ms.filter(|ms| *ms != 0), &INTERVALS),
            ("health.timeout", health.timeout_ms, &TIMEOUTS),
        ] {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let [given, least, most] = [value, *range.start(), *range.end()].map(time);
                let message = format!("`{field}`: {given} is not from {least} to {most}");
                self.add(key, field, message, "write for example \"1s\"");
            }
        }
        for (field, value) in [("health.rise", health.rise), ("health.fall", health.fall)] {
            if let Some(value) = value {
                self.range(key, field, value, &IN_A_ROW);
            }
        }
    }

    fn range<N: PartialOrd + std::fmt::Display>(
        &mut self,
        key: &ResourceKey,
        field: &str,
        value: N,
        range: &RangeInclusive<N>,
    ) {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{field}`: {value} is not from {least} to {most}");
            self.add(key, field, message, format!("write a number from {least} to {most}"));
        }
    }

    fn service_exists(&mut self, key: &ResourceKey, field: &str, service: &ServiceName) -> bool {
        if self.services.contains(service) {
            return true;
        }
        let declare = format!("declare it with [[service]] name = \"{service}\"");
        let help = self.remedy(service.as_str(), declare, |check| {
            check.services.iter().map(|service| service.as_str()).collect()
        });
        let field_name = field.split('.').next().unwrap_or(field);
        let message = format!("`{field_name}`: service `{service}` is not declared");
        self.add_beside(key, field, message, help, (ResourceKey::Service(service.clone()), "name"));
        false
    }

    fn node_exists(&mut self, key: &ResourceKey, node: &NodeName) -> bool {
        if self.grants(node).is_some() {
            return true;
        }
        let declare = format!("declare it with [[node]] name = \"{node}\", or let it join first");
        let help = self.remedy(node.as_str(), declare, |check| {
            let declared = check.resources.nodes().map(|node| &node.name);
            declared.chain(check.tokens.keys()).map(|node| node.as_str()).collect()
        });
        let message = format!("`node`: node `{node}` is not declared, and none of that name joined");
        self.add_beside(key, "node", message, help, (ResourceKey::Node(node.clone()), "name"));
        false
    }

    /// The name that was meant, or else how to declare this one.
    fn remedy(&self, name: &str, declare: String, known: impl Fn(&Self) -> Vec<&'a str>) -> String {
        let known = if self.faults.len() < SUGGESTED { known(self) } else { Vec::new() };
        if known.is_empty() { declare } else { did_you_mean(name, known, &format!("{declare}; there are")) }
    }

    fn not_granted(&mut self, key: &ResourceKey, field: &str, node: &NodeName, service: &ServiceName) {
        let granted = self.granted(node);
        let message = format!("`{field}`: `{node}` is not granted `{service}` (granted: {granted})");
        let help = match self.resources.node(node).and_then(|node| node.grants.as_ref()) {
            Some(_) => format!("add \"{service}\" to `grants` of [[node]] {node}, or choose another node"),
            None => format!(
                "declare [[node]] name = \"{node}\" with all its grants, \"{service}\" among them, or choose another node"
            ),
        };
        self.add_beside(key, field, message, help, (ResourceKey::Node(node.clone()), "grants"));
    }

    /// What a node may host and speak for; none: there is no such node.
    fn grants(&self, node: &NodeName) -> Option<&'a BTreeSet<ServiceName>> {
        static NOTHING: BTreeSet<ServiceName> = BTreeSet::new();
        let declared = self.resources.node(node);
        let grants = declared.and_then(|node| node.grants.as_ref()).or_else(|| self.tokens.get(node));
        grants.or_else(|| declared.map(|_| &NOTHING))
    }

    fn granted(&self, node: &NodeName) -> String {
        let grants = self.grants(node).into_iter().flatten();
        let listed = grants.map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
        if listed.is_empty() { "nothing".into() } else { listed }
    }
}
