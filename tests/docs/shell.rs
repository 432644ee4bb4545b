//! One bash for a page: types its steps, and compares what they print.
//!
//! The shell runs under `set -e`, each step in braces, so that variables and background processes live on and
//! everything that it prints goes into a file of its own. It and all that it starts are one process group, which is
//! killed at the end; and should the test itself be killed, the kernel ends the shell, and with it every `sinew`,
//! which are on the leash of `sinew demo-service`.
//!
//! Questions, which change nothing, are asked again until the answer is as shown, as a reader would: a mesh takes
//! a moment until everybody knows. Everything else runs once.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::blocks::{Block, Step};
use crate::matching::is_shown;
use crate::places::Places;

/// The program under test.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// How long one step may take: most take milliseconds, and none waits longer than 30 s for anything.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a question is asked again, and how often.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What questions begin with.
const QUESTIONS: [&str; 7] =
    ["sinew status", "sinew get", "sinew effective", "sinew history", "sinew ping", "grep ", "tail "];

/// How much of each log a failure shows.
const TAIL_LINES: usize = 8;

/// Plays a page from its first block to its last, after the scripts that make what it assumes.
pub(crate) fn play(file: &str, before: &[&str], blocks: &[Block]) {
    let before = before.iter().map(|script| Step { line: 0, script: (*script).to_owned(), output: None });
    let page: Vec<Step> = blocks.iter().flat_map(Block::steps).collect();
    assert!(!page.is_empty(), "{file} has nothing to type");
    let steps: Vec<Step> = before.chain(page).collect();
    let mut shell = Shell::start(&steps);
    for step in &steps {
        if let Err(problem) = shell.take(step) {
            panic!("{file}:{}: {problem}\n{}", step.line, shell.logs());
        }
    }
}

/// A bash in an empty directory.
struct Shell {
    bash: Child,
    stdin: ChildStdin,
    /// A line for each step that succeeded; ends with the shell.
    done: Receiver<String>,
    places: Places,
    steps: usize,
    dir: TempDir,
}

impl Shell {
    fn start(steps: &[Step]) -> Self {
        let dir = TempDir::with_prefix("sinew-docs-").expect("a temporary directory can be made");
        for folder in ["bin", "home", "out"] {
            fs::create_dir(dir.path().join(folder)).expect("the temporary directory takes directories");
        }
        for folder in ["root/etc/sinew", "root/var/lib/sinew"] {
            fs::create_dir_all(dir.path().join(folder)).expect("the temporary directory takes directories");
        }
        write_program(&dir.path().join("bin/sinew"));
        let scripts: String = steps.iter().map(|step| step.script.as_str()).collect();
        let places = Places::find(&scripts, &dir.path().join("root"));

        let mut bash = bash(dir.path()).spawn().expect("bash can be started");
        let stdin = bash.stdin.take().expect("it is piped");
        let stdout = bash.stdout.take().expect("it is piped");
        let (tell, done) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { bash, stdin, done, places, steps: 0, dir }
    }

    /// Types one step; again, when it is a question whose answer is not there yet.
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let script = self.places.translate(&step.script);
        let question = QUESTIONS.iter().any(|question| script.starts_with(question));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let printed = self.run(&script, question)?;
            let Some(shown) = &step.output else { return Ok(()) };
            if is_shown(shown, &printed) {
                return Ok(());
            }
            if !question || Instant::now() >= deadline {
                return Err(format!(
                    "the page shows\n{shown}---\nand `{}` printed\n{printed}---",
                    step.script.trim()
                ));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// What a script prints. A question may fail: grep does, when there is nothing yet.
    fn run(&mut self, script: &str, question: bool) -> Result<String, String> {
        self.steps += 1;
        let file = self.dir.path().join(format!("out/{}", self.steps));
        let failing = if question { " || true" } else { "" };
        let typed = format!("{{\n{script}}} > '{}' 2>&1 < /dev/null{failing}\necho done\n", file.display());
        let told = self.stdin.write_all(typed.as_bytes()).map_err(|_| RecvTimeoutError::Disconnected);
        let ended = told.and_then(|()| self.done.recv_timeout(STEP_TIMEOUT));
        let printed = self.places.translate_back(&fs::read_to_string(&file).unwrap_or_default());
        let printed: String =
            printed.lines().filter(|line| !is_about_a_job(line)).map(|line| format!("{line}\n")).collect();
        match ended {
            Ok(_) => Ok(printed),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("it takes longer than {STEP_TIMEOUT:?}; so far:\n{printed}"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let code = self.bash.wait().ok().and_then(|status| status.code());
                let errors = fs::read_to_string(self.dir.path().join("out/errors")).unwrap_or_default();
                Err(format!("it failed with {code:?}:\n{printed}{errors}"))
            }
        }
    }

    /// The ends of what the page's programs logged.
    fn logs(&self) -> String {
        let mut files = Vec::new();
        find_logs(&self.dir.path().join("home"), &mut files);
        let show = |file: &PathBuf| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            format!("--- the end of {}:\n{tail}\n", file.display())
        };
        files.iter().map(show).collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The group may be empty already. It is named by bash, which was not reaped or was waited for just now.
        let group = i32::try_from(self.bash.id()).map(Pid::from_raw);
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.bash.wait();
    }
}

fn bash(dir: &Path) -> Command {
    let errors = fs::File::create(dir.join("out/errors")).expect("the temporary directory takes files");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(SINEW);
    command.args(["demo-service", "leash", &std::process::id().to_string(), "bash", "-e"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SINEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.env("PATH", format!("{}:{path}", dir.join("bin").display())).env("HOME", dir.join("home"));
    command.current_dir(dir.join("home")).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
    command
}

/// `sinew`, tied to the shell that starts it.
fn write_program(file: &Path) {
    let script = format!("#!/bin/sh\nexec '{SINEW}' demo-service leash \"$PPID\" '{SINEW}' \"$@\"\n");
    fs::write(file, script).expect("the temporary directory takes files");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// What bash says when a process in the background was killed.
fn is_about_a_job(line: &str) -> bool {
    line.starts_with("bash: line ")
}

fn find_logs(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_logs(&path, files);
        } else if path.extension().is_some_and(|end| end == "log") {
            files.push(path);
        }
    }
}

mod tests {
    use super::*;
    use crate::blocks;

    fn played(block: &str) -> Result<(), String> {
        let steps = blocks::read("p.md", block)[0].steps();
        let mut shell = Shell::start(&steps);
        steps.iter().try_for_each(|step| shell.take(step))
    }

    #[test]
    fn what_fails_or_prints_something_else_is_found() {
        assert_eq!(played("```sh\nexport A=1\ntest $A = 1\n```\n"), Ok(()));
        assert_eq!(played("```console\n$ B=2\n$ echo $B; echo 3 >&2\n2\n3\n```\n"), Ok(()));

        for (block, problem) in [
            ("```sh\nfalse\ntrue\n```\n", "failed with Some(1)"),
            ("```sh\nsinew no-such-command\n```\n", "failed with Some(2)"),
            ("```console\n$ echo two\none\n```\n", "the page shows\none"),
            ("```console\n$ echo more\n```\n", "printed\nmore"),
        ] {
            let found = played(block).expect_err(block);
            assert!(found.contains(problem), "{found}");
        }
    }
}
