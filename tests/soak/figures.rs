//! What a process holds when nothing runs: memory, descriptors, threads, tasks.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Mesh, Metrics, http_get, until};

/// Everybody, the controller last.
pub(crate) const PROCESSES: [&str; 5] = ["caller", "n1", "n2", "n3", "controller"];

/// Tasks that a process may have more than before, for other reasons than a leak: between it and each of the others
/// there may be another lane by now, of two tasks, and who asks for these numbers is one.
const TASKS_MORE: u64 = 8;

/// Descriptors that a process may have more than before: those of connections that ask it something.
const DESCRIPTORS_MORE: usize = 2;

/// What one process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) pid: u32,
    /// Memory of its own, without pages of files.
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
}

/// What all of them hold at one moment, when no connection is open.
pub(crate) type Plateau = BTreeMap<&'static str, Figures>;

/// Waits until no connection is open anywhere, every link is up, and nobody holds more descriptors, threads and tasks
/// than in `before`; yields what they hold.
pub(crate) async fn plateau(mesh: &mut Mesh, before: Option<&Plateau>) -> Plateau {
    mesh.settled().await;
    let quiet = until("the mesh to be quiet", || async {
        let mut now = Plateau::new();
        for name in PROCESSES {
            let (figures, open) = figures(mesh, name).await?;
            if open != 0.0 {
                return Err(format!("{name} has {open} connections open"));
            }
            let had = before.map_or(figures, |before| before[name]);
            let descriptors = figures.descriptors <= had.descriptors + DESCRIPTORS_MORE;
            if !descriptors || figures.threads > had.threads || figures.tasks > had.tasks + TASKS_MORE {
                return Err(format!("{name} had {had:?} and has {figures:?}"));
            }
            now.insert(name, figures);
        }
        Ok(now)
    });
    quiet.await.unwrap_or_else(|why| panic!("{why}"))
}

/// What a process holds, and how many connections of applications are open in it.
async fn figures(mesh: &Mesh, name: &str) -> Result<(Figures, f64), String> {
    let controller = name == "controller";
    let pid = if controller { mesh.controller_pid() } else { mesh.pid(name) };
    let metrics = if controller {
        let (_, text) = http_get(mesh.api_address(), "/metrics", None).await?;
        Metrics::parse(text)
    } else {
        mesh.metrics(name).await
    };
    let open = metrics.count("sinew_tcp_connections_opened_total", &[])
        - metrics.count("sinew_tcp_connections_closed_total", &[]);
    let tasks = metrics.value("sinew_tasks", &[]).ok_or("it tells no tasks")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.ok_or_else(|| format!("no {key} in the status of {name}"))
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.to_string())?.count();
    let figures = Figures {
        pid,
        memory_kib: number("RssAnon")?,
        descriptors,
        threads: number("Threads")?,
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        tasks: tasks as u64,
    };
    Ok((figures, open))
}
