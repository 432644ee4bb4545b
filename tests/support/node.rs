//! One node: what its configuration says, and the process that runs by it.
//!
//! A plan leaves every port open. What was bound is written back once the node is ready, so that a node
//! that returns listens where it listened before. Its data sockets return by themselves: a node tries the
//! ones of its last run first.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sinew_scenarios::process::{self, Launch, Process};

use super::supervisor::Supervisor;
use super::{http_get, until};

/// The program under test.
pub(super) const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// What a node shall be.
#[derive(Debug, Clone)]
pub struct NodePlan {
    pub(super) name: String,
    settings: Vec<(String, String)>,
    pub(super) listens: Vec<(String, String)>,
    pub(super) serves: Vec<(String, SocketAddr)>,
    /// `health` of the `[[serve]]` entries, as TOML.
    health: String,
    /// More lines of each `[[serve]]`, and of each `[[listen]]`.
    more: [String; 2],
    pub(super) extra_grants: Vec<String>,
    arguments: Vec<String>,
    supervised: bool,
    /// Where its listeners listen.
    ip: IpAddr,
    pub(super) traced: bool,
}

impl NodePlan {
    /// A node that neither calls nor serves yet: two shards, every port free to choose.
    pub fn new(name: &str) -> Self {
        let any = "\"127.0.0.1:0\"";
        let settings = [("data", any), ("admin", any), ("shards", "2"), ("drain_timeout", "\"0s\"")];
        Self {
            name: name.into(),
            settings: settings.map(|(key, value)| (key.into(), value.into())).into(),
            listens: Vec::new(),
            serves: Vec::new(),
            health: "false".into(),
            more: Default::default(),
            extra_grants: Vec::new(),
            arguments: Vec::new(),
            supervised: false,
            ip: Ipv4Addr::LOCALHOST.into(),
            traced: false,
        }
    }

    /// A `[[serve]]`; the service is granted by the token.
    pub fn serve(mut self, service: &str, address: SocketAddr) -> Self {
        self.serves.push((service.into(), address));
        self
    }

    /// How the endpoints of every `[[serve]]` are checked, as TOML. They are not, unless this says so: most
    /// stories are about what callers find out by themselves.
    pub fn health(mut self, health: &str) -> Self {
        self.health = health.into();
        self
    }

    /// One more line of every `[[serve]]`.
    pub fn serving(mut self, line: &str) -> Self {
        self.more[0] += &format!("{line}\n");
        self
    }

    /// One more line of every `[[listen]]`.
    pub fn listening(mut self, line: &str) -> Self {
        self.more[1] += &format!("{line}\n");
        self
    }

    /// A `[[listen]]` for calls of `service` that speaks for `source`, which the token grants.
    pub fn listen(mut self, service: &str, source: &str) -> Self {
        self.listens.push((service.into(), source.into()));
        self
    }

    /// One more service in the token.
    pub fn grant(mut self, service: &str) -> Self {
        self.extra_grants.push(service.into());
        self
    }

    /// A key of `[node]` with its value as TOML: `set("dead_after", "\"2s\"")`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Everything of it listens at this address, and nothing elsewhere.
    pub fn on(mut self, ip: IpAddr) -> Self {
        self.ip = ip;
        let any = format!("\"{}\"", SocketAddr::new(ip, 0));
        self.set("data", &any).set("admin", &any)
    }

    /// Switches a mechanism off: `failover`, `latency`, `probation` or `weights`.
    pub fn without(mut self, mechanism: &str) -> Self {
        self.arguments.extend(["--without".into(), mechanism.into()]);
        self
    }

    /// Starts it by a [`Supervisor`], which keeps its listening sockets while it restarts.
    pub fn supervised(mut self) -> Self {
        self.supervised = true;
        self
    }

    /// Services that the token must name, each once.
    pub(super) fn grants(&self) -> Vec<&str> {
        let listens = self.listens.iter().map(|(_, source)| source);
        let serves = self.serves.iter().map(|(service, _)| service);
        let mut all: Vec<_> = listens.chain(serves).chain(&self.extra_grants).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The configuration; with `ports`, what was bound in place of what was asked for.
    fn toml(&self, dir: &Path, ports: Option<&NodePorts>) -> String {
        let mut text = format!(
            "[node]\nstate = {:?}\naccess_log = {:?}\ntoken_file = {:?}\n",
            dir.join("state"),
            dir.join("access.log"),
            dir.join("token")
        );
        for (key, value) in &self.settings {
            let _ = match ports.and_then(|ports| ports.admin).filter(|_| key == "admin") {
                Some(admin) => writeln!(text, "admin = \"{admin}\""),
                None => writeln!(text, "{key} = {value}"),
            };
        }
        for (service, source) in &self.listens {
            let address = ports.and_then(|ports| ports.listener(service, source));
            let address = address.unwrap_or(SocketAddr::new(self.ip, 0));
            let more = &self.more[1];
            let _ = write!(
                text,
                "
[[listen]]
service = {service:?}
as = {source:?}
address = \"{address}\"
{more}"
            );
        }
        for (service, address) in &self.serves {
            let _ = write!(
                text,
                "\n[[serve]]\nservice = {service:?}\naddress = \"{address}\"\nhealth = {}\n{}",
                self.health, self.more[0]
            );
        }
        text
    }
}

/// What a node has bound: its `ports.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct NodePorts {
    /// Its data sockets, one a shard.
    pub data: Vec<SocketAddr>,
    /// Its pages for operators.
    pub admin: Option<SocketAddr>,
    listen: Vec<ListenPort>,
}

