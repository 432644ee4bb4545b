//! Nodes, services, endpoints and listeners: who exists, and that everything named does.

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::document::{Table, Written};
use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};
use toml::Spanned;

use super::{Names, given, unknown};
use crate::file::tables::{RawScenario, RawService};
use crate::scenario::{Behaviour, Endpoint, Listener, Node, Service, Topology};

/// The most agents on one machine: each is a process, and beyond this the machine is what is measured.
const MAX_NODES: usize = 64;
/// The most endpoints: each is a process, too.
const MAX_ENDPOINTS: usize = 256;
/// The largest latency of an endpoint: half of the default timeout of a request.
const MAX_LATENCY: std::time::Duration = std::time::Duration::from_millis(7500);

/// The topology that was written; mistakes are noted either way.
pub(super) fn check(raw: &RawScenario, file: &Table<'_>) -> Option<Topology> {
    let nodes = nodes(raw, file);
    let services = services(raw, &nodes, file);
    check_declared_later(raw, file);
    let listeners = listeners(raw, &nodes, &services, file);
    let topology = Topology { nodes, services, listeners };
    for (node, written) in topology.nodes.iter().zip(raw.nodes.iter().filter_map(|n| n.name.as_ref())) {
        if topology.grants(&node.name).is_empty() {
            file.mistake(
                written.span(),
                format!("node `{}` has neither an endpoint nor a listener", node.name),
                "give it one, or leave it out",
            );
        }
    }
    (!topology.nodes.is_empty()).then_some(topology)
}

fn nodes(raw: &RawScenario, file: &Table<'_>) -> Vec<Node> {
    if raw.nodes.is_empty() {
        file.mistake(0..0, "the file has no [[node]]", "write at least one");
    }
    let mut names = Names::new("node", file);
    for (index, node) in raw.nodes.iter().enumerate() {
        names.declare(&node.name);
        if let Some(name) = &node.name
            && index == MAX_NODES
        {
            file.mistake(
                name.span(),
                format!("more than {MAX_NODES} nodes do not run on one machine"),
                "remove some",
            );
        }
    }
    let named = raw.nodes.iter().filter_map(|n| Some((n.name.as_ref()?.get_ref().clone(), n)));
    named
        .map(|(name, n)| Node {
            name,
            zone: n.zone.as_ref().map(|z| z.get_ref().clone()),
            started: given(&n.started, true),
        })
        .collect()
}

fn services(raw: &RawScenario, nodes: &[Node], file: &Table<'_>) -> Vec<Service> {
    let mut names = Names::new("service", file);
    let mut services = Vec::new();
    for written in &raw.services {
        names.declare(&written.name);
        let endpoints = endpoints(written, nodes, file);
        if let Some(name) = &written.name {
            let behaviour = given(&written.behaviour, Behaviour::EchoId);
            services.push(Service { name: name.get_ref().clone(), behaviour, endpoints });
        }
    }
    number(&mut services);
    let count: usize = services.iter().map(|s| s.endpoints.len()).sum();
    if count > MAX_ENDPOINTS {
        file.mistake(0..0, format!("{count} endpoints are more than {MAX_ENDPOINTS}"), "remove some");
    }
    services
}

/// Notes a second endpoint on a node that is declared by an event. Nodes number their endpoints as they learn of
/// them: two would have their numbers by the order of the events.
fn check_declared_later(raw: &RawScenario, file: &Table<'_>) {
    let mut seen = BTreeSet::new();
    for written in raw.services.iter().flat_map(|s| &s.endpoints).filter(|e| !given(&e.configured, true)) {
        if let Some(node) = &written.node
            && !seen.insert(node.get_ref())
        {
            let message =
                format!("node `{}` has an endpoint with `configured = false` already", node.get_ref());
            file.mistake(node.span(), message, "one on each node: name another");
        }
    }
}

/// Numbers endpoints as their nodes do: those of the configuration in its order, then those that an event declares.
fn number(services: &mut [Service]) {
    let mut next: BTreeMap<NodeName, u16> = BTreeMap::new();
    for configured in [true, false] {
        for endpoint in services.iter_mut().flat_map(|s| &mut s.endpoints) {
            if endpoint.configured == configured {
                let place = next.entry(endpoint.id.node.clone()).or_default();
                endpoint.id.slot = *place;
                *place = place.saturating_add(1);
            }
        }
    }
}

fn endpoints(raw: &RawService, nodes: &[Node], file: &Table<'_>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    if raw.endpoints.is_empty() {
        file.mistake(
            raw.span.clone(),
            "[[service]] needs at least one `endpoint`",
            "write for example endpoint = [{ node = \"n1\" }]",
        );
    }
    for written in &raw.endpoints {
        super::within(&written.latency, "latency", &(std::time::Duration::ZERO..=MAX_LATENCY), file);
        check_node(&written.node, nodes, file);
        let Some(node) = &written.node else { continue };
        if endpoints.iter().any(|e| e.id.node == *node.get_ref()) {
            file.mistake(
                node.span(),
                format!("the service has an endpoint on `{}` already", node.get_ref()),
                "one on each node: name another",
            );
        }
        let latency = given(&written.latency, std::time::Duration::ZERO);
        let configured = given(&written.configured, true);
        // Its place on the node is known when all endpoints are.
        let id = EndpointId { node: node.get_ref().clone(), slot: 0 };
        endpoints.push(Endpoint { id, latency, configured });
    }
    endpoints
}

fn listeners(raw: &RawScenario, nodes: &[Node], services: &[Service], file: &Table<'_>) -> Vec<Listener> {
    let mut names = Names::new("listener", file);
    let mut listeners = Vec::new();
    for written in &raw.listeners {
        names.declare(&written.name);
        check_node(&written.node, nodes, file);
        check_service(&written.service, services, file);
        if let (Some(name), Some(node), Some(service), Some(speaks_for)) =
            (&written.name, &written.node, &written.service, &written.speaks_for)
        {
            listeners.push(Listener {
                name: name.get_ref().clone(),
                node: node.get_ref().clone(),
                service: service.get_ref().clone(),
                speaks_for: speaks_for.get_ref().clone(),
            });
        }
    }
    listeners
}

/// Notes a node that is not declared.
pub(super) fn check_node(node: &Written<NodeName>, nodes: &[Node], file: &Table<'_>) {
    let known: Vec<_> = nodes.iter().map(|n| n.name.as_str()).collect();
    check_name("node", node.as_ref(), &known, file, NodeName::as_str);
}

/// Notes a service that is not declared.
pub(super) fn check_service(service: &Written<ServiceName>, services: &[Service], file: &Table<'_>) {
    let known: Vec<_> = services.iter().map(|s| s.name.as_str()).collect();
    check_name("service", service.as_ref(), &known, file, ServiceName::as_str);
}

fn check_name<T>(
    what: &str,
    name: Option<&Spanned<T>>,
    known: &[&str],
    file: &Table<'_>,
    text: fn(&T) -> &str,
) {
    if let Some(name) = name
        && !known.contains(&text(name.get_ref()))
    {
        unknown(what, text(name.get_ref()), known, name.span(), file);
    }
}
