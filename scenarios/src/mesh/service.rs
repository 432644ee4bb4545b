//! A demo service of the mesh: its process, its port, and the pipe by which it is told to change.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use super::{MeshError, MeshOptions, make_dir};
use crate::process::{Launch, Process, ProcessError};
use crate::scenario::{Endpoint, Service};

/// How long a service may take to say something: it does nothing else then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct RunningService {
    process: Process,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl RunningService {
    /// Starts the service of `endpoint` and waits until it listens.
    pub(super) async fn start(
        service: &Service,
        endpoint: &Endpoint,
        options: &MeshOptions,
    ) -> Result<Self, MeshError> {
        let dir = options.dir.join("services");
        make_dir(&dir)?;
        let mut process = Process::start(&launch(service, endpoint, options, &dir))?;
        let Some((commands, output)) = process.take_pipes() else {
            return Err(fail(&process, "start", "it has no pipes"));
        };
        let mut answers = BufReader::new(output).lines();
        let said = next_line(&mut process, &mut answers, "start").await?;
        let address = said.strip_prefix("listening ").and_then(|a| a.parse().ok());
        let address = address.ok_or_else(|| fail(&process, "start", &format!("it said `{said}`")))?;
        Ok(Self { process, commands, answers, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how long its answers take; the new time holds when this returns.
    pub(super) async fn set_latency(&mut self, latency: Duration) -> Result<(), MeshError> {
        let line = format!("latency {}us", latency.as_micros());
        let told = self.commands.write_all(format!("{line}\n").as_bytes()).await;
        told.map_err(|e| fail(&self.process, &line, &e.to_string()))?;
        let said = next_line(&mut self.process, &mut self.answers, &line).await?;
        if said == line { Ok(()) } else { Err(fail(&self.process, &line, &format!("it said `{said}`"))) }
    }

    pub(super) fn check_running(&mut self) -> Result<(), ProcessError> {
        self.process.check_running()
    }
}

fn launch(service: &Service, endpoint: &Endpoint, options: &MeshOptions, dir: &Path) -> Launch {
    let latency = format!("{}us", endpoint.latency.as_micros());
    let name = endpoint.id.to_string();
    let args = ["demo-service", service.behaviour.word(), "--name", &name, "--latency", &latency];
    let mut args: Vec<_> = args.into_iter().map(Into::into).collect();
    args.push("--until-stdin-ends".into());
    Launch {
        name: format!("service {} at {name}", service.name),
        program: options.binary.clone(),
        args,
        log: dir.join(format!("{}-{}.log", service.name, endpoint.id.node)),
        piped: true,
        leash: Some(options.binary.clone()),
    }
}

async fn next_line(
    process: &mut Process,
    answers: &mut Lines<BufReader<ChildStdout>>,
    told: &str,
) -> Result<String, MeshError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answers.next_line()).await {
        Ok(Ok(Some(line))) => Ok(line),
        Ok(Ok(None)) => Err(process.unexpected_end().await.into()),
        Ok(Err(e)) => Err(fail(process, told, &e.to_string())),
        Err(_) => Err(fail(process, told, &format!("no answer in {ANSWER_TIMEOUT:?}"))),
    }
}

fn fail(process: &Process, line: &str, why: &str) -> MeshError {
    MeshError::Service { name: process.name().to_owned(), line: line.to_owned(), why: why.to_owned() }
}
