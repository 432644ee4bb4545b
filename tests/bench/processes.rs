//! The `sinew` program as a user runs it: its lines, its children, its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take that is waited for: a start takes a second, more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often other processes are looked at, which can't tell us of their end.
const INTERVAL: Duration = Duration::from_millis(20);

/// The program under test.
pub(crate) fn sinew() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    command.stdin(Stdio::null());
    command
}

/// A program that runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts it and reads both of its outputs.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// Its next line that contains `part`.
    pub(crate) fn await_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => self.seen.push(line),
                Err(why @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("no line with `{part}` ({why}); it said:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// The processes that it started and that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        let processes = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent(*pid) == Some(self.child.id())).collect()
    }

    /// What Ctrl-C does to it.
    pub(crate) fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Its exit code, once it has ended.
    pub(crate) fn await_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(INTERVAL);
        }
        panic!("it did not end; it said:\n{}", self.seen.join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until none of the processes runs.
pub(crate) fn await_gone(pids: &[u32]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<_> = pids.iter().filter(|pid| runs(**pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "these processes still run: {left:?}");
        std::thread::sleep(INTERVAL);
    }
}

/// State and parent of a process: the two fields after its name, which may hold spaces.
fn status(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn parent(pid: u32) -> Option<u32> {
    status(pid).map(|(_, parent)| parent)
}

/// Whether it runs: a zombie, whom nobody reaped yet, does not.
fn runs(pid: u32) -> bool {
    status(pid).is_some_and(|(state, _)| state != "Z")
}
