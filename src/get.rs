//! `sinew get`, `delete`, `history` and `effective`: what is declared, what was, and what a node is told of it.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use comfy_table::{Table, presets};
use sinew_api::apply::{Applied, Delete, Effective, History, ResourceList};
use sinew_api::resource::{Resource, ResourceKey, Resources};
use sinew_controller_core::resources::render;
use sinew_transport_core::ids::NodeName;

use crate::apply::print_change;
use crate::client::{ApiArgs, Client};
use crate::completion;

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A kind (mesh, service, node, endpoint, listener) or a key (node/n1); repeat it for more [default: all]
    #[arg(value_name = "KIND|KEY")]
    what: Vec<String>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_GET_OUTPUT")]
    output: Format,
    #[command(flatten)]
    api: ApiArgs,
}

/// What to delete.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The key of a resource, as `sinew get` shows it; repeat it for more
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<ResourceKey>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", env = "SINEW_APPLY_MESSAGE")]
    message: String,
    /// How to print what changes
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_DELETE_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// Which past.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// How many changes to show, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, env = "SINEW_HISTORY_LIMIT")]
    limit: usize,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_HISTORY_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// Whose configuration.
#[derive(Debug, Args)]
pub(crate) struct EffectiveArgs {
    /// The node
    #[arg(add = ArgValueCompleter::new(completion::nodes))]
    node: NodeName,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_EFFECTIVE_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The keys, one a line
    Text,
    /// A file as `sinew apply` takes it
    Toml,
    /// The API's answer
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For reading
    Text,
    /// The API's answer
    Json,
}

/// Runs `sinew get`.
///
/// # Errors
/// When nothing is called that, or the controller can't be reached or refuses.
pub(crate) fn get(args: GetArgs) -> anyhow::Result<ExitCode> {
    let mut list: ResourceList = Client::find(&args.api)?.get("/v1/resources")?;
    if !args.what.is_empty() {
        list.resources = chosen(list.resources, &args.what)?;
    }
    match args.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&list)?),
        Format::Toml => print!("{}", render(&list.resources)),
        Format::Text if list.resources.is_empty() => {
            eprintln!("nothing is declared; `sinew apply -f FILE` declares")
        }
        Format::Text => list.resources.iter().for_each(|(key, _)| println!("{key}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The resources of those kinds and keys.
fn chosen(all: Resources, what: &[String]) -> anyhow::Result<Resources> {
    let mut kinds = Vec::new();
    let mut keys = Vec::new();
    for word in what {
        if let Some(kind) = ResourceKey::KINDS.iter().find(|kind| word.trim_end_matches('s') == **kind) {
            kinds.push(*kind);
            continue;
        }
        let key: ResourceKey = word.parse()?;
        if !all.contains(&key) {
            bail!("there is no {key}; `sinew get` shows what there is");
        }
        keys.push(key);
    }
    let wanted = |key: ResourceKey| kinds.contains(&key.kind()) || keys.contains(&key);
    Ok(all.into_iter().filter(|resource: &Resource| wanted(resource.key())).collect())
}

/// Runs `sinew delete`.
///
/// # Errors
/// When a key names nothing, others need it, or the controller can't be reached.
pub(crate) fn delete(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    let delete = Delete { keys: args.keys, dry_run: args.dry_run, message: args.message };
    let applied: Applied = Client::find(&args.api)?.delete("/v1/resources", &delete)?;
    match args.output {
        Output::Text => print_change(&applied),
        Output::Json => println!("{}", serde_json::to_string_pretty(&applied)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `sinew history`.
///
/// # Errors
/// When the controller can't be reached, or refuses.
pub(crate) fn history(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let mut history: History = Client::find(&args.api)?.get("/v1/history")?;
    history.changes.truncate(args.limit);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&history)?),
        Output::Text if history.changes.is_empty() => eprintln!("nothing was ever declared"),
        Output::Text => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header(["REVISION", "WHEN", "CHANGED", "WHY"]);
            for past in &history.changes {
                let (plus, minus) = (past.change.created.len(), past.change.deleted.len());
                let changed = format!("+{plus} ~{} -{minus}", past.change.updated.len());
                let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(past.at);
                let when = humantime::format_rfc3339_seconds(at).to_string();
                table.add_row([past.revision.to_string(), when, changed, past.message.clone()]);
            }
            for line in table.trim_fmt().lines() {
                println!("{}", line.trim());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `sinew effective`.
///
/// # Errors
/// When the node is not registered, or the controller can't be reached.
pub(crate) fn effective(args: EffectiveArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/nodes/{}/effective", args.node);
    let effective: Effective = Client::find(&args.api)?.get(&path)?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&effective)?),
        Output::Text => print!("{}", told(&effective)),
    }
    Ok(ExitCode::SUCCESS)
}

fn told(effective: &Effective) -> String {
    let Effective { node, acknowledged, snapshot, .. } = effective;
    let taken = if *acknowledged { "acknowledged" } else { "not acknowledged yet" };
    let granted: Vec<_> = snapshot.granted.iter().map(|service| service.as_str()).collect();
    let mut lines = vec![format!("{node}, revision {}, {taken}", snapshot.revision)];
    lines.push(format!(
        "granted {}",
        if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") }
    ));
    lines.push(format!("calls that no rule decides: {:?}", snapshot.default).to_lowercase());
    for listener in &snapshot.listeners {
        let source = listener.source.as_ref().map(|source| format!(" as {source}")).unwrap_or_default();
        lines.push(format!("listener {} to {}{source}", listener.address, listener.service));
    }
    for assigned in &snapshot.assigned {
        lines.push(format!("endpoint {} of {}", assigned.address, assigned.service));
    }
    for service in &snapshot.services {
        lines.push(format!("calls {}", service.name));
        for endpoint in &service.endpoints {
            lines.push(format!("  {}/{} weight {}", endpoint.node, endpoint.slot, endpoint.weight));
        }
    }
    for peer in &snapshot.peers {
        let addresses: Vec<_> = peer.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("peer {} at {}", peer.node, addresses.join(" ")));
    }
    lines.join("\n") + "\n"
}