#[derive(Debug, Clone, Deserialize)]
struct ListenPort {
    service: String,
    #[serde(rename = "as")]
    source: Option<String>,
    address: SocketAddr,
}

impl NodePorts {
    /// Where calls of `service` by `source` enter.
    fn listener(&self, service: &str, source: &str) -> Option<SocketAddr> {
        let same =
            |l: &&ListenPort| l.service == service && l.source.as_deref().is_none_or(|own| own == source);
        self.listen.iter().find(same).map(|found| found.address)
    }

    /// Where calls of `service` enter, whoever calls.
    pub(super) fn listener_of(&self, service: &str) -> Option<SocketAddr> {
        self.listen.iter().find(|l| l.service == service).map(|found| found.address)
    }
}

/// A node of a mesh, whether it runs or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) plan: NodePlan,
    pub(super) dir: PathBuf,
    /// None before it is ready for the first time.
    pub(super) ports: Option<NodePorts>,
    /// None while it is down.
    pub(super) process: Option<Process>,
    /// Who starts it, if not the test itself.
    pub(super) supervisor: Option<Supervisor>,
    /// How often it was started: what it counts begins anew, and what it logs goes on.
    pub(super) starts: u32,
}

impl Node {
    /// Writes the token and the configuration.
    pub(super) fn write(plan: NodePlan, dir: PathBuf, token: &str) -> Self {
        fs::create_dir_all(&dir).expect("the temporary directory takes directories");
        fs::write(dir.join("token"), token).expect("the temporary directory takes files");
        let supervisor = plan.supervised.then(|| Supervisor::new(&dir));
        let node = Self { plan, dir, ports: None, process: None, supervisor, starts: 0 };
        node.write_config();
        node
    }

    fn write_config(&self) {
        let text = self.plan.toml(&self.dir, self.ports.as_ref());
        fs::write(self.config(), text).expect("the temporary directory takes files");
    }

    fn config(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    fn ports_file(&self) -> PathBuf {
        self.dir.join("state/ports.json")
    }

    /// Starts the process and waits until it is ready: joined, listening, with a snapshot in use.
    pub(super) async fn start(&mut self) {
        self.starts += 1;
        // The file of an earlier run stays where it is: the node reads its data sockets from it.
        let before = version(&self.ports_file());
        let mut args = vec!["node".into(), "--config".into(), self.config().into()];
        args.extend(self.plan.arguments.iter().map(Into::into));
        let (program, args) = match &self.supervisor {
            Some(supervisor) => supervisor.launch(SINEW, args),
            None => launch(self.plan.traced, args),
        };
        let (name, log) = (format!("node {}", self.plan.name), self.dir.join("node.log"));
        let process = self.process.insert(start_program(&name, program, args, log));
        let file = self.dir.join("state/ports.json");
        let ready = until("the node to be ready", || async {
            if version(&file) == before {
                return Err("its ports.json is not written yet".to_owned());
            }
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let ports: NodePorts = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            match ports.admin {
                None => Ok(ports),
                Some(admin) => match http_get(admin, "/readyz", None).await? {
                    (200, _) => Ok(ports),
                    (code, body) => Err(format!("/readyz answers {code}: {body}")),
                },
            }
        });
        let ready = tokio::select! {
            ready = ready => ready,
            ended = process.unexpected_end() => Err(ended.to_string()),
        };
        let ports = ready.unwrap_or_else(|why| self.fail(&why));
        self.ports = Some(ports);
        self.write_config();
    }

    /// What it has bound.
    pub(super) fn ports(&self) -> &NodePorts {
        self.ports.as_ref().expect("a node of a mesh has been ready once")
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        process::tail(&self.log())
    }

    /// Panics with the end of its log.
    pub(super) fn fail(&self, why: &str) -> ! {
        panic!("node {}: {why}\n--- the end of its log:\n{}", self.plan.name, self.log_tail())
    }
}

/// Program and arguments that start the program under test, with every word that it has to say if `traced`. A write
/// beyond a limit on the size of files is an error like any other there, and no death: stories fill disks so.
pub(super) fn launch(traced: bool, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
    let mut env: Vec<OsString> = vec!["--ignore-signal=XFSZ".into()];
    env.extend(traced.then(|| "RUST_LOG=trace".into()));
    env.push(SINEW.into());
    ("/usr/bin/env".into(), env.into_iter().chain(args).collect())
}

/// Starts a program; it ends with the thread that calls this.
pub(super) fn start_program(name: &str, program: PathBuf, args: Vec<OsString>, log: PathBuf) -> Process {
    let leash = Some(SINEW.into());
    let launch = Launch { name: name.into(), program, args, log, piped: false, leash };
    Process::start(&launch).unwrap_or_else(|error| panic!("{error}"))
}

/// Tells one writing of a file from the next.
pub(super) fn version(file: &Path) -> Option<(u64, i64, i64)> {
    fs::metadata(file).ok().map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
}
