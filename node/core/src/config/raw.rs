//! The file as it was written: every known key as a typed value with its place, nothing compared yet.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::hosting::HealthCheck;
use sinew_transport_core::{ServiceName, Zone};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Mistakes;
use super::health::read_health;
pub(super) use super::reader::Key;
use super::reader::Table;

/// Longest file that is read, about ten thousand listeners: this is a file that people write.
const FILE_MAX: usize = 1024 * 1024;
/// Shards of one node: what the largest machines have in cores for one socket each.
const SHARDS_MAX: u16 = 64;
/// Least and most of `connect_timeout`: below, a lost packet ends it; above, callers have long given up.
const CONNECT_TIMEOUT: [Duration; 2] = [Duration::from_millis(100), Duration::from_mins(5)];
/// Least and most of `dead_after`: below, a short stall kills connections; above, the idle timeout of 30 s
/// comes first.
const DEAD_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(25)];
/// Most of `capacity`: a million to one is no ratio that anybody measured.
const CAPACITY_MAX: u32 = 1_000_000;
/// Labels of one endpoint, and the longest key or value of one: every caller's snapshot carries them.
const LABELS_MAX: usize = 32;
const LABEL_LEN_MAX: usize = 63;

macro_rules! keys {
    ($($name:literal => $example:literal),* $(,)?) => { &[$(Key { name: $name, example: $example }),*] };
}
pub(super) use keys;

const FILE_KEYS: &[Key] = keys! {
    "node" => "[node]",
    "listen" => "[[listen]]",
    "serve" => "[[serve]]",
};
const NODE_KEYS: &[Key] = keys! {
    "state" => "state = \"/var/lib/sinew/node\"",
    "zone" => "zone = \"eu-1\"",
    "data" => "data = \"0.0.0.0:7410\", an IP address and a port",
    "advertise" => "advertise = [\"10.0.0.5\"], IP addresses without ports",
    "shards" => "shards = 2",
    "admin" => "admin = \"127.0.0.1:7403\", or \"\" to switch it off",
    "access_log" => "access_log = \"/var/log/sinew/access.log\"",
    "token_file" => "token_file = \"/run/sinew/token\"",
    "connect_timeout" => "connect_timeout = \"10s\"",
    "dead_after" => "dead_after = \"10s\"",
};
const LISTEN_KEYS: &[Key] = keys! {
    "service" => "service = \"orders\", the service that is called here",
    "as" => "as = \"web\", the service that calls",
    "address" => "address = \"127.0.0.1:5001\", an IP address and a port",
};
const SERVE_KEYS: &[Key] = keys! {
    "service" => "service = \"orders\", the service that runs there",
    "address" => "address = \"127.0.0.1:8080\", an IP address and a port",
    "labels" => "labels = { version = \"v1\" }",
    "capacity" => "capacity = 100",
    "health" => "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }, or health = false",
};

/// The whole file.
pub(super) struct RawConfig {
    pub(super) node: RawNode,
    pub(super) listens: Vec<RawListen>,
    pub(super) serves: Vec<RawServe>,
}

/// `[node]`.
pub(super) struct RawNode {
    pub(super) state: Option<Spanned<PathBuf>>,
    pub(super) zone: Option<Spanned<Zone>>,
    pub(super) data: Option<Spanned<SocketAddr>>,
    pub(super) advertise: Vec<Spanned<IpAddr>>,
    pub(super) shards: Option<Spanned<u16>>,
    /// The inner one is none when it was switched off.
    pub(super) admin: Option<Spanned<Option<SocketAddr>>>,
    pub(super) access_log: Option<Spanned<PathBuf>>,
    pub(super) token_file: Option<Spanned<PathBuf>>,
    pub(super) connect_timeout: Option<Spanned<Duration>>,
    pub(super) dead_after: Option<Spanned<Duration>>,
}

/// A `[[listen]]`.
pub(super) struct RawListen {
    pub(super) service: Option<Spanned<ServiceName>>,
    pub(super) source: Option<Spanned<ServiceName>>,
    pub(super) address: Option<Spanned<SocketAddr>>,
}

/// A `[[serve]]`.
pub(super) struct RawServe {
    pub(super) span: Range<usize>,
    pub(super) service: Option<Spanned<ServiceName>>,
    pub(super) address: Option<Spanned<SocketAddr>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) capacity: Option<Spanned<u32>>,
    pub(super) check: HealthCheck,
}

