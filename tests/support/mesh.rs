//! A controller and its nodes, told what to do by name.
//!
//! The directory holds `controller/` and one directory a node, each with configuration, state and log.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde::Deserialize;
use sinew_scenarios::process::{self, Process};
use tempfile::TempDir;
use tokio::process::Command;

use super::node::{Node, NodePlan, NodePorts, SINEW, launch, start_program, version};
use super::{http_get, now_us, until};

/// A mesh of real processes. Dropping it ends them and removes their files.
#[derive(Debug)]
pub struct Mesh {
    // Fields are dropped in this order.
    pub(super) nodes: BTreeMap<String, Node>,
    /// None while it is down.
    controller: Option<Process>,
    ports: ControllerPorts,
    /// Whether everybody logs every word that they have to say.
    traced: bool,
    dir: TempDir,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct ControllerPorts {
    control: SocketAddr,
    api: SocketAddr,
}

impl Mesh {
    /// Starts a controller, and no node yet. The default policy allows every call.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with more lines for `[controller]`, e.g. `default_policy = "deny"`.
    pub async fn start_with(settings: &str) -> Self {
        Self::start_as(settings, false).await
    }

    /// The same, and the controller listens at these addresses: for nodes, and for whoever uses the API.
    pub async fn start_at(settings: &str, control: IpAddr, api: IpAddr) -> Self {
        let any = |ip| SocketAddr::new(ip, 0);
        Self::start_on(settings, false, ControllerPorts { control: any(control), api: any(api) }).await
    }

    /// The same, and everybody logs every word that they have to say.
    pub async fn start_traced(settings: &str) -> Self {
        Self::start_as(settings, true).await
    }

    async fn start_as(settings: &str, traced: bool) -> Self {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        Self::start_on(settings, traced, ControllerPorts { control: any, api: any }).await
    }

    async fn start_on(settings: &str, traced: bool, ports: ControllerPorts) -> Self {
        let dir = TempDir::with_prefix("sinew-test-").expect("a temporary directory can be made");
        fs::create_dir(dir.path().join("controller")).expect("the temporary directory takes directories");
        let mut mesh = Self { nodes: BTreeMap::new(), controller: None, ports, traced, dir };
        mesh.write_controller(settings);
        mesh.start_controller().await;
        // A controller that returns is where its nodes look for it.
        mesh.write_controller(settings);
        mesh
    }

    /// Makes a token, starts a node with it, and waits until the node is ready. That others know of it
    /// takes a moment longer: [`Mesh::settled`].
    pub async fn add(&mut self, plan: NodePlan) {
        let token = self.token(&plan.name, &plan.grants()).await;
        self.add_with(plan, &token).await;
    }

    /// The same with a token that was made before. What lies in the node's directory already stays there.
    pub async fn add_with(&mut self, mut plan: NodePlan, token: &str) {
        plan.traced = self.traced;
        let dir = self.dir.path().join(&plan.name);
        let name = plan.name.clone();
        let mut node = Node::write(plan, dir, token);
        node.start().await;
        self.nodes.insert(name, node);
    }

    /// Copies the identity of node `of` into another directory, starts a node with it, and waits until it is
    /// ready. From here on it is known as `name`, though the mesh knows both as `of`.
    pub async fn add_copy(&mut self, of: &str, name: &str) {
        let original = self.node(of);
        let (plan, state) = (original.plan.clone(), original.dir.join("state"));
        let dir = self.dir.path().join(name);
        let mut node = Node::write(plan, dir.clone(), "");
        fs::create_dir(dir.join("state")).expect("the temporary directory takes directories");
        for file in ["identity.pem", "root.cert.pem", "keys.json"] {
            fs::copy(state.join(file), dir.join("state").join(file)).expect("a node that joined has it");
        }
        node.start().await;
        self.nodes.insert(name.to_owned(), node);
    }

    /// Writes `[controller]` anew, for its next start: `control` is where nodes reach it, port 0 takes any.
    pub fn move_controller(&mut self, control: SocketAddr, settings: &str) {
        self.ports.control = control;
        self.write_controller(settings);
    }

    /// Runs a command of the program against this mesh's controller.
    pub async fn sinew(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(SINEW);
        command.args(arguments).env("SINEW_STATE", self.controller_state());
        command.output().await.expect("the program runs")
    }

