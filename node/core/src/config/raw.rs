//! The file as it was written: every known key as a typed value with its place, nothing compared yet.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::document::{Table, Written, text};
use sinew_api::hosting::HealthCheck;
use sinew_api::resource::HealthSettings;
use sinew_transport_core::{ServiceName, Zone};
use toml::Spanned;

use super::keys::{LISTEN, NODE, SERVE};

/// Shards of one node: what the largest machines have in cores for one socket each.
pub(super) const SHARDS_MAX: u16 = 64;
/// Least and most of `connect_timeout`: below, a lost packet ends it; above, callers have long given up.
const CONNECT_TIMEOUT: [Duration; 2] = [Duration::from_millis(100), Duration::from_mins(5)];
/// Least and most of `dead_after`: below, a short stall kills connections; above, the idle timeout of 30 s
/// comes first.
const DEAD_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(25)];
/// Least and most of `drain_timeout`: nothing is waited for; longer than that, nobody waits who restarts a machine.
const DRAIN_TIMEOUT: [Duration; 2] = [Duration::ZERO, Duration::from_hours(1)];
/// Least and most of `expiry_grace`: none at all; longer than a quarter, an expired certificate is no longer an
/// oversight.
const EXPIRY_GRACE: [Duration; 2] = [Duration::ZERO, Duration::from_hours(90 * 24)];
/// Most of every `max_connections`: a million of them hold 10 GB, and more descriptors than Linux gives a process.
pub(super) const CONNECTIONS_MAX: u32 = 1_000_000;
/// Least and most of `idle_timeout`: none; longer than a month, nobody remembers why a connection was ended.
const IDLE_TIMEOUT: [Duration; 2] = [Duration::ZERO, Duration::from_hours(30 * 24)];
/// Addresses of controllers: as many as a token carries.
pub(super) const CONTROLLERS_MAX: usize = 8;
/// Most of `capacity`: a million to one is no ratio that anybody measured.
pub(super) const CAPACITY_MAX: u32 = 1_000_000;
/// Labels of one endpoint: every caller's snapshot carries them, and the controller takes no more.
pub(super) const LABELS_MAX: usize = 16;
/// Addresses under which one node is reached: more than a machine has networks.
pub(super) const ADVERTISE_MAX: usize = 8;

/// The whole file.
pub(super) struct RawConfig {
    pub(super) node: RawNode,
    pub(super) listens: Vec<RawListen>,
    pub(super) serves: Vec<RawServe>,
}

/// `[node]`.
pub(super) struct RawNode {
    pub(super) state: Written<PathBuf>,
    pub(super) zone: Written<Zone>,
    pub(super) data: Written<SocketAddr>,
    pub(super) advertise: Vec<Spanned<IpAddr>>,
    pub(super) shards: Written<u16>,
    /// The inner one is none when it was switched off.
    pub(super) admin: Written<Option<SocketAddr>>,
    pub(super) access_log: Written<PathBuf>,
    pub(super) token_file: Written<PathBuf>,
    pub(super) controllers: Vec<Spanned<String>>,
    pub(super) expiry_grace: Written<Duration>,
    pub(super) connect_timeout: Written<Duration>,
    pub(super) dead_after: Written<Duration>,
    pub(super) drain_timeout: Written<Duration>,
    pub(super) max_connections: Written<u32>,
}

/// A `[[listen]]`.
pub(super) struct RawListen {
    pub(super) service: Written<ServiceName>,
    pub(super) source: Written<ServiceName>,
    pub(super) address: Written<SocketAddr>,
    pub(super) max_connections: Written<u32>,
}

/// A `[[serve]]`.
pub(super) struct RawServe {
    pub(super) span: Range<usize>,
    pub(super) service: Written<ServiceName>,
    pub(super) address: Written<SocketAddr>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) capacity: Written<u32>,
    pub(super) check: HealthCheck,
    pub(super) max_connections: Written<u32>,
    pub(super) idle_timeout: Written<Duration>,
}

/// Reads a file. `None` when there is no telling what it means.
pub(super) fn read(file: &Table<'_>) -> Option<RawConfig> {
    file.require("node");
    let node = file.table("node", NODE).map(|table| read_node(&table));
    let listens = file.tables("listen", LISTEN).iter().map(read_listen).collect();
    let serves = file.tables("serve", SERVE).iter().map(read_serve).collect();
    Some(RawConfig { node: node?, listens, serves })
}

fn read_node(table: &Table<'_>) -> RawNode {
    table.require("state");
    RawNode {
        state: table.text("state", text::path),
        zone: table.text("zone", Zone::new),
        data: table.text("data", text::socket),
        advertise: table.texts("advertise", ADVERTISE_MAX, text::ip),
        shards: table.whole("shards", 1..=SHARDS_MAX),
        admin: table.text(
            "admin",
            |text| {
                if text.is_empty() { Ok(None) } else { text::socket(text).map(Some) }
            },
        ),
        access_log: table.text("access_log", text::path),
        token_file: table.text("token_file", text::path),
        controllers: table.texts("controllers", CONTROLLERS_MAX, text::host_and_port),
        expiry_grace: table.duration("expiry_grace", EXPIRY_GRACE[0]..=EXPIRY_GRACE[1]),
        connect_timeout: table.duration("connect_timeout", CONNECT_TIMEOUT[0]..=CONNECT_TIMEOUT[1]),
        dead_after: table.duration("dead_after", DEAD_AFTER[0]..=DEAD_AFTER[1]),
        drain_timeout: table.duration("drain_timeout", DRAIN_TIMEOUT[0]..=DRAIN_TIMEOUT[1]),
        max_connections: table.whole("max_connections", 1..=CONNECTIONS_MAX),
    }
}

fn read_listen(table: &Table<'_>) -> RawListen {
    table.require("service");
    table.require("address");
    RawListen {
        service: table.text("service", ServiceName::new),
        source: table.text("as", ServiceName::new),
        address: table.text("address", text::socket),
        max_connections: table.whole("max_connections", 1..=CONNECTIONS_MAX),
    }
}

fn read_serve(table: &Table<'_>) -> RawServe {
    table.require("service");
    table.require("address");
    RawServe {
        span: table.span(),
        service: table.text("service", ServiceName::new),
        address: table.text("address", text::socket),
        labels: table.named_texts("labels", LABELS_MAX, text::label),
        capacity: table.whole("capacity", 1..=CAPACITY_MAX),
        check: HealthSettings::read(table).over(HealthCheck::default()),
        max_connections: table.whole("max_connections", 1..=CONNECTIONS_MAX),
        idle_timeout: table.duration("idle_timeout", IDLE_TIMEOUT[0]..=IDLE_TIMEOUT[1]),
    }
}
