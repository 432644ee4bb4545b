//! A mesh of real processes on this machine: a controller, nodes, and demo services behind them.
//!
//! Everything is the same program, started as a user would start it: configuration files, a join token for
//! each node, ports written to `ports.json`. [`Mesh::start`] returns when the controller sees every node
//! with every endpoint, and every node uses the newest configuration. Whatever happens, dropping a mesh
//! ends its processes.
//!
//! Its directory holds `controller/`, one directory a node, and `services/`; each with a log.

mod config;
mod controller;
mod node;
mod operator;
mod service;
pub mod wait;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use sinew_api::hosting::Health;
use sinew_api::status::Status;
use sinew_node_core::Mechanism;
use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};
use tokio::task::JoinSet;

use self::config::ControllerPorts;
pub use self::config::NodePorts;
use self::controller::RunningController;
use self::node::RunningNode;
use self::service::RunningService;
use self::wait::NotReady;
use crate::process::{Launch, Process, ProcessError};
use crate::scenario::{Endpoint, Topology};

/// Why a mesh did not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A process failed us.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something did not happen in time.
    #[error("{name}: {why}; the end of its log:\n{tail}")]
    NotReady {
        /// Who is late.
        name: String,
        /// For what.
        why: NotReady,
        /// The end of its log.
        tail: String,
    },
    /// A file or directory of the mesh can't be written.
    #[error("cannot write {path}: {source}; check the directory and its free space")]
    Unwritable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No join token.
    #[error("`sinew token create --node {node}` failed: {why}")]
    Token {
        /// For whom.
        node: NodeName,
        /// Why.
        why: String,
    },
    /// A demo service does not answer its standard input.
    #[error("demo service {name} did not take `{line}`: {why}")]
    Service {
        /// Which.
        name: String,
        /// What it was told.
        line: String,
        /// What happened instead.
        why: String,
    },
}

/// How a mesh is run.
#[derive(Debug, Clone)]
pub struct MeshOptions {
    /// The `sinew` program.
    pub binary: PathBuf,
    /// The directory in which everything is written.
    pub dir: PathBuf,
    /// Mechanisms that nodes switch off.
    pub without: Vec<Mechanism>,
}

/// A running mesh. Fields are dropped in this order: who is called ends after who calls.
#[derive(Debug)]
pub struct Mesh {
    nodes: BTreeMap<NodeName, RunningNode>,
    controller: RunningController,
    services: BTreeMap<EndpointId, RunningService>,
    listeners: BTreeMap<String, SocketAddr>,
    options: MeshOptions,
}

impl MeshOptions {
    fn controller_state(&self) -> PathBuf {
        self.dir.join("controller").join("state")
    }

    fn node_dir(&self, node: &NodeName) -> PathBuf {
        self.dir.join("nodes").join(node.as_str())
    }
}

impl Mesh {
    /// Starts everything in `topology` and waits until it is one mesh.
    ///
    /// # Errors
    /// [`MeshError`] says which part failed, with the end of its log. What had been started is ended.
    pub async fn start(topology: &Topology, options: MeshOptions) -> Result<Self, MeshError> {
        let mut services = BTreeMap::new();
        for (service, endpoint) in topology.endpoints() {
            let running = RunningService::start(service, endpoint, &options).await?;
            services.insert(endpoint.id.clone(), running);
        }
        let (controller, api) = RunningController::start(&options).await?;
        let mut mesh =
            Self { nodes: BTreeMap::new(), controller, services, listeners: BTreeMap::new(), options };
        mesh.start_nodes(topology).await?;
        let state = mesh.controller_state();
        let settled = wait::status(api, &state, |status| settled(status, topology)).await;
        settled.map_err(|why| mesh.controller.late(why))?;
        Ok(mesh)
    }

