//! `sinew status`: the mesh as its controller sees it, for a person or, with `-o json`, for a program. With
//! `--why-weights`: one service, as [`weights`] shows it. With `--watch`: again and again.

mod concerns;
mod watch;
mod weights;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use comfy_table::{Table, presets};
use serde::Serialize;
use sinew_api::control::LinkState;
use sinew_api::hosting::Health;
use sinew_api::status::{NodeStatus, Status};
use sinew_api::weights::ServiceWeights;
use sinew_transport_core::ids::ServiceName;

use crate::client::{ApiArgs, Client};
use crate::completion;

/// What to show, and how.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table", env = "SINEW_STATUS_OUTPUT")]
    output: Output,
    /// Show instead how much of each caller's traffic each endpoint of SERVICE should get, and why
    #[arg(long, value_name = "SERVICE", add = ArgValueCompleter::new(completion::services))]
    why_weights: Option<ServiceName>,
    /// Show it again every SECONDS, until Ctrl-C [default: 2]
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = watch::pause, env = "SINEW_STATUS_WATCH")]
    watch: Option<Duration>,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables for reading
    Table,
    /// The API's answer
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the controller can't be reached, or refuses.
pub(crate) fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if let Some(pause) = args.watch {
        return watch::watch(&args, pause);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    print!("{}", runtime.block_on(page(&args))?);
    Ok(ExitCode::SUCCESS)
}

/// What is shown, asked for once.
async fn page(args: &StatusArgs) -> anyhow::Result<String> {
    // Found each time: a controller that returns may be elsewhere.
    let client = Client::find(&args.api)?;
    if let Some(service) = &args.why_weights {
        let weights: ServiceWeights = client.fetch(&format!("/v1/weights/{service}")).await?;
        return match args.output {
            Output::Table => Ok(weights::render(&weights)),
            Output::Json => args.json(&weights),
        };
    }
    let status: Status = client.fetch("/v1/status").await?;
    match args.output {
        Output::Table => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(render(&status, now.as_secs()))
        }
        Output::Json => args.json(&status),
    }
}

impl StatusArgs {
    /// A document for reading; one a line for whoever watches.
    fn json(&self, document: &impl Serialize) -> anyhow::Result<String> {
        let text = match self.watch {
            Some(_) => serde_json::to_string(document)?,
            None => serde_json::to_string_pretty(document)?,
        };
        Ok(text + "\n")
    }
}

/// The whole page; `now` in seconds since 1970.
fn render(status: &Status, now: u64) -> String {
    let Status { trust_domain, controller, version, revision, .. } = status;
    let mut page = format!("{trust_domain}, controller {controller} ({version}), revision {revision}\n");
    section(
        &mut page,
        "nodes",
        "no node is registered; make a token with `sinew token create`",
        nodes(status, now),
    );
    section(&mut page, "services", "no service is hosted or called", services(status));
    section(&mut page, "links", "no links between nodes are in use", links(status));
    for node in &status.nodes {
        if let Some(rejected) = &node.rejected {
            let (name, what, why) = (&node.name, &rejected.name, &rejected.reason);
            let _ = writeln!(page, "\n{name} refused revision {}: {what}: {why}", rejected.revision);
        }
        for concern in concerns::concerns(node, now) {
            let _ = writeln!(page, "\n{concern}");
        }
    }
    page
}

