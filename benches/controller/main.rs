//! What the controller costs and how fast it is: changes on their way to all nodes, and all nodes coming back.
//!
//! `cargo bench --bench controller` prints both tables of `benches/README.md`; `-- propagation` or `-- storm` one of
//! them. The controller is the program; nodes are programs, too, or sessions in this process ([`sessions`]). Run
//! without `--bench`, as `cargo test` does, everything happens with a few nodes, and proves only that it works.

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]
#![allow(clippy::unwrap_used, reason = "a measurement that unwraps fails there")]

mod api;
mod cost;
mod propagation;
mod sessions;
mod storm;
#[path = "../../tests/support/mod.rs"]
mod support;

/// How much is measured.
struct Size {
    nodes: &'static [usize],
    sessions: usize,
    changes: usize,
}

const WHOLE: Size = Size { nodes: &[3, 30, 100], sessions: 1000, changes: 200 };
const SMALL: Size = Size { nodes: &[3], sessions: 20, changes: 5 };

#[tokio::main]
async fn main() {
    let told: Vec<_> = std::env::args().skip(1).collect();
    let size = if told.iter().any(|arg| arg == "--bench") { WHOLE } else { SMALL };
    let wanted: Vec<_> = told.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|arg| *arg == name);

    if wants("propagation") {
        propagation::head();
        for count in size.nodes {
            propagation::with_nodes(*count, size.changes).await;
        }
        propagation::with_sessions(size.sessions, size.changes).await;
        println!();
    }
    if wants("storm") {
        storm::run(size.sessions).await;
    }
}
