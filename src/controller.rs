//! `sinew controller`: issues identities, and tells nodes where services are.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use sinew_controller::Config;
use sinew_controller::config::{Overrides, loopback};
use sinew_controller::store::DiskStore;
use sinew_transport::OsRuntime;
use sinew_transport_core::ids::TrustDomain;

use crate::limits::raise_open_files;
use crate::reload;
use crate::secrets::forbid_core_dumps;
use crate::threads::{side_runtime, start_thread, stop_on_signals};
use crate::watchdog::Watchdog;

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/sinew/controller.toml";

/// How to run a controller.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// The controller's configuration [default: /etc/sinew/controller.toml, if there is one]
    #[arg(short, long, value_name = "FILE", env = "SINEW_CONTROLLER_CONFIG")]
    config: Option<PathBuf>,
    /// Where to keep keys, tokens and grants, instead of `state`
    #[arg(long, value_name = "DIR", env = "SINEW_STATE")]
    state: Option<PathBuf>,
    /// Where nodes reach the controller (UDP), instead of `listen`
    #[arg(long, value_name = "ADDRESS", env = "SINEW_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where the HTTP API listens, instead of `api`; loopback
    #[arg(long, value_name = "ADDRESS", value_parser = loopback, env = "SINEW_API")]
    api: Option<SocketAddr>,
    /// The naming root of a new mesh, instead of `trust_domain`
    #[arg(long, value_name = "DOMAIN", env = "SINEW_TRUST_DOMAIN")]
    trust_domain: Option<TrustDomain>,
    /// Begin with an empty store though the authority is not new: what was declared, granted and registered is
    /// forgotten. For once, when the store is lost
    #[arg(long)]
    new_store: bool,
    /// Check the configuration and print what would run, without running it
    #[arg(long)]
    check: bool,
}

/// Runs the controller until a signal ends it.
///
/// # Errors
/// When the configuration can't be used, or the controller can't start.
pub(crate) fn run(args: ControllerArgs) -> anyhow::Result<ExitCode> {
    let (name, text) = read(&args)?;
    let overrides = Overrides {
        state: args.state,
        listen: args.listen,
        api: args.api,
        trust_domain: args.trust_domain,
        new_store: args.new_store,
    };
    let path = PathBuf::from(&name);
    let parse = move |text: &str| Config::parse_with(&name, text, overrides.clone());
    let config = match parse(&text) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{:?}", errors.into_report());
            return Ok(ExitCode::FAILURE);
        }
    };
    if args.check {
        println!("{config:#?}");
        return Ok(ExitCode::SUCCESS);
    }
    forbid_core_dumps()?;
    raise_open_files();
    let runtime = side_runtime().context("making threads")?;
    let stop = stop_on_signals(&runtime).context("watching for signals")?;
    let reloads = reload::follow(&runtime, path, text, parse).context("watching for SIGHUP")?;
    let store = DiskStore::open(&config.state.join(DiskStore::FILE), start_thread("sinew-store"))?;
    runtime.spawn(Watchdog::from_environment().feed());
    let running = async {
        let (os, store) = (Arc::new(OsRuntime), Arc::new(store));
        sinew_controller::run_reloading(config, reloads, os, store, stop).await
    };
    runtime.block_on(running)?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration's name and text. Without any, a state directory is enough: the rest has defaults.
fn read(args: &ControllerArgs) -> anyhow::Result<(String, String)> {
    let path = args.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.config.is_none() => {
            if args.state.is_none() {
                bail!(
                    "there is no {DEFAULT_CONFIG}; pass --config FILE, or --state DIR to run with defaults"
                );
            }
            Ok(("the command line".to_owned(), String::new()))
        }
        Err(error) => {
            Err(error).with_context(|| format!("reading {}: pass another with --config", path.display()))
        }
    }
}
