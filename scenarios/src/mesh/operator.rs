//! The operator of the mesh: what a person would type.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use sinew_transport_core::ids::{NodeName, ServiceName};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::MeshOptions;
use crate::process::remove_own_variables;

/// How long `sinew apply --wait` waits for nodes: it takes a few round trips, more when the machine is busy.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the command may take in all.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A file of resources.
#[derive(Debug, Serialize)]
struct Resources {
    endpoint: Vec<EndpointTable>,
}

/// `[[endpoint]]`
#[derive(Debug, Serialize)]
struct EndpointTable {
    node: String,
    service: String,
    address: SocketAddr,
}

/// Declares an endpoint with `sinew apply -f - --wait`; an error is what the command said.
pub(super) fn apply(
    options: &MeshOptions,
    service: &ServiceName,
    node: &NodeName,
    address: Option<SocketAddr>,
) -> impl Future<Output = Result<(), String>> + Send + use<> {
    let timeout = format!("{}s", ROLLOUT_TIMEOUT.as_secs());
    let mut command = Command::new(&options.binary);
    command
        .args(["apply", "-f", "-", "--wait", "--timeout", &timeout, "--state"])
        .arg(options.controller_state());
    remove_own_variables(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let table = address.map(|address| EndpointTable {
        node: node.to_string(),
        service: service.to_string(),
        address,
    });
    let text = toml::to_string(&Resources { endpoint: table.into_iter().collect() });
    async move {
        let text = text.map_err(|e| e.to_string())?;
        match tokio::time::timeout(COMMAND_TIMEOUT, run(command, &text)).await {
            Ok(done) => done,
            Err(_) => Err(format!("`sinew apply` did not end in {COMMAND_TIMEOUT:?}")),
        }
    }
}

async fn run(mut command: Command, text: &str) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("`sinew apply` can't be run: {e}");
    let mut child = command.spawn().map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).await.map_err(fail)?;
    }
    let output = child.wait_with_output().await.map_err(fail)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`sinew apply` failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
