//! The commands with which a person looks after a mesh, as that person types them.
//!
//! - [`bugreport`]: one file for whoever helps.
//! - [`check`]: what keeps a machine from being part of it.
//! - [`completion`]: what a shell offers at Tab.
//! - [`man`]: the manual.
//! - [`ping`]: the way to another node, measured.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod bugreport;
mod check;
mod completion;
mod man;
mod ping;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Output, Stdio};

use support::{Mesh, NodePlan, Service};
use tokio::process::Command;

/// The program under test.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// Service `orders` on n1, and a node `caller` that calls it.
async fn pair() -> (Mesh, Service) {
    let echo = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", echo.address())).await;
    // So that a node which was killed is not waited for.
    mesh.add(NodePlan::new("caller").listen("orders", "web").set("dead_after", "\"1s\"")).await;
    mesh.settled().await;
    (mesh, echo)
}

/// A command on the machine of `node`.
fn command(mesh: &Mesh, node: &str, args: &[&str]) -> Command {
    let mut command = Command::new(SINEW);
    command.args(args).env("SINEW_NODE_STATE", mesh.node_dir(node).join("state"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end.
async fn on(mesh: &Mesh, node: &str, args: &[&str]) -> Output {
    command(mesh, node, args).output().await.unwrap()
}

/// What it printed.
fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What it said beside that, on one line.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}
