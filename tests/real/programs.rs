//! Programs of the machine: run to their end, or started as servers that end with the test.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use sinew_scenarios::process::{Launch, Process};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::until;

/// How long a program may run: the longest takes half a minute.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// What a program that ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Standard output, then standard error.
    pub(crate) text: String,
    /// Whether it was satisfied.
    pub(crate) success: bool,
}

impl Said {
    /// The first number that stands behind `words`.
    pub(crate) fn number_after(&self, words: &str) -> Option<u64> {
        let (_, rest) = self.text.split_once(words)?;
        let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// The number that stands right before `words`.
    pub(crate) fn number_before(&self, words: &str) -> Option<u64> {
        let (before, _) = self.text.split_once(words)?;
        before.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

/// Runs a program to its end, however that is.
pub(crate) async fn run(command: &mut Command) -> Said {
    let shown = format!("{:?}", command.as_std());
    let output = tokio::time::timeout(RUN_TIMEOUT, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{shown} has not ended after {RUN_TIMEOUT:?}"));
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}; is it installed?"));
    let both = [output.stdout, output.stderr].concat();
    Said { text: String::from_utf8_lossy(&both).into_owned(), success: output.status.success() }
}

/// Runs a program that must succeed.
pub(crate) async fn succeed(command: &mut Command) -> Said {
    let said = run(command).await;
    assert!(said.success, "{:?} failed:\n{}", command.as_std(), said.text);
    said
}

/// Starts a server and waits until it takes connections at `address`.
pub(crate) async fn serve(
    program: PathBuf,
    args: Vec<OsString>,
    log: PathBuf,
    address: SocketAddr,
) -> Process {
    let name = program.display().to_string();
    let leash = Some(env!("CARGO_BIN_EXE_sinew").into());
    let launch = Launch { name, program, args, log, piped: false, leash };
    let mut server = Process::start(&launch).unwrap_or_else(|error| panic!("{error}"));
    let listening = until("the server to listen", || async {
        TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
    });
    let listening = tokio::select! {
        listening = listening => listening,
        ended = server.unexpected_end() => Err(ended.to_string()),
    };
    listening.unwrap_or_else(|why| panic!("{why}\n{}", server.log_tail()));
    server
}

/// An address that nobody uses now, for servers that can't choose one themselves.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address")
}
