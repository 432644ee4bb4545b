//! The one program: reads the command line, sets up logging, and hands over to a command.
//!
//! Only this folder makes threads and runtimes ([`threads`]). Each command is a file of its own: its
//! arguments, and a `run` that ends in an exit code: 0 success, 1 failure, 2 wrong usage, 79 a check
//! that found something. What a command is asked for goes to stdout, everything else to stderr.

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]

mod apply;
mod bench;
mod bugreport;
mod check;
mod client;
mod completion;
mod config;
mod controller;
mod demo;
mod dev;
mod get;
mod limits;
mod logging;
mod man;
mod node;
mod ping;
mod reference;
mod register;
mod reload;
mod secrets;
mod status;
mod threads;
mod token;
mod watchdog;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// mimalloc and the system's allocator are equal in speed here; mimalloc gives memory back sooner under
/// many short connections.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A QUIC overlay mesh: applications talk to localhost ports, agents do the rest.
#[derive(Debug, Parser)]
#[command(name = "sinew", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    logging: logging::LoggingArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole mesh on this machine to play with: a controller, three nodes, small services
    Dev(dev::DevArgs),
    /// Run a controller: it issues identities and tells nodes where services are
    Controller(controller::ControllerArgs),
    /// Run a node agent beside the services of this machine
    Node(node::NodeArgs),
    /// Tell the node on this machine of a service that it hosts from now on
    Register(register::RegisterArgs),
    /// Take back what was registered
    Deregister(register::DeregisterArgs),
    /// Make tokens with which nodes join
    Token(token::TokenArgs),
    /// Declare services, nodes, endpoints and listeners from files, all or nothing
    Apply(apply::ApplyArgs),
    /// Show what applying files would change
    Diff(apply::DiffArgs),
    /// Show what is declared
    Get(get::GetArgs),
    /// Take back what is declared
    Delete(get::DeleteArgs),
    /// Show what was declared when, and why
    History(get::HistoryArgs),
    /// Show what a node is told: its whole configuration
    Effective(get::EffectiveArgs),
    /// Show nodes, services, endpoints and links
    Status(status::StatusArgs),
    /// Measure the way to another node, over the link that this machine's node has with it
    Ping(ping::PingArgs),
    /// Find out what keeps this machine from being, or staying, part of the mesh
    Check(check::CheckArgs),
    /// Gather what somebody needs who helps with a problem, without secrets, into one file
    Bugreport(bugreport::BugreportArgs),
    /// Run a scenario file: a mesh, its load, its faults, and what is expected of it
    Bench(bench::BenchArgs),
    /// Print schemas and examples of our files, and check files without running anything
    Config(config::ConfigArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Print the manual page, or write the pages of all commands into a directory
    Man(man::ManArgs),
    /// Print the version
    Version,
    /// Run a small service to try a mesh with
    DemoService(demo::DemoArgs),
    /// Print a page of the reference that is made of the code
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

fn main() -> ExitCode {
    completion::answer();
    let cli = Cli::parse();
    cli.logging.install();
    let ended = match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Controller(args) => controller::run(args),
        Command::Node(args) => node::run(args),
        Command::Token(args) => token::run(args),
        Command::Register(args) => register::register(args),
        Command::Deregister(args) => register::deregister(args),
        Command::Apply(args) => apply::run(args),
        Command::Diff(args) => apply::diff(args),
        Command::Get(args) => get::get(args),
        Command::Delete(args) => get::delete(args),
        Command::History(args) => get::history(args),
        Command::Effective(args) => get::effective(args),
        Command::Status(args) => status::run(args),
        Command::Ping(args) => ping::run(args),
        Command::Check(args) => check::run(args, cli.logging.colored(std::io::stdout().is_terminal())),
        Command::Bugreport(args) => bugreport::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Config(args) => config::run(args),
        Command::Completion(args) => completion::run(args),
        Command::Man(args) => man::run(args),
        Command::Version => {
            println!("sinew {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Command::DemoService(args) => demo::run(args),
        Command::Reference(args) => {
            print!("{}", reference::page(args.page));
            Ok(ExitCode::SUCCESS)
        }
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {}", told(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes, but those that it quotes already.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.is_empty() => cause,
        told if told.contains(&cause) => told,
        told => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