/// Reads a file. `None` when there is no telling what it means.
pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> Option<RawConfig> {
    if text.len() > FILE_MAX {
        let message = format!("the file has {} bytes, at most {FILE_MAX} are read", text.len());
        mistakes.add(0..0, message, "is this the right file?");
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let help = "the file must be TOML: strings in quotes, lists in [], one key = value a line";
        mistakes.add(error.span().unwrap_or(0..0), error.message().trim_end(), help);
    }
    if !errors.is_empty() {
        return None;
    }

    let file = Table::new("the file", FILE_KEYS, 0..0, document.get_ref(), mistakes);
    file.require("node", mistakes);
    let node = match file.value("node") {
        Some(value) => match value.get_ref() {
            DeValue::Table(entries) => {
                Some(read_node(&Table::new("[node]", NODE_KEYS, value.span(), entries, mistakes), mistakes))
            }
            _ => {
                file.wrong_type("node", "a table", value, mistakes);
                None
            }
        },
        None => None,
    };
    let listens = tables(&file, "listen", "[[listen]]", LISTEN_KEYS, read_listen, mistakes);
    let serves = tables(&file, "serve", "[[serve]]", SERVE_KEYS, read_serve, mistakes);
    Some(RawConfig { node: node?, listens, serves })
}

/// Every table of a list of tables.
fn tables<T>(
    file: &Table<'_>,
    key: &'static str,
    title: &'static str,
    keys: &'static [Key],
    read: fn(&Table<'_>, &mut Mistakes) -> T,
    mistakes: &mut Mistakes,
) -> Vec<T> {
    let Some(value) = file.value(key) else { return Vec::new() };
    let DeValue::Array(items) = value.get_ref() else {
        file.wrong_type(key, "a list of tables", value, mistakes);
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items.iter() {
        match item.get_ref() {
            DeValue::Table(entries) => {
                found.push(read(&Table::new(title, keys, item.span(), entries, mistakes), mistakes));
            }
            _ => file.wrong_type(key, "a list of tables", item, mistakes),
        }
    }
    found
}

fn read_node(table: &Table<'_>, mistakes: &mut Mistakes) -> RawNode {
    table.require("state", mistakes);
    RawNode {
        state: table.text("state", mistakes, path),
        zone: table.text("zone", mistakes, Zone::new),
        data: table.text("data", mistakes, socket),
        advertise: table.texts("advertise", mistakes, ip),
        shards: table.number("shards", 1..=SHARDS_MAX, mistakes),
        admin: table.text(
            "admin",
            mistakes,
            |text| {
                if text.is_empty() { Ok(None) } else { socket(text).map(Some) }
            },
        ),
        access_log: table.text("access_log", mistakes, path),
        token_file: table.text("token_file", mistakes, path),
        connect_timeout: table.duration("connect_timeout", CONNECT_TIMEOUT[0]..=CONNECT_TIMEOUT[1], mistakes),
        dead_after: table.duration("dead_after", DEAD_AFTER[0]..=DEAD_AFTER[1], mistakes),
    }
}

fn read_listen(table: &Table<'_>, mistakes: &mut Mistakes) -> RawListen {
    table.require("service", mistakes);
    table.require("address", mistakes);
    RawListen {
        service: table.text("service", mistakes, ServiceName::new),
        source: table.text("as", mistakes, ServiceName::new),
        address: table.text("address", mistakes, socket),
    }
}

fn read_serve(table: &Table<'_>, mistakes: &mut Mistakes) -> RawServe {
    table.require("service", mistakes);
    table.require("address", mistakes);
    RawServe {
        span: table.span(),
        service: table.text("service", mistakes, ServiceName::new),
        address: table.text("address", mistakes, socket),
        labels: read_labels(table, mistakes),
        capacity: table.number("capacity", 1..=CAPACITY_MAX, mistakes),
        check: read_health(table, mistakes),
    }
}

fn read_labels(table: &Table<'_>, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    let Some(value) = table.value("labels") else { return BTreeMap::new() };
    let expected = "a table of strings";
    let DeValue::Table(entries) = value.get_ref() else {
        table.wrong_type("labels", expected, value, mistakes);
        return BTreeMap::new();
    };
    if entries.len() > LABELS_MAX {
        let message = format!("`labels`: {} labels, an endpoint has at most {LABELS_MAX}", entries.len());
        mistakes.add(value.span(), message, "keep those that traffic is split by");
    }
    let mut labels = BTreeMap::new();
    for (key, value) in entries {
        if let Err(error) = label(key.get_ref()) {
            mistakes.add(key.span(), format!("`labels`: {error}"), table.example("labels"));
        }
        if let Some(text) = table.text_of("labels", expected, value, mistakes, label) {
            labels.insert(key.get_ref().to_string(), text.into_inner());
        }
    }
    labels
}

fn label(text: &str) -> Result<String, String> {
    if (1..=LABEL_LEN_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(LABEL_LEN_MAX).collect();
    Err(format!("`{}` must be 1 to {LABEL_LEN_MAX} visible ASCII characters", shown.escape_debug()))
}

fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') { Err("is not a path") } else { Ok(text.into()) }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() => format!("`{text}` has no port"),
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => {
            format!("`{}` is not a port from 0 to 65535", port.escape_debug())
        }
        _ => format!("`{}` is not an IP address and a port; names are not resolved", text.escape_debug()),
    })
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| match text.parse::<SocketAddr>() {
        Ok(socket) => format!("`{text}` has a port; write only `{}`", socket.ip()),
        Err(_) => format!("`{}` is not an IP address", text.escape_debug()),
    })
}
