//! `sinew completion SHELL`: a script by which a shell completes commands, flags, and names of nodes and services.
//!
//! The script asks this program at every Tab ([`answer`]), since only it knows who is there: the node on this machine
//! for peers, the controller for the rest, both found as commands find them without options. Whoever does not answer at
//! once leaves the line as it is.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use serde::de::DeserializeOwned;
use sinew_api::admin::{NodeEndpoints, NodeLinks};
use sinew_api::status::Status;

use crate::client::Client;

/// Set by the script when it asks.
const VARIABLE: &str = "SINEW_COMPLETE";

/// How long a person who pressed Tab waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// Which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// When it can't be written.
pub(crate) fn run(args: CompletionArgs) -> anyhow::Result<ExitCode> {
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let script = shells.completer(&shell).with_context(|| format!("there is no completion for {shell}"))?;
    let mut stdout = std::io::stdout().lock();
    script
        .write_registration(VARIABLE, "sinew", "sinew", "sinew", &mut stdout)
        .context("writing to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Answers a shell that asks, and ends the process then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(crate::Cli::command).var(VARIABLE).complete();
}

/// The peers of the node on this machine.
pub(crate) fn peers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let links: Option<NodeLinks> = from_node("/v1/links");
    candidates(typed, links.into_iter().flat_map(|links| links.peers).map(|peer| peer.node.to_string()))
}

/// The services that the node on this machine may host.
pub(crate) fn granted(typed: &OsStr) -> Vec<CompletionCandidate> {
    let endpoints: Option<NodeEndpoints> = from_node("/v1/endpoints");
    let granted = endpoints.into_iter().flat_map(|endpoints| endpoints.granted);
    candidates(typed, granted.map(|service| service.to_string()))
}

/// Every node that the controller knows.
pub(crate) fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let nodes = status().into_iter().flat_map(|status| status.nodes);
    candidates(typed, nodes.map(|node| node.name.to_string()))
}

/// Every service that the controller knows.
pub(crate) fn services(typed: &OsStr) -> Vec<CompletionCandidate> {
    let services = status().into_iter().flat_map(|status| status.services);
    candidates(typed, services.map(|service| service.name.to_string()))
}

fn candidates(typed: &OsStr, names: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.filter(|name| name.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}

fn from_node<T: DeserializeOwned>(path: &str) -> Option<T> {
    let state = std::env::var_os("SINEW_NODE_STATE").unwrap_or_else(|| "/var/lib/sinew/node".into());
    soon(&Client::of_node_at(Path::new(&state)).ok()?, path)
}

fn status() -> Option<Status> {
    let state = std::env::var_os("SINEW_STATE").unwrap_or_else(|| "/var/lib/sinew/controller".into());
    soon(&Client::of_controller_at(Path::new(&state)).ok()?, "/v1/status")
}

fn soon<T: DeserializeOwned>(client: &Client, path: &str) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client.fetch(path)).await }).ok()?.ok()
}
