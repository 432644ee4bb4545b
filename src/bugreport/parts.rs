//! The texts of a report. Whatever can't be had says why in its place: that is a finding, too.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sinew_api::status::Status;

use crate::check::facts::{Facts, Kind, Program};
use crate::client::Client;

/// How much of a log's end: some thousand lines.
const LOG_MAX: u64 = 1024 * 1024;

/// The same of a journal, in lines.
const JOURNAL_LINES: u32 = 4000;

/// How long journalctl may take: it reads from disk.
const JOURNAL_TIME: Duration = Duration::from_secs(10);

/// Nodes whose whole configuration a controller's report has: those beyond can be asked for.
const EFFECTIVE_MAX: usize = 32;

/// What the kernel says, in files.
const KERNEL: [&str; 8] = [
    "/proc/version",
    "/etc/os-release",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/snmp",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/core/somaxconn",
];

/// What is in every report first.
const ABOUT: &str = "\
A report of `sinew bugreport`, for whoever helps with a problem.

Private keys and tokens are not in it: of files that hold them only names, sizes and modes, and what looks like one reads
[redacted]. Names of nodes and services, addresses, and the end of logs are in it. Look at it before you send it.

  version.txt       what was run
  check.txt         what `sinew check` found; check.json the same for programs
  system.txt        the kernel, and its limits
  node/             the node's configuration, its pages, the snapshot that it has, the files of its state directory
                    (names, sizes and modes), its limits and the end of its log
  controller/       the same of the controller, and what it tells each node
";

/// One file of a report.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) text: String,
}

/// All of it, as it was found, and the secrets that must not be in it.
pub(super) struct Gathered {
    pub(super) parts: Vec<Part>,
    pub(super) secrets: Vec<String>,
}

/// Gathers.
///
/// # Errors
/// When a file that was named can't be read.
pub(super) fn gather(configs: &[PathBuf], logs: &[PathBuf]) -> anyhow::Result<Gathered> {
    let (facts, report) = crate::check::look(configs, false)?;
    let mut all = Gathered { parts: Vec::new(), secrets: Vec::new() };
    all.add("README.txt", ABOUT);
    all.add("version.txt", version());
    all.add("check.txt", report.text(120, false));
    all.add("check.json", serde_json::to_string_pretty(&report)?);
    all.add("system.txt", texts(&KERNEL.map(PathBuf::from)));
    for program in &facts.programs {
        all.program(program, &facts);
    }
    for log in logs {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        all.add(format!("logs/{name}"), or_why(end_of(log)));
    }
    Ok(all)
}

impl Gathered {
    fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.parts.push(Part { name: name.into(), text: text.into() });
    }

    fn program(&mut self, program: &Program, facts: &Facts) {
        let folder = program.kind.word();
        let name = |file: &str| format!("{folder}/{file}");
        self.add(name(&format!("{folder}.toml")), or_why(fs::read_to_string(&program.file)));
        if let Some(pid) = program.pid {
            let files =
                ["limits", "status", "cmdline"].map(|file| PathBuf::from(format!("/proc/{pid}/{file}")));
            self.add(name("process.txt"), texts(&files).replace('\0', " "));
            if let Some(log) = log_of(pid) {
                self.add(name("log.txt"), or_why(end_of(&log)));
            } else if let Some(journal) = journal(&format!("sinew-{folder}")) {
                self.add(name("log.txt"), journal);
            }
        }
        let Some(state) = &program.state else { return };
        let state = state.path.as_path();
        self.add(name("state.txt"), or_why(listing(state)));
        let tokens = [Some(state.join("admin.token")), program.token_file.clone()];
        let known = tokens.into_iter().flatten().filter_map(|file| fs::read_to_string(file).ok());
        self.secrets.extend(known.map(|text| text.trim().to_owned()));
        match program.kind {
            Kind::Node => self.node(state),
            Kind::Controller => self.controller(state, facts.status.as_ref().ok()),
        }
    }

    fn node(&mut self, state: &Path) {
        self.add("node/snapshot.json", or_why(fs::read_to_string(state.join("snapshot.json"))));
        match Client::of_node_at(state) {
            Ok(client) => {
                self.json(&client, "node/links.json", "/v1/links");
                self.json(&client, "node/endpoints.json", "/v1/endpoints");
                self.add("node/metrics.txt", or_why(client.text("/metrics")));
            }
            Err(error) => self.add("node/unreachable.txt", format!("{error:#}\n")),
        }
    }

    fn controller(&mut self, state: &Path, status: Option<&Status>) {
        match Client::of_controller_at(state) {
            Ok(client) => {
                self.json(&client, "controller/status.json", "/v1/status");
                self.json(&client, "controller/resources.json", "/v1/resources");
                self.json(&client, "controller/history.json", "/v1/history");
                self.add("controller/metrics.txt", or_why(client.text("/metrics")));
                for node in status.iter().flat_map(|status| &status.nodes).take(EFFECTIVE_MAX) {
                    let name = format!("controller/effective/{}.json", node.name);
                    self.json(&client, &name, &format!("/v1/nodes/{}/effective", node.name));
                }
            }
            Err(error) => self.add("controller/unreachable.txt", format!("{error:#}\n")),
        }
    }

    fn json(&mut self, client: &Client, name: &str, path: &str) {
        let answer = client.get::<Value>(path);
        self.add(name, or_why(answer.map(|answer| format!("{answer:#}\n"))));
    }
}

