//! `sinew status --watch`: for a program that reads, for a person at a terminal, and while the controller is away.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use crate::SINEW;
use crate::support::{Mesh, NodePlan, PATIENCE};

/// A watch that runs, and what it prints.
struct Watch {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    told: Lines<BufReader<ChildStderr>>,
}

impl Watch {
    fn start(state: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(SINEW);
        command.args(["status", "--state"]).arg(state).args(args).stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, told }
    }

    /// The next line that begins so.
    async fn line(&mut self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = timeout_at(deadline, self.out.next_line()).await.expect(beginning).unwrap();
            let line = line.expect(beginning);
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    async fn told(&mut self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = timeout_at(deadline, self.told.next_line()).await.expect(beginning).unwrap();
            let line = line.expect(beginning);
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Ctrl-C, and the exit code.
    async fn interrupt(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_status_follows_the_other_and_ctrl_c_is_a_good_end() {
    let mut mesh = Mesh::start().await;
    let mut watch = Watch::start(&mesh.controller_state(), &["--watch", "0.1"]);

    watch.line("--- 20").await;
    watch.line("test.local, controller c1").await;
    watch.line("  no node is registered").await;
    mesh.add(NodePlan::new("n1").grant("orders")).await;
    watch.line("  n1    connected").await;
    watch.line("--- 20").await;

    assert_eq!(watch.interrupt().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_goes_away_is_told_and_asked_until_it_returns() {
    let mut mesh = Mesh::start().await;
    let mut watch = Watch::start(&mesh.controller_state(), &["-w", "100ms", "-o", "json"]);
    let first: Value = serde_json::from_str(&watch.line("{").await).unwrap();
    assert_eq!((&first["apiVersion"], &first["controller"]), (&"sinew/v1".into(), &"c1".into()));

    mesh.kill_controller().await;
    let why = watch.told("no controller answers at").await;
    assert!(why.contains("is it running?"), "{why}");
    assert_eq!(watch.told("trying").await, "trying again every 100ms");
    mesh.start_controller().await;
    mesh.add(NodePlan::new("n1").grant("orders")).await;

    watch.told("the controller answers again").await;
    loop {
        let status: Value = serde_json::from_str(&watch.line("{").await).unwrap();
        if status["nodes"][0]["connected"] == true {
            break;
        }
    }
    assert_eq!(watch.interrupt().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_mistypes_the_place_or_reads_no_more_is_not_kept_waiting() {
    let mesh = Mesh::start().await;

    let mut nowhere = Watch::start(Path::new("/nowhere"), &["--watch"]);
    nowhere.told("error: reading where the controller listens from /nowhere").await;
    assert_eq!(timeout(PATIENCE, nowhere.child.wait()).await.expect("it ends").unwrap().code(), Some(1));

    let mut watch = Watch::start(&mesh.controller_state(), &["--watch", "0.1"]);
    watch.line("--- 20").await;
    let Watch { mut child, out, .. } = watch;
    drop(out);
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0), "a closed pipe is a good end, too");
}

/// `script` (bsdutils) gives the program a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_one_status_is_drawn_over_the_other_and_the_last_is_left_behind() {
    let mut mesh = Mesh::start().await;
    let watch = format!(
        "stty rows 50 cols 200; exec {SINEW} status --watch 0.1 --state {}",
        mesh.controller_state().display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &watch, "/dev/null"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("script is installed");
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    // Reads until it is there; what was read before is kept.
    async fn shows(screen: &mut ChildStdout, seen: &mut String, text: &str) {
        let mut bytes = [0; 4096];
        let deadline = Instant::now() + PATIENCE;
        while !seen.contains(text) {
            let read = timeout_at(deadline, screen.read(&mut bytes)).await;
            let count = read.unwrap_or_else(|_| panic!("no {text:?} in {seen:?}")).unwrap();
            assert_ne!(count, 0, "no {text:?} in {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    shows(&mut screen, &mut seen, "Ctrl-C ends\x1b[K\r\n").await;
    assert!(
        seen.starts_with("\x1b[?1049h\x1b[?25l\x1b[H20"),
        "another screen, from its first line on: {seen:?}"
    );
    mesh.add(NodePlan::new("n1").grant("orders")).await;
    shows(&mut screen, &mut seen, "  n1    connected").await;
    mesh.kill_controller().await;
    shows(&mut screen, &mut seen, "trying again every 100ms: no controller answers at").await;
    shows(&mut screen, &mut seen, "\r\nbelow: what there was at ").await;

    keys.write_all(b"\x03").await.unwrap();
    let mut rest = String::new();
    timeout(PATIENCE, screen.read_to_string(&mut rest)).await.expect("it ends").unwrap();
    let (_, left) =
        rest.split_once("\x1b[?25h\x1b[?1049l").unwrap_or_else(|| panic!("no way back: {rest:?}"));
    assert!(left.contains("no answer since ") && left.contains("  n1    connected"), "{left:?}");
    let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}
