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
use super::keys::{ENDPOINT, LISTENER, MESH, NODE, SERVICE};
use crate::registration::MAX_LABELS;

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
    /// Which of the files.
    file: usize,
    table: Range<usize>,
    /// By name; an item of a list is `grants.orders`.
    fields: Fields,
}

type Fields = BTreeMap<String, Range<usize>>;

impl Places {
    /// Where a fault stands, file and span: at its field, else at what it collides with. None: not in these files.
    pub(super) fn of(&self, fault: &Fault) -> Option<(usize, Range<usize>)> {
        let own = self.field(&fault.key, &fault.field);
        own.or_else(|| fault.beside.as_ref().and_then(|(key, field)| self.field(key, field)))
    }

    fn field(&self, key: &ResourceKey, field: &str) -> Option<(usize, Range<usize>)> {
        let place = self.0.get(key)?;
        let whole = field.split('.').next().unwrap_or(field);
        let found = place.fields.get(field).or_else(|| place.fields.get(whole));
        Some((place.file, found.unwrap_or(&place.table).clone()))
    }
}

/// Reads every table of the files. `base` is what stays beside them: an endpoint may rely on the port of a service
/// there.
pub(super) fn read(files: &[Table<'_>], base: &Resources) -> Draft {
    let mut draft = Draft::default();
    let tables = |key: &'static str, keys: &'static [Key]| {
        files
            .iter()
            .enumerate()
            .flat_map(move |(at, file)| file.tables(key, keys).into_iter().map(move |t| (at, t)))
    };
    for (at, table) in files.iter().enumerate().filter_map(|(at, file)| Some((at, file.table("mesh", MESH)?)))
    {
        let default_policy = table.text("default_policy", text::policy).map(|p| p.into_inner());
        draft.add(at, &table, MESH, Some(Resource::Mesh(MeshSettings { default_policy })), Fields::new());
    }
    for (at, table) in tables("service", SERVICE) {
        draft.add(at, &table, SERVICE, service(&table).map(Resource::Service), Fields::new());
    }
    for (at, table) in tables("node", NODE) {
        let (node, grants) = node(&table).unzip();
        draft.add(at, &table, NODE, node.map(Resource::Node), grants.unwrap_or_default());
    }
    for (at, table) in tables("endpoint", ENDPOINT) {
        let endpoint = endpoint(&table, &draft, base);
        draft.add(at, &table, ENDPOINT, endpoint.map(Resource::Endpoint), Fields::new());
    }
    for (at, table) in tables("listener", LISTENER) {
        draft.add(at, &table, LISTENER, listener(&table).map(Resource::Listener), Fields::new());
    }
    draft
}

impl Draft {
    /// Takes what was read from a table of a file; `items` are the places of items in its lists.
    fn add(
        &mut self,
        file: usize,
        table: &Table<'_>,
        keys: &[Key],
        resource: Option<Resource>,
        items: Fields,
    ) {
        let Some(resource) = resource else { return };
        let key = resource.key();
        if self.resources.contains(&key) {
            let message = format!("`{key}` is declared already, above or in another file");
            return table.mistake(table.span(), message, "remove one of them, or name it differently");
        }
        if table.is_flawed() {
            self.flawed.insert(key.clone());
        }
        let place = |key: &Key| Some((key.name().to_owned(), table.value(key.name())?.span()));
        let fields = keys.iter().filter_map(place).chain(items).collect();
        self.places.0.insert(key, Place { file, table: table.span(), fields });
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
    let health = HealthSettings::read(table);
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

/// A node, and where each of its grants stands.
fn node(table: &Table<'_>) -> Option<(Node, Fields)> {
    table.require("name");
    let name = table.text("name", NodeName::new);
    let zone = table.text("zone", Zone::new).map(|zone| zone.into_inner());
    let labels = table.named_texts("labels", MAX_LABELS, text::label);
    let listed = table.texts("grants", MAX_GRANTS, ServiceName::new);
    let items = listed.iter().map(|grant| (format!("grants.{}", grant.get_ref()), grant.span())).collect();
    let grants = table.value("grants").map(|_| listed.into_iter().map(|grant| grant.into_inner()).collect());
    Some((Node { name: name?.into_inner(), zone, labels, grants }, items))
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
    let health = HealthSettings::read(table);
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