fn section(page: &mut String, title: &str, empty: &str, table: Table) {
    let lines = if table.row_count() == 0 { empty.to_owned() } else { table.trim_fmt() };
    let _ = writeln!(page, "\n{title}");
    for line in lines.lines() {
        let _ = writeln!(page, "  {}", line.trim());
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn nodes(status: &Status, now: u64) -> Table {
    let mut table =
        table(&["NAME", "STATE", "ZONE", "REVISION", "CERTIFICATE", "VERSION", "ADDRESSES", "GRANTED"]);
    for node in &status.nodes {
        table.add_row([
            node.name.to_string(),
            if node.connected { "connected" } else { "lost" }.to_owned(),
            node.zone.as_ref().map_or("-".to_owned(), ToString::to_string),
            progress(node, status),
            remaining(now, node.certificate_expiry),
            node.version.clone(),
            list(&node.addresses),
            list(&node.granted),
        ]);
    }
    table
}

fn services(status: &Status) -> Table {
    let mut table = table(&["SERVICE", "ENDPOINT", "HEALTH", "CAPACITY", "LABELS", "CALLED FROM"]);
    for service in &status.services {
        let callers = list(&service.callers);
        if service.endpoints.is_empty() {
            table.add_row([service.name.as_str(), "none", "-", "-", "-", &callers]);
        }
        for endpoint in &service.endpoints {
            let labels: Vec<_> =
                endpoint.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let id = format!("{}/{}", endpoint.node, endpoint.slot);
            let health = match endpoint.health {
                Health::Starting => "starting",
                Health::Up => "up",
                Health::Down => "down",
                Health::Draining => "draining",
            };
            let capacity = endpoint.capacity.to_string();
            table.add_row([service.name.as_str(), &id, health, &capacity, &list(&labels), &callers]);
        }
    }
    table
}

fn links(status: &Status) -> Table {
    let mut table = table(&["FROM", "TO", "STATE", "ROUND TRIP"]);
    for node in &status.nodes {
        for link in node.links.iter().filter(|link| link.state != LinkState::Idle) {
            let state = match link.state {
                LinkState::Idle => "idle",
                LinkState::Connecting => "connecting",
                LinkState::Up => "up",
                LinkState::Suspect => "suspect",
                LinkState::Down => "down",
            };
            table.add_row([node.name.as_str(), link.node.as_str(), state, &round_trip(link.rtt_us)]);
        }
    }
    table
}

/// Which revision a node uses, and whether that is the newest for it.
fn progress(node: &NodeStatus, status: &Status) -> String {
    let acknowledged = node.acknowledged;
    match &node.rejected {
        Some(rejected) => format!("{acknowledged} (refused {})", rejected.revision),
        None if acknowledged == status.revision => acknowledged.to_string(),
        None => format!("{acknowledged} (behind)"),
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    match items {
        [] => "-".to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn round_trip(us: u64) -> String {
    match us {
        0 => "-".to_owned(),
        us if us < 1000 => format!("{us} µs"),
        us => format!("{}.{} ms", us / 1000, us % 1000 / 100),
    }
}

/// How long a certificate still lasts, in its two largest units.
fn remaining(now: u64, expiry: u64) -> String {
    match expiry.checked_sub(now) {
        Some(0) => "expires now".to_owned(),
        Some(left) => format!("expires in {}", span(left)),
        None => format!("expired {} ago", span(now - expiry)),
    }
}

pub(crate) fn span(seconds: u64) -> String {
    let units =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown = units.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
    shown.map(|(n, unit)| format!("{n}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn status() -> Status {
        let node = |name: &str, connected: bool, acknowledged: u64, rejected: serde_json::Value| {
            json!({
                "name": name, "zone": "eu-1", "connected": connected, "version": "0.1.0",
                "addresses": ["10.0.0.1:7410"], "granted": ["web", "orders"],
                "certificateExpiry": NOW + 86_000, "acknowledged": acknowledged, "rejected": rejected,
                "links": [
                    {"node": "n9", "state": "suspect", "rttUs": 1250},
                    {"node": "n8", "state": "idle", "rttUs": 0},
                ],
            })
        };
        let rejected = json!({"revision": 7, "name": "service orders", "reason": "no room"});
        serde_json::from_value(json!({
            "apiVersion": "sinew/v1", "trustDomain": "mesh.local", "controller": "c1", "version": "0.1.0",
            "revision": 7,
            "nodes": [node("n1", true, 7, json!(null)), node("n2", false, 6, json!(null)), node("n3", true, 6, rejected)],
            "services": [
                {"name": "orders", "endpoints": [{"node": "n1", "slot": 0, "labels": {"version": "v1"}, "capacity": 100, "health": "down"}], "callers": ["n2"]},
                {"name": "stock", "endpoints": [], "callers": ["n1"]},
            ],
        }))
        .expect("a status")
    }

    fn row(page: &str, beginning: &[&str]) -> bool {
        page.lines().any(|line| {
            line.split_whitespace().zip(beginning).filter(|(a, b)| a == *b).count() == beginning.len()
        })
    }

    #[test]
    fn the_page_shows_nodes_services_and_links_in_use() {
        let page = render(&status(), NOW);

        assert!(page.starts_with("mesh.local, controller c1 (0.1.0), revision 7\n"), "{page}");
        assert!(row(&page, &["n1", "connected", "eu-1", "7", "expires", "in", "23h", "53m"]), "{page}");
        assert!(row(&page, &["n2", "lost", "eu-1", "6", "(behind)"]), "{page}");
        assert!(row(&page, &["n3", "connected", "eu-1", "6", "(refused", "7)"]), "{page}");
        assert!(row(&page, &["orders", "n1/0", "down", "100", "version=v1", "n2"]), "{page}");
        assert!(row(&page, &["stock", "none", "-", "-", "-", "n1"]), "{page}");
        assert!(row(&page, &["n1", "n9", "suspect", "1.2", "ms"]), "{page}");
        assert!(!page.contains("n8"), "idle links are nobody's concern: {page}");
        assert!(page.contains("n3 refused revision 7: service orders: no room"), "{page}");
    }

    #[test]
    fn an_empty_mesh_says_what_to_do() {
        let empty = Status { nodes: Vec::new(), services: Vec::new(), ..status() };

        assert!(render(&empty, NOW).contains("sinew token create"));
    }

    #[test]
    fn the_life_of_a_certificate_is_told_in_two_units() {
        for (seconds, shown) in [
            (59, "expires in 59s"),
            (60, "expires in 1m"),
            (3_599, "expires in 59m 59s"),
            (3_605, "expires in 1h"),
            (86_399, "expires in 23h 59m"),
            (200_000, "expires in 2d 7h"),
            (0, "expires now"),
        ] {
            assert_eq!(remaining(NOW, NOW + seconds), shown);
        }
        assert_eq!(remaining(NOW, NOW - 61), "expired 1m 1s ago");
    }
}
