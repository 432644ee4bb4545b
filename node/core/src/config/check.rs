//! Values held against each other: what is right alone and wrong together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sinew_api::document::Table;
use sinew_api::hosting::CAPACITY_DEFAULT;
use sinew_api::sockets::{is_dialable, overlap};
use toml::Spanned;

use super::raw::{RawConfig, RawListen, RawNode, RawServe};
use super::{Config, ListenConfig, ServeConfig, ServeLimits};
use crate::mechanisms::Mechanisms;

const DATA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7410);
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7403);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Half a minute is what most requests need at most, and what service managers wait at least.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle connection costs the node some 10 KiB and a descriptor or two: a quarter of a gigabyte is what a host can
/// spare. Envoy has no such limit, and its documentation asks operators to set one.
const CONNECTIONS: u32 = 25_000;
/// As many as the streams that one peer may have: a flood at one listener, or one slow service, leaves room to the others.
pub(super) const ENTRY_CONNECTIONS: u32 = 10_000;
/// A week is a long holiday of a small team.
const EXPIRY_GRACE: Duration = Duration::from_hours(7 * 24);

/// Listeners of one node: each is a socket, and the usual limit of open files is 1024.
const LISTENS_MAX: usize = 512;
/// Endpoints of one node: each has a slot, and every caller's snapshot holds it.
const SERVES_MAX: usize = 512;

/// Makes a [`Config`]; whatever is wrong is told to `file`, here or before.
pub(super) fn check(raw: RawConfig, file: &Table<'_>) -> Option<Config> {
    check_node(&raw.node, file);
    check_tcp_addresses(&raw, file);
    check_serves(&raw.serves, &raw.listens, file);

    let RawConfig { node, listens, serves } = raw;
    Some(Config {
        state: node.state?.into_inner(),
        zone: node.zone.map(Spanned::into_inner),
        data: node.data.map_or(DATA, Spanned::into_inner),
        advertise: node.advertise.into_iter().map(Spanned::into_inner).collect(),
        shards: node.shards.map(Spanned::into_inner),
        admin: node.admin.map_or(Some(ADMIN), Spanned::into_inner),
        access_log: node.access_log.map(Spanned::into_inner),
        token_file: node.token_file.map(Spanned::into_inner),
        controllers: node.controllers.into_iter().map(Spanned::into_inner).collect(),
        expiry_grace: node.expiry_grace.map_or(EXPIRY_GRACE, Spanned::into_inner),
        connect_timeout: node.connect_timeout.map_or(CONNECT_TIMEOUT, Spanned::into_inner),
        dead_after: node.dead_after.map_or(sinew_transport_core::link::DEAD_AFTER, Spanned::into_inner),
        drain_timeout: node.drain_timeout.map_or(DRAIN_TIMEOUT, Spanned::into_inner),
        max_connections: node.max_connections.map_or(CONNECTIONS, Spanned::into_inner),
        listens: listens.into_iter().map(into_listen).collect::<Option<_>>()?,
        serves: serves.into_iter().map(into_serve).collect::<Option<_>>()?,
        mechanisms: Mechanisms::default(),
    })
}

fn into_listen(raw: RawListen) -> Option<ListenConfig> {
    Some(ListenConfig {
        service: raw.service?.into_inner(),
        source: raw.source.map(Spanned::into_inner),
        address: raw.address?.into_inner(),
        max_connections: raw.max_connections.map_or(ENTRY_CONNECTIONS, Spanned::into_inner),
    })
}

fn into_serve(raw: RawServe) -> Option<ServeConfig> {
    let (service, address) = (raw.service?.into_inner(), raw.address?.into_inner());
    let capacity = raw.capacity.map_or(CAPACITY_DEFAULT, Spanned::into_inner);
    let connections = raw.max_connections.map_or(ENTRY_CONNECTIONS, Spanned::into_inner);
    let idle = raw.idle_timeout.map(Spanned::into_inner).filter(|idle| !idle.is_zero());
    let limits = ServeLimits { connections, idle };
    Some(ServeConfig { service, address, labels: raw.labels, capacity, check: raw.check, limits })
}