    /// The text of a new token.
    pub async fn token(&self, node: &str, services: &[&str]) -> String {
        let mut command = Command::new(SINEW);
        command.args(["token", "create", "--node", node, "--state"]).arg(self.controller_state());
        for service in services {
            command.args(["--service", service]);
        }
        let output = command.output().await.expect("the program runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`sinew token create` failed: {errors}{}", self.controller_log());
        String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
    }

    /// Where the application of `node` connects to call `service`.
    pub fn listener(&self, node: &str, service: &str) -> SocketAddr {
        let found = self.ports(node).listener_of(service);
        found.unwrap_or_else(|| panic!("node {node} has no [[listen]] for {service}"))
    }

    /// What a node has bound.
    pub fn ports(&self, node: &str) -> &NodePorts {
        self.node(node).ports()
    }

    /// The process id of a node that runs.
    pub fn pid(&self, node: &str) -> u32 {
        self.node(node).process.as_ref().unwrap_or_else(|| panic!("node {node} is down")).pid()
    }

    /// SIGKILL. The node is gone when this returns; yields the moment just before, by the access logs' clock.
    pub async fn kill(&mut self, node: &str) -> u64 {
        let node = self.node_mut(node);
        let Some(mut process) = node.process.take() else { node.fail("it is down already") };
        let before_us = now_us();
        process.kill().await.unwrap_or_else(|error| node.fail(&error.to_string()));
        before_us
    }

    /// SIGSTOP, and waits until every thread of the node has stopped.
    pub async fn pause(&mut self, node: &str) {
        self.signal(node, Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pid(node));
        let stopped = until("the node to stop", || async {
            let text = fs::read_to_string(&stat).map_err(|error| error.to_string())?;
            let state = text.rsplit(") ").next().and_then(|rest| rest.chars().next());
            if state == Some('T') { Ok(()) } else { Err(format!("its state is {state:?}")) }
        });
        stopped.await.unwrap_or_else(|why| self.node(node).fail(&why));
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: &str) {
        self.signal(node, Signal::SIGCONT);
    }

    /// SIGTERM. The node has closed what it had and ended when this returns.
    pub async fn stop(&mut self, node: &str) {
        let node = self.node_mut(node);
        let Some(process) = node.process.take() else { node.fail("it is down already") };
        if !process.stop().await {
            node.fail("it did not end when told to");
        }
    }

    /// SIGTERM, and waits for nothing: the node begins to drain. The stories that stop nodes for other reasons cut
    /// (`drain_timeout` is zero unless they set it).
    pub fn tell_to_stop(&mut self, node: &str) {
        self.signal(node, Signal::SIGTERM);
    }

    /// Waits until a node has told its [`Supervisor`](super::Supervisor) this last.
    pub async fn said(&self, node: &str, line: &str) {
        let Some(supervisor) = &self.node(node).supervisor else { panic!("nobody supervises {node}") };
        let said = until("a word to the supervisor", || async {
            let said = supervisor.said();
            if said.last().is_some_and(|last| last == line) { Ok(()) } else { Err(format!("{said:?}")) }
        });
        said.await.unwrap_or_else(|why| self.node(node).fail(&why));
    }

    /// Waits until a node that was told to stop has ended.
    pub async fn ended(&mut self, node: &str) {
        let node = self.node_mut(node);
        let Some(mut process) = node.process.take() else { node.fail("it is down already") };
        let ended = tokio::time::timeout(super::PATIENCE, process.wait()).await;
        let status = ended.unwrap_or_else(|_| node.fail("it did not end")).expect("it can be waited for");
        if !status.success() {
            node.fail(&format!("it ended with {status}"));
        }
    }

    /// Starts a node that is down, with the state and the ports that it had, and waits until it is ready.
    pub async fn restart(&mut self, node: &str) {
        let node = self.node_mut(node);
        assert!(node.process.is_none(), "node {} runs", node.plan.name);
        node.start().await;
    }

