//! `sinew check`: what keeps this machine from being part of the mesh, before the first start and ever after.
//!
//! [`gather`] collects facts and decides nothing, [`judge`] makes [`finding`]s of them and touches nothing. A machine
//! is a node, a controller or both, by the configuration files that it has.

pub(crate) mod facts;
pub(crate) mod finding;
mod gather;
mod judge;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use sinew_api::status::API_VERSION;

use facts::Facts;
use finding::{Outcome, Report};

/// Width of a report that no terminal shows.
const WIDTH: usize = 120;

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A node.toml or controller.toml; repeat it for a machine that has both [default: those of /etc/sinew]
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Check before the first start: nothing runs yet, and nothing has to
    #[arg(long)]
    pre: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text", env = "SINEW_CHECK_OUTPUT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each finding, with what to do about it
    Text,
    /// One document
    Json,
}

/// Runs the command.
///
/// # Errors
/// When a file that was named can't be read.
pub(crate) fn run(args: CheckArgs, colored: bool) -> anyhow::Result<ExitCode> {
    let (_, report) = look(&args.config, args.pre)?;
    match args.output {
        Output::Text => print!("{}", report.text(width(), colored)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.count(Outcome::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What there is with these configuration files, or those of /etc/sinew, and what is found about it.
///
/// # Errors
/// When a file that was named can't be read.
pub(crate) fn look(configs: &[PathBuf], pre: bool) -> anyhow::Result<(Facts, Report)> {
    let facts = gather::gather(configs, pre)?;
    let findings = judge::judge(&facts);
    let report = Report { api_version: API_VERSION, version: facts.version, findings };
    Ok((facts, report))
}

/// How many characters fit into a line of the terminal.
fn width() -> usize {
    comfy_table::Table::new().width().map_or(WIDTH, usize::from)
}