    /// Where the listener of that name takes connections.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.get(name).copied()
    }

    /// The controller's state directory, which the command line needs.
    #[must_use]
    pub fn controller_state(&self) -> PathBuf {
        self.options.controller_state()
    }

    /// The access log of a node.
    #[must_use]
    pub fn access_log(&self, node: &NodeName) -> PathBuf {
        node::access_log(&self.options.node_dir(node))
    }

    /// The process ids of the nodes that run.
    #[must_use]
    pub fn pids(&self) -> Vec<(NodeName, u32)> {
        let pid =
            |(name, node): (&NodeName, &RunningNode)| Some((name.clone(), node.process.as_ref()?.pid()));
        self.nodes.iter().filter_map(pid).collect()
    }

    /// Makes an endpoint answer after `latency`; the new time holds when this returns.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn set_latency(&mut self, endpoint: &EndpointId, latency: Duration) -> Result<(), MeshError> {
        match self.services.get_mut(endpoint) {
            Some(service) => service.set_latency(latency).await,
            None => Ok(()),
        }
    }

    /// Ends a node with SIGKILL; it is gone when this returns.
    ///
    /// # Errors
    /// It had ended before.
    pub async fn kill_node(&mut self, node: &NodeName) -> Result<(), MeshError> {
        match self.nodes.get_mut(node).and_then(|n| n.process.take()) {
            Some(mut process) => Ok(process.kill().await?),
            None => Ok(()),
        }
    }

    /// Starts a node (again), with the state and the configuration it had. Yields its state directory, by
    /// which [`wait::node`] knows when it is ready.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_node(&mut self, node: &NodeName) -> Result<PathBuf, MeshError> {
        match self.nodes.get_mut(node) {
            Some(running) => running.start().map(|()| running.state()),
            None => Ok(PathBuf::new()),
        }
    }

    /// Notes the ports of a node that was started for the first time, once it is ready.
    ///
    /// # Errors
    /// Its configuration can't be written.
    pub fn note_ready(
        &mut self,
        node: &NodeName,
        ports: &NodePorts,
        topology: &Topology,
    ) -> Result<(), MeshError> {
        if let Some(running) = self.nodes.get(node) {
            running.bind(ports)?;
        }
        self.note_listeners(node, ports, topology);
        Ok(())
    }

    /// Ends the controller with SIGKILL; it is gone when this returns.
    ///
    /// # Errors
    /// It had ended before.
    pub async fn kill_controller(&mut self) -> Result<(), MeshError> {
        match self.controller.process.take() {
            Some(mut process) => Ok(process.kill().await?),
            None => Ok(()),
        }
    }

    /// Starts the controller again, with the state and the ports it had. Resolves, later, when it answers.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_controller(
        &mut self,
    ) -> Result<impl Future<Output = Result<(), NotReady>> + Send + use<>, MeshError> {
        self.controller.start_again()?;
        let state = self.controller_state();
        Ok(async move {
            let ports = wait::ports::<ControllerPorts>(&state).await?;
            wait::status(ports.api, &state, |_| Ok(())).await.map(drop)
        })
    }

    /// Declares an endpoint that its node's configuration lacks, as an operator would. Resolves, later, when
    /// every node that it concerns has acknowledged it.
    pub fn apply(
        &self,
        service: &ServiceName,
        endpoint: &EndpointId,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let address = self.services.get(endpoint).map(RunningService::address);
        operator::apply(&self.options, service, &endpoint.node, address)
    }

    /// Sends a signal to a node.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal_node(&mut self, node: &NodeName, signal: Signal) -> Result<(), MeshError> {
        match self.nodes.get_mut(node).and_then(|n| n.process.as_mut()) {
            Some(process) => Ok(process.signal(signal)?),
            None => Ok(()),
        }
    }

    /// The end of the controller's log, for errors about it.
    #[must_use]
    pub fn controller_log_tail(&self) -> String {
        self.controller.log_tail()
    }

    /// The end of a node's log, for errors about it.
    #[must_use]
    pub fn node_log_tail(&self, node: &NodeName) -> String {
        crate::process::tail(&node::log(&self.options.node_dir(node)))
    }

    /// Nothing if all that should run does.
    ///
    /// # Errors
    /// The first that has ended by itself, with the end of its log.
    pub fn check_running(&mut self) -> Result<(), MeshError> {
        if let Some(controller) = &mut self.controller.process {
            controller.check_running()?;
        }
        for service in self.services.values_mut() {
            service.check_running()?;
        }
        for process in self.nodes.values_mut().filter_map(|n| n.process.as_mut()) {
            process.check_running()?;
        }
        Ok(())
    }

    /// The nodes that have ended since the last look, by someone else's doing. They count as killed.
    pub fn take_ended_nodes(&mut self) -> Vec<NodeName> {
        let mut ended = Vec::new();
        for (name, node) in &mut self.nodes {
            if node.process.as_mut().is_some_and(|p| p.check_running().is_err()) {
                node.process = None;
                ended.push(name.clone());
            }
        }
        ended
    }

    /// Ends nodes, then the controller, then the services, and waits for each. Yields the names of nodes
    /// that had to be killed: their access logs may be incomplete.
    pub async fn stop(self) -> Vec<NodeName> {
        let mut stopping = JoinSet::new();
        for (name, node) in self.nodes {
            if let Some(process) = node.process {
                stopping.spawn(async move { (name, process.stop().await) });
            }
        }
        let stopped = stopping.join_all().await;
        let mut killed: Vec<_> =
            stopped.into_iter().filter(|(_, obeyed)| !obeyed).map(|(name, _)| name).collect();
        killed.sort();
        if let Some(controller) = self.controller.process {
            controller.stop().await;
        }
        drop(self.services);
        killed
    }

    fn note_listeners(&mut self, node: &NodeName, ports: &NodePorts, topology: &Topology) {
        let names = topology.listeners.iter().filter(|l| l.node == *node).map(|l| l.name.clone());
        self.listeners.extend(names.zip(ports.listen.iter().map(|l| l.address)));
    }

    /// Starts all nodes at once that are to run from the beginning, then waits for each.
    async fn start_nodes(&mut self, topology: &Topology) -> Result<(), MeshError> {
        let addresses = self.services.iter().map(|(id, s)| (id.clone(), s.address())).collect();
        for node in &topology.nodes {
            let mut running = RunningNode::prepare(node, topology, &addresses, &self.options).await?;
            if node.started {
                running.start()?;
            }
            self.nodes.insert(node.name.clone(), running);
        }
        let mut settled = Vec::new();
        for (name, running) in &mut self.nodes {
            settled.push((name.clone(), running.settle().await?));
        }
        for (name, ports) in &settled {
            self.note_listeners(name, ports, topology);
        }
        Ok(())
    }
}

