//! The controller of the mesh: its configuration, its process.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::config::{ControllerFile, ControllerPorts};
use super::wait::{self, NotReady};
use super::{MeshError, MeshOptions, launch, make_dir, write_toml};
use crate::process::{Launch, Process, tail};

#[derive(Debug)]
pub(super) struct RunningController {
    /// None while it is killed.
    pub(super) process: Option<Process>,
    launch: Launch,
    state: PathBuf,
}

impl RunningController {
    /// Starts it, waits until it listens, and writes its ports into its configuration, so that nodes find it again.
    /// Yields where its API is.
    pub(super) async fn start(options: &MeshOptions) -> Result<(Self, SocketAddr), MeshError> {
        let dir = options.dir.join("controller");
        let (state, config) = (options.controller_state(), dir.join("controller.toml"));
        make_dir(&dir)?;
        write_toml(&config, &ControllerFile::new(&state))?;
        let args = vec!["controller".into(), "--config".into(), config.clone().into()];
        let launch = launch(options, "controller", args, dir.join("controller.log"));
        let mut process = Process::start(&launch)?;
        let ports = tokio::select! {
            ports = wait::ports::<ControllerPorts>(&state) => ports.map_err(|why| super::late(&process, why))?,
            ended = process.unexpected_end() => return Err(ended.into()),
        };
        write_toml(&config, &ControllerFile::new(&state).bound(&ports))?;
        Ok((Self { process: Some(process), launch, state }, ports.api))
    }

    /// Starts it after it was killed.
    pub(super) fn start_again(&mut self) -> Result<(), MeshError> {
        // What is there was written by an earlier process.
        let _ = std::fs::remove_file(self.state.join("ports.json"));
        self.process = Some(Process::start(&self.launch)?);
        Ok(())
    }

    pub(super) fn late(&self, why: NotReady) -> MeshError {
        MeshError::NotReady { name: self.launch.name.clone(), why, tail: self.log_tail() }
    }

    pub(super) fn log_tail(&self) -> String {
        tail(&self.launch.log)
    }
}
