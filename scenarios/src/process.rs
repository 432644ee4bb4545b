//! Child processes that never outlive whoever started them.
//!
//! A [`Process`] is a running program with a log file. It is stopped (SIGTERM, then patience, then
//! SIGKILL) by [`Process::stop`], killed by [`Process::kill`], and killed and reaped when dropped. Should
//! the parent itself be killed, the kernel ends the child: it is started through the [`leash`]. Children
//! are in process groups of their own, so that Ctrl-C in a terminal reaches the parent alone, which then
//! ends them in order.
//!
//! Signals go to a pid that has not been reaped yet, so they can't hit another process.

pub mod leash;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a process that was told to stop may take: it closes its connections, which takes a round trip,
/// and a few seconds on a machine that is busy.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a dropped process is waited for after SIGKILL, so that its files can be removed. The kernel
/// takes a few milliseconds; a process in an uninterruptible sleep is left to it.
const REAP_PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether a killed process is gone.
const REAP_INTERVAL: Duration = Duration::from_millis(1);

/// How much of a log an error shows: about twenty lines.
const TAIL_LEN: u64 = 2_000;

/// Why a process could not be started, or did something else than it was told.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It did not start.
    #[error("cannot start {name} ({program}): {source}; is the program there and executable?")]
    Start {
        /// What we call it.
        name: String,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{name} ended by itself ({status}); the end of {log}:\n{tail}")]
    Ended {
        /// What we call it.
        name: String,
        /// How it ended.
        status: String,
        /// Its log file.
        log: String,
        /// The end of that.
        tail: String,
    },
    /// A signal could not be sent, or waiting failed.
    #[error("cannot {what} {name} (pid {pid}): {source}")]
    Control {
        /// What was tried.
        what: &'static str,
        /// What we call it.
        name: String,
        /// Its process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What we call it in messages.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where its standard error goes, and its standard output unless [`Launch::piped`].
    pub log: PathBuf,
    /// Whether we talk to it through standard input and output.
    pub piped: bool,
    /// The `sinew` program that ties it to our life; none in tests of this module.
    pub leash: Option<PathBuf>,
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program. Call it from a thread that lives as long as the process shall: the kernel counts
    /// the end of that thread as the end of the parent.
    ///
    /// Variables `SINEW_…` are not passed on: they are meant for the parent's own flags.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn start(launch: &Launch) -> Result<Self, ProcessError> {
        let fail = |source| ProcessError::Start {
            name: launch.name.clone(),
            program: launch.program.display().to_string(),
            source,
        };
        let log = OpenOptions::new().create(true).append(true).open(&launch.log).map_err(fail)?;
        let mut command = match &launch.leash {
            None => Command::new(&launch.program),
            Some(sinew) => leash::command(sinew, &launch.program),
        };
        command.args(&launch.args).kill_on_drop(true).process_group(0).env("NO_COLOR", "1");
        remove_own_variables(&mut command);
        if launch.piped {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(log.try_clone().map_err(fail)?);
        }
        let child = command.stderr(log).spawn().map_err(fail)?;
        let pid = child.id().ok_or_else(|| fail(io::Error::other("it has no process id")))?;
        Ok(Self { name: launch.name.clone(), pid, log: launch.log.clone(), child })
    }

    /// What we call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its standard input and output, once, if it was started [`Launch::piped`].
    pub fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Nothing if it runs.
    ///
    /// # Errors
    /// [`ProcessError::Ended`], with the end of its log, if it does not.
    pub fn check_running(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(source) => Err(self.control("look after", source)),
        }
    }

    /// Resolves when it ends, to an error with the end of its log: nobody told it to.
    pub async fn unexpected_end(&mut self) -> ProcessError {
        match self.child.wait().await {
            Ok(status) => self.ended(status),
            Err(source) => self.control("wait for", source),
        }
    }

    /// Waits until it ends by itself, or because it was told to.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it had ended before.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        self.check_running()?;
        kill(self.nix_pid(), signal).map_err(|e| self.control("signal", e.into()))
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it had ended before.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait().await.map(drop).map_err(|e| self.control("wait for", e))
    }

    /// SIGTERM; after five seconds without effect, SIGKILL. Says whether SIGTERM sufficed.
    pub async fn stop(mut self) -> bool {
        // A paused process receives SIGTERM only when it continues.
        let told = self.signal(Signal::SIGTERM).and_then(|()| self.signal(Signal::SIGCONT));
        told.is_ok() && tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.is_ok()
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).unwrap_or(i32::MAX))
    }

    fn ended(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Ended {
            name: self.name.clone(),
            status: status.to_string(),
            log: self.log.display().to_string(),
            tail: self.log_tail(),
        }
    }

    fn control(&self, what: &'static str, source: io::Error) -> ProcessError {
        ProcessError::Control { what, name: self.name.clone(), pid: self.pid, source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) || self.child.start_kill().is_err() {
            return;
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < REAP_PATIENCE {
            std::thread::sleep(REAP_INTERVAL);
        }
    }
}

/// Keeps variables `SINEW_…`, meant for flags of this program, from being taken for flags of another.
pub(crate) fn remove_own_variables(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("SINEW_") {
            command.env_remove(variable);
        }
    }
}

/// The end of a log, from the beginning of a line.
#[must_use]
pub fn tail(log: &Path) -> String {
    let (bytes, cut) = read_end(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let text = if cut { text.split_once('\n').map_or(&*text, |(_, rest)| rest) } else { &*text };
    if text.is_empty() { "(it wrote nothing)".into() } else { text.trim_end().to_owned() }
}

/// The last [`TAIL_LEN`] bytes of a file, and whether there are more.
fn read_end(log: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_LEN);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_LEN).read_to_end(&mut bytes)?;
    Ok((bytes, start > 0))
}