fn check_node(node: &RawNode, file: &Table<'_>) {
    if let Some(data) = &node.data {
        let shards = node.shards.as_ref().map_or(1, |shards| *shards.get_ref());
        let port = data.get_ref().port();
        if port != 0 && port.checked_add(shards - 1).is_none() {
            let message = format!("`data`: {shards} shards from port {port} on do not fit below 65536");
            file.mistake(data.span(), message, "take a lower port, or fewer shards");
        }
    }
    if let Some(admin) = &node.admin
        && let Some(address) = admin.get_ref()
        && !address.ip().is_loopback()
    {
        let message = format!(
            "`admin`: {address} is not on loopback, and what is served there asks nobody who they are"
        );
        file.mistake(admin.span(), message, format!("write 127.0.0.1:{} or [::1]:{0}", address.port()));
    }
    for (index, address) in node.advertise.iter().enumerate() {
        let ip = address.get_ref();
        if ip.is_unspecified() || ip.is_multicast() {
            let help = "write an address of this machine, or leave `advertise` out";
            file.mistake(address.span(), format!("`advertise`: nobody can dial {ip}"), help);
        }
        if node.advertise[..index].iter().any(|earlier| earlier.get_ref() == ip) {
            file.mistake(address.span(), format!("`advertise`: {ip} is listed twice"), "remove one of them");
        }
    }
}

/// Listeners and the admin socket: no two of them can be bound at one address.
fn check_tcp_addresses(raw: &RawConfig, file: &Table<'_>) {
    if let Some(one_too_many) = raw.listens.get(LISTENS_MAX).and_then(|listen| listen.address.as_ref()) {
        let message = format!("more than {LISTENS_MAX} listeners");
        file.mistake(one_too_many.span(), message, "divide them among several nodes");
        return;
    }
    let admin = match &raw.node.admin {
        Some(admin) => *admin.get_ref(),
        None => Some(ADMIN),
    };
    let addresses: Vec<_> = raw.listens.iter().filter_map(|listen| listen.address.as_ref()).collect();
    for (index, address) in addresses.iter().enumerate() {
        let wanted = address.get_ref();
        if addresses[..index].iter().any(|earlier| overlap(earlier.get_ref(), wanted)) {
            let message = format!("`address`: another [[listen]] above takes {wanted} already");
            file.mistake(address.span(), message, "give each listener a port of its own");
        }
        if admin.is_some_and(|admin| overlap(&admin, wanted)) {
            let message = format!("`address`: {wanted} is taken by `admin` of [node]");
            file.mistake(address.span(), message, "take another port, or set `admin` in [node]");
        }
    }
}

fn check_serves(serves: &[RawServe], listens: &[RawListen], file: &Table<'_>) {
    if let Some(one_too_many) = serves.get(SERVES_MAX) {
        let message = format!("more than {SERVES_MAX} services behind one node");
        file.mistake(one_too_many.span.clone(), message, "divide them among several nodes");
        return;
    }
    for (index, serve) in serves.iter().enumerate() {
        let Some(address) = &serve.address else { continue };
        let target = address.get_ref();
        if !is_dialable(target) {
            let message = format!("`address`: nothing can be reached at {target}");
            file.mistake(address.span(), message, "write where the service listens, e.g. 127.0.0.1:8080");
        }
        let listeners = listens.iter().filter_map(|listen| listen.address.as_ref());
        if listeners.into_iter().any(|listener| overlap(listener.get_ref(), target)) {
            let message =
                format!("`address`: {target} is a [[listen]] of this node: calls would go in circles");
            file.mistake(address.span(), message, "write where the service itself listens");
        }
        let same = |earlier: &&RawServe| {
            let service = |serve: &RawServe| serve.service.as_ref().map(|s| s.get_ref().clone());
            earlier.address.as_ref().is_some_and(|earlier| earlier.get_ref() == target)
                && service(earlier).is_some()
                && service(earlier) == service(serve)
        };
        if serves[..index].iter().any(|earlier| same(&earlier)) {
            let message = format!("`address`: another [[serve]] above has this service at {target} already");
            file.mistake(address.span(), message, "remove one of them");
        }
    }
}
