//! `sinew dev`: a whole mesh on this machine, to play with.
//!
//! A controller, three nodes and five small services, all separate processes that know each other only by
//! localhost ports. A node that someone kills is started again after a while, so that failing over and
//! coming back can both be watched. Ctrl-C ends everything and removes its files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use sinew_scenarios::engine::{WorkDir, interrupted};
use sinew_scenarios::mesh::{Mesh, MeshOptions};
use sinew_scenarios::scenario::{Behaviour, Endpoint, Listener, Node, Service, Topology};
use sinew_transport_core::ids::{EndpointId, InvalidName, NodeName, ServiceName};
use tokio::time::{Instant, sleep};

use crate::bench::own_binary;
use crate::threads::side_runtime;

/// How long a killed node stays away: long enough to try a few requests without it.
const AWAY: Duration = Duration::from_secs(15);

/// How often it is looked whether someone killed a node.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Where to play.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Leave configuration, logs and state in this new directory instead of removing them
    #[arg(long, value_name = "DIR", env = "SINEW_DEV_KEEP")]
    keep: Option<PathBuf>,
}

/// Runs the mesh until Ctrl-C.
///
/// # Errors
/// When it does not start.
pub(crate) fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let topology = topology().context("the built-in topology")?;
    let binary = own_binary()?;
    // The calling thread lives as long as the program: children are tied to it.
    let runtime = side_runtime().context("making threads")?;
    runtime.block_on(async {
        let dir = WorkDir::new(args.keep.as_deref())?;
        eprintln!("starting a controller, three nodes and their services in {}", dir.path().display());
        let options = MeshOptions { binary: binary.clone(), dir: dir.path().to_owned(), without: Vec::new() };
        let mut mesh = tokio::select! {
            mesh = Mesh::start(&topology, options) => mesh?,
            () = interrupted() => return Ok(ExitCode::SUCCESS),
        };
        print!("{}", welcome(&topology, &mesh, &binary));
        tokio::select! {
            broken = tend(&mut mesh) => broken?,
            () = interrupted() => eprintln!("\nending all processes"),
        }
        mesh.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts nodes again that someone killed. Ends only when something else breaks.
async fn tend(mesh: &mut Mesh) -> anyhow::Result<()> {
    let mut away: Vec<(NodeName, Instant)> = Vec::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        for node in mesh.take_ended_nodes() {
            println!("node {node} is gone; it comes back in {} s", AWAY.as_secs());
            away.push((node, Instant::now() + AWAY));
        }
        mesh.check_running()?;
        if let Some(due) = away.iter().position(|(_, back)| *back <= Instant::now()) {
            let (node, _) = away.remove(due);
            mesh.start_node(&node)?;
            println!("node {node} was started again, pid {}", pid(mesh, &node));
        }
    }
}

fn pid(mesh: &Mesh, node: &NodeName) -> u32 {
    mesh.pids().into_iter().find(|(name, _)| name == node).map_or(0, |(_, pid)| pid)
}

/// Three nodes. Everybody has an endpoint of `orders`, which speaks HTTP; n2 and n3 have one of `greeter`,
/// which speaks first. Applications on n1 call both, for the service `web`.
fn topology() -> Result<Topology, InvalidName> {
    let nodes = ["n1", "n2", "n3"].map(NodeName::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let endpoint = |node: &NodeName, slot, latency| Endpoint {
        id: EndpointId { node: node.clone(), slot },
        latency: Duration::from_millis(latency),
        configured: true,
    };
    let orders = nodes.iter().zip([3, 2, 1]).map(|(node, latency)| endpoint(node, 0, latency)).collect();
    let greeter = nodes[1..].iter().map(|node| endpoint(node, 1, 0)).collect();
    let listener = |name: &str| -> Result<Listener, InvalidName> {
        let (service, speaks_for) = (ServiceName::new(name)?, ServiceName::new("web")?);
        Ok(Listener { name: name.to_owned(), node: nodes[0].clone(), service, speaks_for })
    };
    Ok(Topology {
        services: vec![
            Service { name: ServiceName::new("orders")?, behaviour: Behaviour::Http, endpoints: orders },
            Service { name: ServiceName::new("greeter")?, behaviour: Behaviour::Line, endpoints: greeter },
        ],
        listeners: vec![listener("orders")?, listener("greeter")?],
        nodes: nodes.into_iter().map(|name| Node { name, zone: None, started: true }).collect(),
    })
}

/// What runs, and what to try.
fn welcome(topology: &Topology, mesh: &Mesh, binary: &Path) -> String {
    let mut text = "\nA mesh runs. Ctrl-C ends it and removes its files.\n\n".to_owned();
    for node in &topology.nodes {
        let hosted = topology.hosted(&node.name).into_iter().map(|(s, _)| s.name.to_string());
        let _ = writeln!(
            text,
            "  node {}  pid {:<7}  hosts {}",
            node.name,
            pid(mesh, &node.name),
            hosted.collect::<Vec<_>>().join(", ")
        );
    }
    let port = |name| mesh.listener(name).map_or_else(|| "?".to_owned(), |a| a.to_string());
    let (orders, greeter) = (port("orders"), port("greeter"));
    let (sinew, state) = (binary.display(), mesh.controller_state());
    let victim = &topology.nodes[2].name;
    let _ = write!(
        text,
        "
Applications on n1 call `orders` at {orders} and `greeter` at {greeter}. Try, in another terminal:

  curl http://{orders}/
  for i in 1 2 3 4 5 6; do curl -s http://{orders}/; done
  nc {}
  {sinew} status --state {}

Then kill a node. What it has in hand is lost; a second later nobody notices. It returns after {} s.

  kill -9 {}; sleep 1; for i in 1 2 3 4 5 6; do curl -s http://{orders}/; done

",
        greeter.replace(':', " "),
        state.display(),
        AWAY.as_secs(),
        pid(mesh, victim),
    );
    text
}
