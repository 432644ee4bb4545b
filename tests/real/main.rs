//! Real programs, unmodified, through localhost ports: what nobody here wrote must work, and must see no
//! failure but the ones that a killed endpoint takes with it.
//!
//! - [`lines`]: a protocol in which the server speaks first.
//! - [`transfer`]: a GiB each way, with either side ending first.
//! - [`nginx`]: nginx with curl and wrk.
//! - [`postgres`]: PostgreSQL with pgbench.
//! - [`redis`], [`mariadb`]: Redis with redis-benchmark, MariaDB with its own clients.
//! - [`h2load`]: nginx over HTTP/2 with h2load.
//! - [`ssh`]: OpenSSH, and rsync over it.
//! - [`languages`]: clients and servers in Python, Node.js and Go.
//! - [`casualties`]: after a kill, whose failures were whose.
//! - [`tally`]: what both nodes say of it all.
//!
//! What needs programs or minutes is ignored by default and run by `.ci/run`, in release.

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says enough by failing there")]

mod casualties;
mod h2load;
mod languages;
mod lines;
mod mariadb;
mod nginx;
mod postgres;
mod programs;
mod redis;
mod ssh;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod transfer;

use std::net::SocketAddr;

use support::{Mesh, NodePlan};
use tokio::sync::{Mutex, MutexGuard};

/// Tests that load the whole machine take turns: otherwise they would measure each other.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// A mesh in which `web` at the node `caller` calls `service`, served by the nodes `n1`, `n2`, …
async fn mesh_of(service: &str, endpoints: &[SocketAddr]) -> Mesh {
    let mut mesh = Mesh::start().await;
    for (index, address) in endpoints.iter().enumerate() {
        mesh.add(NodePlan::new(&format!("n{}", index + 1)).serve(service, *address)).await;
    }
    mesh.add(NodePlan::new("caller").listen(service, "web")).await;
    mesh.settled().await;
    mesh
}

/// Waits until each of `nodes` has had `count` connections.
async fn all_called(mesh: &Mesh, nodes: &[&str], count: f64) {
    let inbound = [("direction", "inbound")];
    for node in nodes {
        mesh.metrics_when(node, |m| m.count("sinew_tcp_connections_opened_total", &inbound) >= count).await;
    }
}
