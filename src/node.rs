//! `sinew node`: the agent beside the services of a machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use sinew_api::document::InvalidDocument;
use sinew_node_core::{Config, Mechanism};
use sinew_transport::OsRuntime;

use crate::limits::raise_open_files;
use crate::reload;
use crate::secrets::forbid_core_dumps;
use crate::threads::{ShardThreads, drain_on_signals, side_runtime};
use crate::watchdog::Watchdog;

/// How to run a node.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's configuration
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/sinew/node.toml",
        env = "SINEW_NODE_CONFIG"
    )]
    config: PathBuf,
    /// The join token; `-` reads it from stdin. Needed once
    #[arg(long, value_name = "FILE", env = "SINEW_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Check the configuration and print what would run, without running it
    #[arg(long)]
    check: bool,
    /// Switch a mechanism off, to see what it is worth
    #[arg(long, value_name = "MECHANISM", hide = true)]
    without: Vec<Mechanism>,
}

/// Runs the node until a signal ends it.
///
/// # Errors
/// When the configuration can't be used, or the node can't start.
pub(crate) fn run(args: NodeArgs) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.config).with_context(|| {
        format!("reading {}: pass the configuration with --config", args.config.display())
    })?;
    let name = args.config.display().to_string();
    let check = args.check;
    let path = args.config.clone();
    let parse = move |text: &str| {
        let mut config = Config::parse(&name, text)?;
        if let Some(token) = &args.token_file {
            config.token_file = Some(token.clone());
        }
        if config.token_file.as_deref() == Some("-".as_ref()) {
            config.token_file = Some("/dev/stdin".into());
        }
        for mechanism in &args.without {
            config.mechanisms = config.mechanisms.without(*mechanism);
        }
        Ok(config)
    };
    let config = match parse(&text) {
        Ok(config) => config,
        Err(errors) => {
            let errors: InvalidDocument = errors;
            eprintln!("{:?}", errors.into_report());
            return Ok(ExitCode::FAILURE);
        }
    };
    if check {
        println!("{config:#?}");
        return Ok(ExitCode::SUCCESS);
    }
    forbid_core_dumps()?;
    raise_open_files();
    let runtime = side_runtime().context("making threads")?;
    let stop = drain_on_signals(&runtime).context("watching for signals")?;
    let reloads = reload::follow(&runtime, path, text, parse).context("watching for SIGHUP")?;
    let watchdog = Watchdog::from_environment();
    runtime.spawn(Arc::clone(&watchdog).feed());
    let shards = Arc::new(ShardThreads(watchdog));
    let node = sinew_node::run_reloading(config, reloads, Arc::new(OsRuntime), shards, stop);
    runtime.block_on(node)?;
    Ok(ExitCode::SUCCESS)
}
