//! A service that is a process of its own: it can be stopped (SIGSTOP) while its kernel goes on accepting for it.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use sinew_scenarios::process::{Launch, Process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

/// The program under test, which has services in it.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program {
    process: Process,
    address: SocketAddr,
    _pipes: (ChildStdin, BufReader<ChildStdout>),
    _dir: TempDir,
}

impl Program {
    /// A service that speaks first: `NAME is ready`.
    pub(crate) async fn line(name: &str) -> Self {
        let dir = TempDir::with_prefix("sinew-test-").unwrap();
        let launch = Launch {
            name: format!("service {name}"),
            program: SINEW.into(),
            args: ["demo-service", "line", "--name", name].map(Into::into).into(),
            log: dir.path().join("service.log"),
            piped: true,
            leash: Some(SINEW.into()),
        };
        let mut process = Process::start(&launch).unwrap();
        let (stdin, stdout) = process.take_pipes().unwrap();
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).await.unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap().parse().unwrap();
        Self { process, address, _pipes: (stdin, stdout), _dir: dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self) {
        self.process.signal(Signal::SIGSTOP).unwrap();
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.process.signal(Signal::SIGCONT).unwrap();
    }
}
