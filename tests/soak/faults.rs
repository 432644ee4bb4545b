//! What happens to a mesh while it works: nodes and the controller are killed, restarted and paused, as a seed says.
//!
//! Each fault is remembered with its time ([`Window`]), and with whether it can excuse a call that failed: what was
//! delivered to a node that dies may be lost, and nothing else. A pause that is over before a peer is given up excuses
//! nothing, and neither does anything that becomes of the controller.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::support::{Mesh, now_us};

/// The nodes that may die. The caller's and the last one's live as long as the soak.
pub(crate) const MORTAL: [&str; 2] = ["n1", "n2"];

/// The nodes that may be paused for a moment.
const PAUSED: [&str; 3] = ["n1", "n2", "n3"];

/// How long a silent peer's streams are kept, as everybody here is configured.
pub(crate) const DEAD_AFTER: &str = "\"4s\"";

/// A pause that everything survives: far shorter than [`DEAD_AFTER`].
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// A pause that makes a peer dead: longer than [`DEAD_AFTER`].
const LONG_PAUSE: Duration = Duration::from_secs(6);

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Killed,
    Stopped,
    PausedShortly,
    PausedLong,
}

/// When something happened to somebody, in microseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) who: &'static str,
    pub(crate) kind: Kind,
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Killed => "killed",
            Self::Stopped => "restarted",
            Self::PausedShortly => "paused 1 s",
            Self::PausedLong => "paused 6 s",
        })
    }
}

impl Window {
    /// Whether a call between these moments may have lost what it had given to `who`.
    pub(crate) fn excuses(&self, began_us: u64, ended_us: u64) -> bool {
        self.who != CONTROLLER
            && self.kind != Kind::PausedShortly
            && began_us <= self.until_us
            && ended_us >= self.from_us
    }
}

/// Whose faults excuse nothing.
pub(crate) const CONTROLLER: &str = "controller";

/// Hurts the mesh until `end`; the controller too, while `controller` says so.
pub(crate) async fn hurt(
    mesh: &mut Mesh,
    rng: &mut fastrand::Rng,
    end: Instant,
    controller: bool,
) -> Vec<Window> {
    let mut windows = Vec::new();
    loop {
        sleep(Duration::from_millis(rng.u64(200..1500))).await;
        let kinds = [Kind::Killed, Kind::Stopped, Kind::PausedShortly, Kind::PausedLong];
        let kind = kinds[rng.usize(..kinds.len())];
        // A long pause needs the time that it takes.
        if Instant::now() + if kind == Kind::PausedLong { LONG_PAUSE } else { Duration::ZERO } >= end {
            return windows;
        }
        let from_us = now_us();
        let who = if controller && rng.u32(..4) == 0 {
            hurt_controller(mesh, kind, rng).await;
            CONTROLLER
        } else {
            let nodes: &[&'static str] = if kind == Kind::PausedShortly { &PAUSED } else { &MORTAL };
            let node = nodes[rng.usize(..nodes.len())];
            hurt_node(mesh, node, kind, rng).await;
            node
        };
        mesh.settled().await;
        windows.push(Window { who, kind, from_us, until_us: now_us() });
    }
}

async fn hurt_node(mesh: &mut Mesh, node: &str, kind: Kind, rng: &mut fastrand::Rng) {
    let away = Duration::from_millis(rng.u64(0..1000));
    match kind {
        Kind::Killed => drop(mesh.kill(node).await),
        Kind::Stopped => {
            mesh.tell_to_stop(node);
            mesh.ended(node).await;
        }
        Kind::PausedShortly | Kind::PausedLong => {
            mesh.pause(node).await;
            sleep(pause(kind)).await;
            mesh.resume(node);
            return;
        }
    }
    sleep(away).await;
    mesh.restart(node).await;
}

async fn hurt_controller(mesh: &mut Mesh, kind: Kind, rng: &mut fastrand::Rng) {
    let away = Duration::from_millis(rng.u64(0..1000));
    match kind {
        Kind::Killed => mesh.kill_controller().await,
        Kind::Stopped => mesh.stop_controller().await,
        Kind::PausedShortly | Kind::PausedLong => {
            mesh.signal_controller(Signal::SIGSTOP);
            sleep(pause(kind)).await;
            mesh.signal_controller(Signal::SIGCONT);
            return;
        }
    }
    sleep(away).await;
    mesh.start_controller().await;
}

fn pause(kind: Kind) -> Duration {
    if kind == Kind::PausedLong { LONG_PAUSE } else { SHORT_PAUSE }
}
