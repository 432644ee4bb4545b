//! Resources as a file says them: tables of TOML to a set, with the place of every field.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use sinew_api::document::{Key, Table, Written, did_you_mean, text};
use sinew_api::resource::{
    Endpoint, HealthSettings, Listener, MeshSettings, Node, Protocol, Resource, ResourceKey, Resources,
    Service,
};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

use super::check::{Fault, MAX_GRANTS};
use crate::registration::MAX_LABELS;

/// The tables of a file.
pub(super) const KEYS: &[Key] = &[
    Key::new("mesh", "[mesh]"),
    Key::new("service", "[[service]]"),
    Key::new("node", "[[node]]"),
    Key::new("endpoint", "[[endpoint]]"),
    Key::new("listener", "[[listener]]"),
];
const MESH: &[Key] = &[Key::new("default_policy", "default_policy = \"deny\"")];
const SERVICE: &[Key] = &[
    Key::new("name", "name = \"orders\", or \"orders.shop\" in the namespace shop"),
    Key::new("namespace", "namespace = \"shop\""),
    Key::new("protocol", "protocol = \"tcp\""),
    Key::new("port", "port = 8080, where its endpoints listen"),
    Key::new("health", "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }"),
];
const NODE: &[Key] = &[
    Key::new("name", "name = \"n1\""),
    Key::new("zone", "zone = \"eu-1\""),
    Key::new("labels", "labels = { rack = \"r7\" }"),
    Key::new("grants", "grants = [\"orders\"], the services that it may host and speak for"),
];
const ENDPOINT: &[Key] = &[
    Key::new("node", "node = \"n1\""),
    Key::new("service", "service = \"orders\""),
    Key::new("address", "address = \"127.0.0.1:8080\", an IP address and a port"),
    Key::new("labels", "labels = { version = \"v1\" }"),
    Key::new("capacity", "capacity = 100"),
    Key::new("health", "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }"),
];
const LISTENER: &[Key] = &[
    Key::new("node", "node = \"n1\""),
    Key::new("address", "address = \"127.0.0.1:5001\", an IP address and a port"),
    Key::new("service", "service = \"orders\", the service that is called there"),
    Key::new("as", "as = \"web\", the service that calls"),
];
const HEALTH: &[Key] = &[
    Key::new("interval", "interval = \"1s\", or \"0s\" for no checks"),
    Key::new("timeout", "timeout = \"1s\""),
    Key::new("rise", "rise = 1"),
    Key::new("fall", "fall = 2"),
];

/// What a file says, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) resources: Resources,
    pub(super) places: Places,
    /// Resources with mistakes: what is missing in them may be what could not be read.
    pub(super) flawed: BTreeSet<ResourceKey>,
}

/// Where each resource and each of its fields stands.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<ResourceKey, Place>);

#[derive(Debug)]
struct Place {
    table: Range<usize>,
    /// By name; an item of a list is `grants.orders`.
    fields: BTreeMap<String, Range<usize>>,
}

impl Places {
    /// Whether a resource in the file takes part in this fault.
    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.of(fault).is_some()
    }

    /// Where a fault stands: at its field, else at what it collides with.
    pub(super) fn of(&self, fault: &Fault) -> Option<Range<usize>> {
        let own = self.field(&fault.key, &fault.field);
        own.or_else(|| fault.beside.as_ref().and_then(|(key, field)| self.field(key, field)))
    }

    fn field(&self, key: &ResourceKey, field: &str) -> Option<Range<usize>> {
        let place = self.0.get(key)?;
        let whole = field.split('.').next().unwrap_or(field);
        let found = place.fields.get(field).or_else(|| place.fields.get(whole));
        Some(found.unwrap_or(&place.table).clone())
    }
}

/// Reads every table. `base` is what stays beside the file: an endpoint may rely on the port of a service there.
pub(super) fn read(file: &Table<'_>, base: &Resources) -> Draft {
    let mut draft = Draft::default();
    if let Some(table) = file.table("mesh", MESH) {
        let default_policy = table.text("default_policy", text::policy).map(|p| p.into_inner());
        draft.add(&table, MESH, Resource::Mesh(MeshSettings { default_policy }));
    }
    for table in file.tables("service", SERVICE) {
        let service = service(&table);
        draft.add_some(&table, SERVICE, service.map(Resource::Service));
    }
    for table in file.tables("node", NODE) {
        let node = node(&table, &mut draft);
        draft.add_some(&table, NODE, node.map(Resource::Node));
    }
    for table in file.tables("endpoint", ENDPOINT) {
        let endpoint = endpoint(&table, &draft, base);
        draft.add_some(&table, ENDPOINT, endpoint.map(Resource::Endpoint));
    }
    for table in file.tables("listener", LISTENER) {
        let listener = listener(&table);
        draft.add_some(&table, LISTENER, listener.map(Resource::Listener));
    }
    draft
}

impl Draft {
    fn add_some(&mut self, table: &Table<'_>, keys: &[Key], resource: Option<Resource>) {
        if let Some(resource) = resource {
            self.add(table, keys, resource);
        }
    }