    /// SIGKILL for the controller.
    pub async fn kill_controller(&mut self) {
        let mut process = self.controller.take().expect("the controller runs");
        process.kill().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// SIGTERM for the controller, which says farewell to its nodes.
    pub async fn stop_controller(&mut self) {
        let process = self.controller.take().expect("the controller runs");
        assert!(process.stop().await, "the controller did not end when told to: {}", self.controller_log());
    }

    /// The controller's process id.
    pub fn controller_pid(&self) -> u32 {
        self.controller.as_ref().expect("the controller runs").pid()
    }

    /// Starts the controller, with the state that it had.
    pub async fn start_controller(&mut self) {
        self.start_controller_with(&[]).await;
    }

    /// The same with more arguments.
    pub async fn start_controller_with(&mut self, more: &[&str]) {
        assert!(self.controller.is_none(), "the controller runs");
        let dir = self.dir.path().join("controller");
        let file = dir.join("state/ports.json");
        let before = version(&file);
        let mut args = vec!["controller".into(), "--config".into(), dir.join("controller.toml").into()];
        args.extend(more.iter().map(Into::into));
        let (program, args) = launch(self.traced, args);
        let mut process = start_program("controller", program, args, dir.join("controller.log"));
        let ready = until("the controller to listen", || async {
            if version(&file) == before {
                return Err("its ports.json is not written yet".to_owned());
            }
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let ports: ControllerPorts = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            http_get(ports.api, "/readyz", None).await.map(|_| ports)
        });
        let ready = tokio::select! {
            ready = ready => ready,
            ended = process.unexpected_end() => Err(ended.to_string()),
        };
        self.ports = ready.unwrap_or_else(|why| panic!("controller: {why}\n{}", process.log_tail()));
        self.controller = Some(process);
    }

    /// Where nodes reach the controller, UDP.
    pub fn controller_address(&self) -> SocketAddr {
        self.ports.control
    }

    /// The controller's HTTP API.
    pub fn api_address(&self) -> SocketAddr {
        self.ports.api
    }

    /// The controller's state directory: authority, admin token.
    pub fn controller_state(&self) -> PathBuf {
        self.dir.path().join("controller/state")
    }

    /// Where everything of this mesh is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process ids of everybody who runs.
    pub fn pids(&self) -> Vec<u32> {
        let nodes = self.running().filter_map(|node| node.process.as_ref()).map(Process::pid);
        nodes.chain(self.controller.as_ref().map(Process::pid)).collect()
    }

    /// The end of the controller's log.
    pub fn controller_log(&self) -> String {
        process::tail(&self.dir.path().join("controller/controller.log"))
    }

    /// The directory of a node: `node.toml`, `node.log`, `access.log`, `token`, `state/`.
    pub fn node_dir(&self, node: &str) -> &Path {
        &self.node(node).dir
    }

    /// All that a node has logged since it was first started.
    pub fn log(&self, node: &str) -> String {
        fs::read_to_string(self.node_dir(node).join("node.log")).expect("a node that was started has a log")
    }

    /// Writes another `controller.toml`, as an editor does: a new file takes its name. The controller notices.
    pub fn rewrite_controller(&self, settings: &str) {
        self.write_controller(settings);
    }

    /// Changes the text of a node's `node.toml`, likewise.
    pub fn rewrite(&self, node: &str, change: impl FnOnce(String) -> String) {
        let file = self.node_dir(node).join("node.toml");
        let text = fs::read_to_string(&file).expect("a node that was added has a configuration");
        replace(&file, &change(text));
    }

    /// Sends the controller a signal.
    pub fn signal_controller(&mut self, signal: Signal) {
        let process = self.controller.as_mut().expect("the controller runs");
        process.signal(signal).unwrap_or_else(|error| panic!("{error}"));
    }

    fn write_controller(&self, settings: &str) {
        let ControllerPorts { control, api } = self.ports;
        let state = self.controller_state();
        let text = format!(
            "[controller]\nstate = {state:?}\ntrust_domain = \"test.local\"\nlisten = \"{control}\"\napi = \"{api}\"\n{settings}\n"
        );
        let file = self.dir.path().join("controller/controller.toml");
        replace(&file, &text);
    }

    fn signal(&mut self, node: &str, signal: Signal) {
        let node = self.node_mut(node);
        let Some(process) = node.process.as_mut() else { node.fail("it is down") };
        if let Err(error) = process.signal(signal) {
            panic!("{error}");
        }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.process.is_some())
    }

    pub(super) fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("no node {name} was added"))
    }

    fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("no node {name} was added"))
    }
}

/// A new file takes the name of an old one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("the temporary directory takes files");
    fs::rename(&new, file).expect("a file can be renamed");
}
