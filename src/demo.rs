//! `sinew demo-service`: the little services of `dev`, `bench` and the tutorial; and, hidden, the leash on which the
//! first two keep their child processes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use sinew_scenarios::demo::DemoService;
use sinew_scenarios::process::leash;
use sinew_scenarios::scenario::Behaviour;

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Answers framed requests with their id, its name and the payload
    EchoId(ServiceArgs),
    /// Answers HTTP with its name and the time
    Http(ServiceArgs),
    /// Speaks first, then answers each line
    Line(ServiceArgs),
    /// Becomes a program that is killed when PARENT ends
    #[command(hide = true)]
    Leash {
        /// The process to whose life the program is tied
        parent: u32,
        /// The program
        program: OsString,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct ServiceArgs {
    /// What it calls itself in its answers
    #[arg(long, default_value = "demo")]
    name: String,
    /// How long it takes before it answers; `latency TIME` on standard input changes it
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Where it listens; the address is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input ends
    #[arg(long)]
    until_stdin_ends: bool,
}

/// Serves, or becomes another program.
///
/// # Errors
/// When the service can't listen, or the program can't be started.
pub(crate) fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let (behaviour, args) = match args.kind {
        Kind::EchoId(args) => (Behaviour::EchoId, args),
        Kind::Http(args) => (Behaviour::Http, args),
        Kind::Line(args) => (Behaviour::Line, args),
        Kind::Leash { parent, program, args } => {
            let failed = leash::exec(parent, &program, &args);
            return Err(failed).with_context(|| format!("starting {}", program.display()));
        }
    };
    let service = DemoService {
        name: args.name,
        behaviour,
        latency: args.latency,
        listen: args.listen,
        until_stdin_ends: args.until_stdin_ends,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(service.run(tokio::io::stdin(), tokio::io::stdout()));
    // Standard input is read by a thread that can't be told to stop.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}
