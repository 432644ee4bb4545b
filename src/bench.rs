//! `sinew bench FILE`: rehearses a scenario on real processes of this machine and says whether what it
//! expects held. The engine is `sinew-scenarios`; here are its flags, its output and its exit code.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use sinew_node_core::Mechanism;
use sinew_scenarios::engine::{self, BenchOptions};
use sinew_scenarios::file::{self, FileError};
use sinew_scenarios::report::Report;

use crate::threads::side_runtime;

/// The exit code when an expectation was not met.
const MISSED: u8 = 79;

/// What to rehearse, and where the results go.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The scenario
    #[arg(value_name = "FILE", env = "SINEW_BENCH_FILE")]
    file: PathBuf,
    /// What is printed to standard output
    #[arg(short, long, value_enum, default_value_t = Output::Table, env = "SINEW_BENCH_OUTPUT")]
    output: Output,
    /// Also write the report as JSON to this file
    #[arg(long, value_name = "FILE", env = "SINEW_BENCH_JSON")]
    json: Option<PathBuf>,
    /// Leave configuration, logs and state in this new directory instead of removing them
    #[arg(long, value_name = "DIR", env = "SINEW_BENCH_KEEP")]
    keep: Option<PathBuf>,
    /// Show no progress
    #[arg(long, env = "SINEW_BENCH_NO_PROGRESS")]
    no_progress: bool,
    /// Switch a mechanism off in all nodes, to see what it is worth
    #[arg(long, value_name = "MECHANISM", hide = true)]
    without: Vec<Mechanism>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs the scenario and prints its report.
///
/// # Errors
/// When the scenario can't be run. An expectation that was not met is exit code 79, not an error.
pub(crate) fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let scenario = match file::load(&args.file) {
        Ok(scenario) => scenario,
        Err(FileError::Invalid(mistakes)) => {
            eprintln!("{:?}", mistakes.into_report());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let options = BenchOptions {
        binary: own_binary()?,
        without: args.without,
        keep: args.keep,
        quiet: args.no_progress,
    };
    // The calling thread lives as long as the program: children are tied to it.
    let runtime = side_runtime().context("making threads")?;
    let report = runtime.block_on(engine::run(&scenario, &options))?;

    if let Some(path) = &args.json {
        std::fs::write(path, report.to_json())
            .with_context(|| format!("writing the report to {}", path.display()))?;
    }
    match args.output {
        Output::Json => println!("{}", report.to_json()),
        Output::Table => print!("{}", report.to_table()),
    }
    Ok(verdict(&report))
}

/// Names what was not met, on standard error.
fn verdict(report: &Report) -> ExitCode {
    let missed = report.missed();
    for verdict in &missed {
        eprintln!(
            "expectation `{}` was not met: expected {}; measured {}",
            verdict.name, verdict.expected, verdict.measured
        );
    }
    if missed.is_empty() {
        if std::io::stderr().is_terminal() {
            eprintln!("{}: all {} expectations were met", report.scenario, report.expectations.len());
        }
        return ExitCode::SUCCESS;
    }
    ExitCode::from(MISSED)
}

/// The `sinew` program that is started for controller, nodes and services: this one, or `SINEW_BIN`.
///
/// # Errors
/// When this program doesn't know where it is.
pub(crate) fn own_binary() -> anyhow::Result<PathBuf> {
    match std::env::var_os("SINEW_BIN") {
        Some(path) => Ok(path.into()),
        None => std::env::current_exe().context("finding this program; set SINEW_BIN to its path"),
    }
}