/// The text, or why there is none.
fn or_why<E: std::fmt::Display>(text: Result<String, E>) -> String {
    text.unwrap_or_else(|error| format!("[not to be had: {error:#}]\n"))
}

fn version() -> String {
    let (version, system, machine) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("sinew {version} on {system} {machine}, {cores} cores\nwritten {now}\n")
}

/// Several short files, one after the other.
fn texts(files: &[PathBuf]) -> String {
    let mut all = String::new();
    for file in files {
        let text = or_why(fs::read_to_string(file));
        let _ = writeln!(all, "--- {}\n{}\n", file.display(), text.trim_end());
    }
    all
}

/// Names, sizes and modes; never what is in a file.
fn listing(dir: &Path) -> std::io::Result<String> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    let mut lines = String::new();
    let own = (PathBuf::from("."), fs::metadata(dir)?);
    let files = entries.iter().map(|entry| Ok((PathBuf::from(entry.file_name()), entry.metadata()?)));
    let found: std::io::Result<Vec<(PathBuf, fs::Metadata)>> = files.collect();
    for (name, metadata) in std::iter::once(own).chain(found?) {
        let changed = metadata.modified().map(humantime::format_rfc3339_seconds);
        let changed = changed.map_or_else(|_| "-".to_owned(), |time| time.to_string());
        let (mode, uid, gid, size) = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.len());
        let _ = writeln!(lines, "{mode:06o} {uid:>6} {gid:>6} {size:>10} {changed} {}", name.display());
    }
    Ok(lines)
}

/// The file to which a process logs; none when it is a terminal, a pipe, or not to be seen.
fn log_of(pid: u32) -> Option<PathBuf> {
    let target = fs::read_link(format!("/proc/{pid}/fd/2")).ok()?;
    fs::metadata(&target).ok()?.is_file().then_some(target)
}

/// The last lines that systemd has of a unit; none where there is no journal of it.
fn journal(unit: &str) -> Option<String> {
    let lines = JOURNAL_LINES.to_string();
    let mut command = tokio::process::Command::new("journalctl");
    command.args(["--no-pager", "--quiet", "--output", "short-iso", "--lines", &lines, "--unit", unit]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let output = runtime.block_on(async { tokio::time::timeout(JOURNAL_TIME, command.output()).await });
    let text = String::from_utf8_lossy(&output.ok()?.ok()?.stdout).into_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// The last lines of a log.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(LOG_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(LOG_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if skipped == 0 {
        return Ok(text);
    }
    // The first line is half a line, and could be half a secret.
    let whole = text.split_once('\n').map_or("", |(_, rest)| rest);
    Ok(format!("[{skipped} bytes before]\n{whole}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_whole_lines_at_its_end_are_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("log");
        let line = format!("{}\n", "x".repeat(99));
        fs::write(&file, line.repeat(20_000) + "last\n").expect("written");

        let end = end_of(&file).expect("read");

        assert!(end.starts_with('[') && end.ends_with("\nlast\n"), "{}", &end[..60]);
        assert!(end.lines().skip(1).all(|line| line.len() == 99 || line == "last"));
        assert!(end.len() as u64 <= LOG_MAX + 100);
    }

    #[test]
    fn a_listing_tells_of_files_and_not_what_is_in_them() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("identity.pem"), "a secret").expect("written");

        let listing = listing(dir.path()).expect("read");

        let line = listing.lines().find(|line| line.ends_with(" identity.pem")).expect("a line");
        assert!(line.split_whitespace().any(|word| word == "8"), "its size: {line}");
        assert!(!listing.contains("a secret"));
    }
}