    fn add(&mut self, table: &Table<'_>, keys: &[Key], resource: Resource) {
        let key = resource.key();
        if self.resources.contains(&key) {
            let message = format!("`{key}` is declared above already");
            return table.mistake(table.span(), message, "remove one of them, or name it differently");
        }
        if table.is_flawed() {
            self.flawed.insert(key.clone());
        }
        let named =
            keys.iter().filter_map(|key| Some((key.name().to_owned(), table.value(key.name())?.span())));
        let place =
            self.places.0.entry(key).or_insert_with(|| Place { table: 0..0, fields: BTreeMap::new() });
        place.table = table.span();
        place.fields.extend(named);
        self.resources.insert(resource);
    }
}

fn service(table: &Table<'_>) -> Option<Service> {
    table.require("name");
    let name = table.text("name", ServiceName::new);
    let namespace =
        table.text("namespace", |text| ServiceName::new(&format!("x.{text}")).map(|_| text.to_owned()));
    let protocol = table.text("protocol", protocol).map(|p| p.into_inner()).unwrap_or_default();
    let port = table.whole("port", 0..=u16::MAX).map(|p| p.into_inner());
    let health = health(table);
    let mut name = name?.into_inner();
    if let Some(namespace) = namespace {
        let whole = ServiceName::new(&format!("{}.{}", name.name(), namespace.get_ref())).ok()?;
        if name.as_str() != name.name() && name != whole {
            let message = format!("`namespace`: the name says `{}` already", name.namespace());
            table.mistake(namespace.span(), message, "write the namespace once");
        }
        name = whole;
    }
    Some(Service { name, protocol, port, health })
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" | "http" | "grpc" => Err(format!("`{text}` is not supported yet, only `tcp` is")),
        _ => Err(format!("`{}` is no protocol", text.escape_debug())),
    }
}

fn node(table: &Table<'_>, draft: &mut Draft) -> Option<Node> {
    table.require("name");
    let name = table.text("name", NodeName::new);
    let zone = table.text("zone", Zone::new).map(|zone| zone.into_inner());
    let labels = table.named_texts("labels", MAX_LABELS, text::label);
    let listed = table.texts("grants", MAX_GRANTS, ServiceName::new);
    let name = name?.into_inner();
    draft.places.0.entry(ResourceKey::Node(name.clone())).or_insert_with(|| {
        let items = listed.iter().map(|grant| (format!("grants.{}", grant.get_ref()), grant.span()));
        Place { table: table.span(), fields: items.collect() }
    });
    let grants = table.value("grants").map(|_| listed.into_iter().map(|grant| grant.into_inner()).collect());
    Some(Node { name, zone, labels, grants })
}

fn endpoint(table: &Table<'_>, draft: &Draft, base: &Resources) -> Option<Endpoint> {
    table.require("node");
    table.require("service");
    let node = table.text("node", NodeName::new);
    let service = table.text("service", ServiceName::new);
    let address = match table.value("address") {
        Some(_) => table.text("address", text::socket).map(|address| address.into_inner()),
        None => default_address(table, &service, draft, base),
    };
    let labels = table.named_texts("labels", MAX_LABELS, text::label);
    let capacity = table.whole("capacity", 0..=u32::MAX).map(|capacity| capacity.into_inner());
    let health = health(table);
    let (node, service) = (node?.into_inner(), service?.into_inner());
    Some(Endpoint { node, service, address: address?, labels, capacity, health })
}

/// Where an endpoint listens that does not say so: at the port of its service.
fn default_address(
    table: &Table<'_>,
    service: &Written<ServiceName>,
    draft: &Draft,
    base: &Resources,
) -> Option<SocketAddr> {
    let (name, span) = (service.as_ref()?.get_ref(), service.as_ref()?.span());
    let key = ResourceKey::Service(name.clone());
    let Some(found) = draft.resources.service(name).or_else(|| base.service(name)) else {
        let known = draft.resources.services().chain(base.services()).map(|service| service.name.as_str());
        let help =
            did_you_mean(name.as_str(), known, "say where it listens with `address`, or declare one of");
        let message = format!("`service`: `{name}` is not declared, so its port is not known");
        table.mistake(span, message, help);
        return None;
    };
    if found.port.is_none() && !draft.flawed.contains(&key) {
        let message = format!("{} has no `address`, and `{name}` has no `port`", table.title());
        table.mistake(table.span(), message, table.example("address"));
    }
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, found.port?)))
}

fn listener(table: &Table<'_>) -> Option<Listener> {
    for key in ["node", "service", "address"] {
        table.require(key);
    }
    let node = table.text("node", NodeName::new);
    let service = table.text("service", ServiceName::new);
    let source = table.text("as", ServiceName::new).map(|source| source.into_inner());
    let address = table.text("address", text::socket);
    Some(Listener {
        node: node?.into_inner(),
        address: address?.into_inner(),
        service: service?.into_inner(),
        source,
    })
}

fn health(table: &Table<'_>) -> HealthSettings {
    let Some(table) = table.table("health", HEALTH) else { return HealthSettings::default() };
    HealthSettings {
        interval_ms: table.text("interval", milliseconds).map(|time| time.into_inner()),
        timeout_ms: table.text("timeout", milliseconds).map(|time| time.into_inner()),
        rise: table.whole("rise", 0..=u8::MAX).map(|times| times.into_inner()),
        fall: table.whole("fall", 0..=u8::MAX).map(|times| times.into_inner()),
    }
}

fn milliseconds(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).map_err(|e| format!("`{}`: {e}", text.escape_debug()))?;
    if time.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{text} is no whole number of milliseconds"));
    }
    u32::try_from(time.as_millis()).map_err(|_| format!("{text} is too long"))
}
