//! `sinew token create`: the right to join, once.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sinew_api::status::{CreatedToken, NewToken};
use sinew_transport_core::ids::{NodeName, ServiceName};

use crate::client::{ApiArgs, Client};

/// What to do with tokens.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token with which one node can join once; it is printed here and kept nowhere
    Create(CreateArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The name of the node that joins
    #[arg(long, value_name = "NAME", env = "SINEW_TOKEN_NODE")]
    node: NodeName,
    /// A service that the node may host and speak for; repeat it for more
    #[arg(
        long = "service",
        value_name = "SERVICE",
        required = true,
        value_delimiter = ',',
        env = "SINEW_TOKEN_SERVICES"
    )]
    services: Vec<ServiceName>,
    /// For how long the token can be used
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration, env = "SINEW_TOKEN_TTL")]
    ttl: Duration,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_TOKEN_OUTPUT")]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The token alone
    Text,
    /// The API's answer
    Json,
}

/// Runs the command.
///
/// # Errors
/// When the controller can't be reached, or refuses.
pub(crate) fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let TokenCommand::Create(args) = args.command;
    let new = NewToken { node: args.node, services: args.services, ttl_seconds: args.ttl.as_secs() };
    let created: CreatedToken = Client::find(&args.api)?.post("/v1/tokens", &new)?;
    match args.output {
        Output::Text => println!("{}", created.token),
        Output::Json => println!("{}", serde_json::to_string_pretty(&created)?),
    }
    Ok(ExitCode::SUCCESS)
}
