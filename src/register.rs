//! `sinew register` and `sinew deregister`: endpoints that come and go while their node runs, by the word of
//! somebody on its machine, within what the node was granted.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use sinew_api::admin::{Deregistered, Deregistering, NodeEndpoint, NodeEndpoints, Registered, Registering};
use sinew_api::hosting::Health;
use sinew_transport_core::ids::ServiceName;

use crate::client::{Client, NodeApiArgs};
use crate::completion;

/// How often a waiting command looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to register.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The service; it must be granted to the node
    #[arg(add = ArgValueCompleter::new(completion::granted))]
    service: ServiceName,
    /// Where it listens, e.g. 127.0.0.1:8080
    address: SocketAddr,
    /// A label of the endpoint, e.g. version=v2; repeat it for more
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How much it can take beside other instances of its service; only the ratio counts
    #[arg(long, value_name = "NUMBER")]
    capacity: Option<u32>,
    /// Return when it answers and takes connections
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, env = "SINEW_REGISTER_TIMEOUT")]
    timeout: Duration,
    #[command(flatten)]
    common: Common,
}

/// What to take back.
#[derive(Debug, Args)]
pub(crate) struct DeregisterArgs {
    /// The service
    #[arg(add = ArgValueCompleter::new(completion::granted))]
    service: ServiceName,
    /// Where it was registered; without it, every address
    address: Option<SocketAddr>,
    /// Return when its connections have ended. Without it they go on, too, but nobody waits for them
    #[arg(long)]
    drain: bool,
    /// How long --drain waits
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration, env = "SINEW_DEREGISTER_TIMEOUT")]
    timeout: Duration,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_REGISTER_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: NodeApiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each endpoint
    Text,
    /// The node's answer
    Json,
}

/// Runs `sinew register`.
///
/// # Errors
/// When the node can't be reached or refuses, or the endpoint does not answer in time.
pub(crate) fn register(args: RegisterArgs) -> anyhow::Result<ExitCode> {
    let client = Client::of_node(&args.common.api)?;
    let (service, address) = (args.service, args.address);
    let labels = args.labels.into_iter().collect();
    let new = Registering { service: service.clone(), address, labels, capacity: args.capacity };
    let mut registered: Registered = client.post("/v1/register", &new)?;
    let deadline = Instant::now() + args.timeout;
    while args.wait && registered.endpoint.health != Health::Up {
        if Instant::now() >= deadline {
            bail!(
                "`{service}` is registered, but nothing answered at {address} in {}; is it listening there? It takes \
                 connections as soon as it answers; `sinew deregister {service} {address}` takes it back",
                humantime::format_duration(args.timeout)
            );
        }
        std::thread::sleep(LOOK_EVERY);
        match now(&client, &registered.endpoint)? {
            Some(endpoint) => registered.endpoint = endpoint,
            None => bail!("`{service}` at {address} was deregistered by somebody else meanwhile"),
        }
    }
    match args.common.output {
        Output::Text => {
            let health = format!("{:?}", registered.endpoint.health).to_lowercase();
            println!("{}: {health}", line(&registered.node, &registered.endpoint));
        }
        Output::Json => println!("{}", serde_json::to_string_pretty(&registered)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `sinew deregister`.
///
/// # Errors
/// When the node can't be reached or refuses, or connections have not ended in time.
pub(crate) fn deregister(args: DeregisterArgs) -> anyhow::Result<ExitCode> {
    let client = Client::of_node(&args.common.api)?;
    let DeregisterArgs { service, address, drain, timeout, common } = args;
    let gone = Deregistering { service, address, drain };
    let deregistered: Deregistered = client.post("/v1/deregister", &gone)?;
    let deadline = Instant::now() + timeout;
    for endpoint in deregistered.endpoints.iter().filter(|_| drain) {
        while let Some(now) = now(&client, endpoint)? {
            if now.health != Health::Draining {
                bail!("{} was registered again meanwhile", line(&deregistered.node, &now));
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} connections to {} are still in progress after {}; it takes nothing new and is gone with the last",
                    now.connections,
                    line(&deregistered.node, &now),
                    humantime::format_duration(timeout)
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    match common.output {
        Output::Text => {
            for endpoint in &deregistered.endpoints {
                println!("{} is gone", line(&deregistered.node, endpoint));
            }
        }
        Output::Json => println!("{}", serde_json::to_string_pretty(&deregistered)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The same endpoint as it is now; none when it is gone.
fn now(client: &Client, endpoint: &NodeEndpoint) -> anyhow::Result<Option<NodeEndpoint>> {
    let all: NodeEndpoints = client.get("/v1/endpoints")?;
    Ok(all.endpoints.into_iter().find(|known| known.slot == endpoint.slot))
}

fn line(node: &impl std::fmt::Display, endpoint: &NodeEndpoint) -> String {
    let NodeEndpoint { service, slot, address, .. } = endpoint;
    format!("{service} {node}/{slot} at {address}")
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as key=value, e.g. version=v2")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_a_value() {
        assert_eq!(label("version=v2"), Ok(("version".to_owned(), "v2".to_owned())));
        assert_eq!(label("note=a=b"), Ok(("note".to_owned(), "a=b".to_owned())));
        assert!(label("version").is_err());
    }
}
