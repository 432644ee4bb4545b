//! A node of the mesh: its token, its configuration, its process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};
use tokio::process::Command;

use super::config::NodeFile;
use super::{MeshError, MeshOptions, NodePorts, late, launch, make_dir, wait, write, write_toml};
use crate::process::{Launch, Process, remove_own_variables};
use crate::scenario::{Node, Topology};

/// How long `sinew token create` may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a token may wait for its node, which an event may start: longer than the longest scenario.
const TOKEN_TTL: &str = "3h";

#[derive(Debug)]
pub(super) struct RunningNode {
    /// None until it is started, and while it is killed.
    pub(super) process: Option<Process>,
    launch: Launch,
    dir: PathBuf,
    file: NodeFile,
}

impl RunningNode {
    /// Writes a node's token and configuration, with the services that listen at `services`. It does not
    /// run yet.
    pub(super) async fn prepare(
        node: &Node,
        topology: &Topology,
        services: &BTreeMap<EndpointId, SocketAddr>,
        options: &MeshOptions,
    ) -> Result<Self, MeshError> {
        let dir = options.node_dir(&node.name);
        let token = dir.join("token");
        make_dir(&dir)?;
        write(&token, &create_token(&node.name, &topology.grants(&node.name), options).await?)?;

        let zone = node.zone.as_ref().map(ToString::to_string);
        let mut file = NodeFile::new(dir.join("state"), zone, access_log(&dir), token);
        for listener in topology.listeners.iter().filter(|l| l.node == node.name) {
            file.listen(listener.service.as_str(), listener.speaks_for.as_str());
        }
        for (service, endpoint) in topology.hosted(&node.name) {
            if endpoint.configured
                && let Some(address) = services.get(&endpoint.id)
            {
                file.serve(service.name.as_str(), *address);
            }
        }
        let config = dir.join("node.toml");
        write_toml(&config, &file)?;

        let mut args: Vec<OsString> = vec!["node".into(), "--config".into(), config.into()];
        for mechanism in &options.without {
            args.extend(["--without".into(), mechanism.name().into()]);
        }
        let launch = launch(options, &format!("node {}", node.name), args, log(&dir));
        Ok(Self { process: None, launch, dir, file })
    }

    /// Starts it, for the first time or again.
    pub(super) fn start(&mut self) -> Result<(), MeshError> {
        // What is there was written by an earlier process.
        let _ = std::fs::remove_file(self.state().join("ports.json"));
        self.process = Some(Process::start(&self.launch)?);
        Ok(())
    }

    /// Waits until it is ready for the first time, and writes its ports into its configuration.
    pub(super) async fn settle(&mut self) -> Result<NodePorts, MeshError> {
        let state = self.state();
        let Some(process) = self.process.as_mut() else { return Ok(NodePorts::default()) };
        let ports = tokio::select! {
            ready = wait::node(&state) => ready.map_err(|why| late(process, why))?,
            ended = process.unexpected_end() => return Err(ended.into()),
        };
        self.bind(&ports)?;
        Ok(ports)
    }

    /// Writes the ports that it bound into its configuration.
    pub(super) fn bind(&self, ports: &NodePorts) -> Result<(), MeshError> {
        write_toml(&self.dir.join("node.toml"), &self.file.bound(ports))
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// Where the node in `dir` logs its connections.
pub(super) fn access_log(dir: &Path) -> PathBuf {
    dir.join("access.log")
}

/// Where the node in `dir` writes its standard error.
pub(super) fn log(dir: &Path) -> PathBuf {
    dir.join("node.log")
}

async fn create_token(
    node: &NodeName,
    services: &[ServiceName],
    options: &MeshOptions,
) -> Result<String, MeshError> {
    let fail = |why: String| MeshError::Token { node: node.clone(), why };
    let mut command = Command::new(&options.binary);
    command.args(["token", "create", "--node", node.as_str(), "--ttl", TOKEN_TTL, "--state"]);
    command.arg(options.controller_state());
    for service in services {
        command.args(["--service", service.as_str()]);
    }
    remove_own_variables(&mut command);
    let output = tokio::time::timeout(TOKEN_TIMEOUT, command.kill_on_drop(true).output()).await;
    let output = output.map_err(|_| fail(format!("no answer in {TOKEN_TIMEOUT:?}")))?;
    let output = output.map_err(|e| fail(e.to_string()))?;
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|e| fail(e.to_string()))
}