/// What is still missing for the controller to see the whole of `topology` in use.
fn settled(status: &Status, topology: &Topology) -> Result<(), String> {
    for node in topology.nodes.iter().filter(|n| n.started) {
        let Some(seen) = status.nodes.iter().find(|n| n.name == node.name && n.connected) else {
            return Err(format!("node {} has no session", node.name));
        };
        if seen.acknowledged != status.revision {
            return Err(format!("node {} uses {}, not {}", node.name, seen.acknowledged, status.revision));
        }
    }
    let starts = |e: &Endpoint| e.configured && topology.node(&e.id.node).is_some_and(|n| n.started);
    for (service, endpoint) in topology.endpoints().filter(|(_, e)| starts(e)) {
        let seen = status.services.iter().find(|s| s.name == service.name);
        if !seen
            .is_some_and(|s| s.endpoints.iter().any(|e| e.node == endpoint.id.node && e.health == Health::Up))
        {
            return Err(format!("service {} has no endpoint {} that is up", service.name, endpoint.id));
        }
    }
    Ok(())
}

fn launch(options: &MeshOptions, name: &str, args: Vec<OsString>, log: PathBuf) -> Launch {
    let binary = options.binary.clone();
    // For people: the end of a log is shown in errors.
    let args = ["--log-format".into(), "text".into()].into_iter().chain(args).collect();
    Launch { name: name.into(), program: binary.clone(), args, log, piped: false, leash: Some(binary) }
}

fn late(process: &Process, why: NotReady) -> MeshError {
    MeshError::NotReady { name: process.name().to_owned(), why, tail: process.log_tail() }
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> MeshError + '_ {
    |source| MeshError::Unwritable { path: path.display().to_string(), source }
}

fn make_dir(path: &Path) -> Result<(), MeshError> {
    std::fs::create_dir_all(path).map_err(unwritable(path))
}

fn write(path: &Path, text: &str) -> Result<(), MeshError> {
    std::fs::write(path, text).map_err(unwritable(path))
}

fn write_toml(path: &Path, value: &impl serde::Serialize) -> Result<(), MeshError> {
    let text = toml::to_string(value).map_err(std::io::Error::other).map_err(unwritable(path))?;
    write(path, &text)
}
