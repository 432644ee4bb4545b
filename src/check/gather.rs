//! Looks at the machine: files, sockets, the kernel, and whoever answers. What can't be seen is a fact, too.

mod files;
mod hands;
mod sockets;
mod system;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use sinew_api::status::Status;
use sinew_controller::config::Overrides;
use sinew_node_core::Config as NodeConfig;
use sinew_transport_core::ids::ServiceName;

use super::facts::{Agent, Bind, Certificate, Facts, Kind, Program};
use crate::client::Client;
use crate::config::{Kind as FileKind, kind_of};

/// Where configurations are when nobody says, and the variables that say otherwise.
const DEFAULTS: [(&str, &str); 2] = [
    ("SINEW_NODE_CONFIG", "/etc/sinew/node.toml"),
    ("SINEW_CONTROLLER_CONFIG", "/etc/sinew/controller.toml"),
];

/// Gathers everything. Files that are named must be there; those of /etc/sinew may be.
///
/// # Errors
/// When a file that was named can't be read.
pub(super) fn gather(configs: &[PathBuf], pre: bool) -> anyhow::Result<Facts> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut facts = Facts {
        pre,
        now: now.as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        system: runtime.block_on(system::system()),
        programs: Vec::new(),
        agent: None,
        status: Err("no controller runs on this machine".to_owned()),
    };
    for (path, text) in texts(configs)? {
        match kind(&path, &text) {
            Kind::Node => node(&mut facts, path, &text, &runtime),
            Kind::Controller => controller(&mut facts, path, &text),
        }
    }
    Ok(facts)
}

fn texts(configs: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, String)>> {
    if configs.is_empty() {
        let paths = DEFAULTS.map(|(variable, default)| {
            std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
        });
        let there = paths.into_iter().filter(|path| path.exists());
        return there.map(read).collect();
    }
    configs.iter().cloned().map(read).collect()
}

fn read(path: PathBuf) -> anyhow::Result<(PathBuf, String)> {
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {}: check the path, and who may read it", path.display()))?;
    Ok((path, text))
}

/// What a file is: by what is in it, or, when that can't be told, by its name.
fn kind(path: &Path, text: &str) -> Kind {
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains("controller"));
    match kind_of(text) {
        FileKind::Node => Kind::Node,
        FileKind::Controller => Kind::Controller,
        _ if named => Kind::Controller,
        _ => Kind::Node,
    }
}

/// A program whose configuration can't be used.
fn unusable(kind: Kind, file: PathBuf, mistakes: String) -> Program {
    Program {
        kind,
        file,
        config: Err(mistakes),
        state: None,
        sockets: Vec::new(),
        certificates: Vec::new(),
        pid: None,
        token_file: None,
    }
}

fn node(facts: &mut Facts, file: PathBuf, text: &str, runtime: &tokio::runtime::Runtime) {
    let config = match NodeConfig::parse(&file.display().to_string(), text) {
        Ok(mut config) => {
            // The program takes it in place of what the file says, too.
            config.token_file = std::env::var_os("SINEW_TOKEN_FILE").map(PathBuf::from).or(config.token_file);
            config
        }
        Err(mistakes) => {
            facts.programs.push(unusable(Kind::Node, file, mistakes.to_string()));
            return;
        }
    };
    let links = Client::of_node_at(&config.state).and_then(|client| client.get("/v1/links"));
    let agent = Agent { links: links.map_err(|error| format!("{error:#}")), controllers: Vec::new() };
    let holders = sockets::Holders::look(&config.state, agent.links.is_ok());
    let mut binds = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for shard in 0..config.shards.unwrap_or_else(|| sinew_node::default_shards(cores)) {
        let mut address = config.data;
        // A file whose ports run past the last one is refused when it is read.
        address.set_port(if config.data.port() == 0 { 0 } else { config.data.port().saturating_add(shard) });
        binds.push((format!("data socket {shard}"), "UDP", address));
    }
    binds.extend(config.admin.map(|address| ("admin".to_owned(), "TCP", address)));
    let name = |service: &ServiceName| format!("[[listen]] for {service}");
    binds.extend(config.listens.iter().map(|listen| (name(&listen.service), "TCP", listen.address)));
    let runs_as = holders.owner(&binds);
    if let Some(files) = holders.files_limit(&binds) {
        facts.system.files = Some(files);
    }
    let state = files::state(&config.state, Kind::Node, runs_as);
    let (own, root) = (config.state.join("identity.pem"), config.state.join("root.cert.pem"));
    let mut certificates = vec![Certificate {
        what: "the node's certificate",
        found: files::validity(&own),
        file: own,
        grace: Some(config.expiry_grace),
        token: config.token_file.as_deref().map(files::token),
    }];
    // Both come at once: where neither is, one finding tells.
    if root.exists() {
        let found = files::validity(&root);
        certificates.push(Certificate {
            what: "the root of the mesh",
            file: root,
            found,
            grace: None,
            token: None,
        });
    }
    let session = agent.links.as_ref().is_ok_and(|links| links.session);
    let controllers = if session { Vec::new() } else { runtime.block_on(hands::shake(&config)) };
    facts.agent = Some(Agent { controllers, ..agent });
    facts.programs.push(Program {
        kind: Kind::Node,
        file,
        config: Ok(format!("{} [[listen]], {} [[serve]]", config.listens.len(), config.serves.len())),
        state: Some(state),
        pid: holders.pid(&binds),
        sockets: holders.binds(binds),
        certificates,
        token_file: config.token_file,
    });
}

fn controller(facts: &mut Facts, file: PathBuf, text: &str) {
    let parsed =
        sinew_controller::Config::parse_with(&file.display().to_string(), text, Overrides::default());
    let config = match parsed {
        Ok(config) => config,
        Err(mistakes) => {
            facts.programs.push(unusable(Kind::Controller, file, mistakes.to_string()));
            return;
        }
    };
    let status =
        Client::of_controller_at(&config.state).and_then(|client| client.get::<Status>("/v1/status"));
    facts.status = status.map_err(|error| format!("{error:#}"));
    let holders = sockets::Holders::look(&config.state, facts.status.is_ok());
    let binds = vec![("sessions".to_owned(), "UDP", config.listen), ("API".to_owned(), "TCP", config.api)];
    let state = files::state(&config.state, Kind::Controller, holders.owner(&binds));
    let certificate = config.state.join("ca.cert.pem");
    facts.programs.push(Program {
        kind: Kind::Controller,
        file,
        config: Ok(format!("mesh {}, controller {}", config.trust_domain, config.name)),
        state: Some(state),
        pid: holders.pid(&binds),
        token_file: None,
        sockets: holders.binds(binds),
        certificates: vec![Certificate {
            what: "the authority's certificate",
            found: files::validity(&certificate),
            file: certificate,
            grace: None,
            token: None,
        }],
    });
}

/// A socket to be bound, before it is looked at.
type Wanted = (String, &'static str, std::net::SocketAddr);

impl sockets::Holders {
    fn binds(&self, wanted: Vec<Wanted>) -> Vec<Bind> {
        let bind =
            |(what, protocol, address)| Bind { what, protocol, address, held: self.held(protocol, address) };
        wanted.into_iter().map(bind).collect()
    }
}
