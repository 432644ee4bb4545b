//! A thousand nodes that lose their controller and come back at once: how long until all are back, and what
//! that costs the controller.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cost::Cost;
use crate::sessions::{self, Counts};
use crate::support::Mesh;

/// All must be back within this; a debug build on a busy machine is slow.
const LIMIT: Duration = Duration::from_mins(2);

/// Measures, and prints a table.
pub(crate) async fn run(count: usize) {
    let mut mesh = Mesh::start().await;
    let (counts, mut sessions) = sessions::start(&mesh, count).await;
    println!(
        "| {count} sessions | 50 % welcomed | 99 % | all | all hold their snapshot | dials | controller's CPU | its peak memory |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    println!("| first start | {} | {} |", back(&counts, count, 0).await, Cost::of(mesh.controller_pid()));

    for (killed, kind) in [(true, "killed (SIGKILL)"), (false, "stopped (SIGTERM)")] {
        let attempts = counts.attempts.load(Relaxed);
        if killed {
            mesh.kill_controller().await;
        } else {
            mesh.stop_controller().await;
        }
        counts.welcomed.store(0, Relaxed);
        counts.current.store(0, Relaxed);
        mesh.start_controller().await;
        let back = back(&counts, count, attempts).await;
        println!("| {kind} | {back} | {} |", Cost::of(mesh.controller_pid()));
    }
    sessions.shutdown().await;
}

/// Waits until all sessions are back, and says what that took since the controller listens.
async fn back(counts: &Counts, count: usize, attempts: u64) -> String {
    let began = Instant::now();
    let (mut half, mut most, mut welcomed) = (None, None, None);
    while counts.current.load(Relaxed) < count {
        let now = counts.welcomed.load(Relaxed);
        let reached = |share: usize| (now >= count * share / 100).then(|| began.elapsed());
        half = half.or_else(|| reached(50));
        most = most.or_else(|| reached(99));
        welcomed = welcomed.or_else(|| reached(100));
        assert!(began.elapsed() < LIMIT, "{now} of {count} welcomed, {counts:?}");
        sleep(Duration::from_millis(5)).await;
    }
    let all = began.elapsed();
    let (half, most, welcomed) = (half.unwrap_or(all), most.unwrap_or(all), welcomed.unwrap_or(all));
    let dials = counts.attempts.load(Relaxed) - attempts;
    format!("{half:.2?} | {most:.2?} | {welcomed:.2?} | {all:.2?} | {dials}")
}
