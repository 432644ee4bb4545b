//! Every node and the controller restart, one after the other, while applications call a thousand times a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Mesh, NodePlan, Service, until};

/// Requests a second, each with a connection of its own.
const RATE: u32 = 1000;

/// Requests after a restart before the next one.
const BETWEEN: u64 = RATE as u64;

/// How long one request may take: a restarting node's applications wait meanwhile.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

const NODES: [&str; 3] = ["n1", "n2", "n3"];

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_everything_under_load_fails_no_request() {
    let mut services = Vec::new();
    let mut mesh = Mesh::start().await;
    for name in NODES {
        let service = Service::echo().await;
        let plan =
            NodePlan::new(name).serve("orders", service.address()).listen("orders", "web").supervised();
        mesh.add(plan.set("drain_timeout", "\"20s\"")).await;
        services.push(service);
    }
    mesh.settled().await;
    // From here on each listens at a port that was chosen, by a socket that is kept.
    for name in NODES {
        restart(&mut mesh, name).await;
    }
    let load = Load::start(NODES.map(|name| mesh.listener(name, "orders")));

    for name in NODES {
        load.more(BETWEEN).await;
        restart(&mut mesh, name).await;
    }
    load.more(BETWEEN).await;
    mesh.stop_controller().await;
    mesh.start_controller().await;
    load.more(BETWEEN).await;

    let done = load.stop().await;
    println!("{done} requests");
    assert!(done >= 5 * BETWEEN, "{done}");
    for name in NODES {
        let records = mesh.records(name);
        assert!(records.iter().all(|record| record.outcome != "cut"), "{name} cut a connection");
    }
}

async fn restart(mesh: &mut Mesh, name: &str) {
    mesh.tell_to_stop(name);
    mesh.ended(name).await;
    mesh.said(name, "STOPPING=1").await;
    mesh.restart(name).await;
    mesh.said(name, "READY=1").await;
}

/// Applications that call in turn at several listeners, [`RATE`] times a second whatever becomes of the calls.
struct Load {
    done: Arc<AtomicU64>,
    stop: CancellationToken,
    generator: JoinSet<JoinSet<Result<(), String>>>,
}

impl Load {
    fn start(listeners: [SocketAddr; 3]) -> Self {
        let (done, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (count, stopped) = (Arc::clone(&done), stop.clone());
        let mut generator = JoinSet::new();
        generator.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / RATE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut requests = JoinSet::new();
            for listener in listeners.into_iter().cycle() {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = stopped.cancelled() => break,
                }
                let count = Arc::clone(&count);
                requests.spawn(async move {
                    let answered = timeout(REQUEST_TIMEOUT, request(listener)).await;
                    count.fetch_add(1, Relaxed);
                    match answered {
                        Ok(Ok(())) => Ok(()),
                        Ok(Err(error)) => Err(format!("{listener}: {error}")),
                        Err(_) => Err(format!("{listener}: no answer in {REQUEST_TIMEOUT:?}")),
                    }
                });
            }
            requests
        });
        Self { done, stop, generator }
    }

    /// Waits until so many more are done.
    async fn more(&self, count: u64) {
        let wanted = self.done.load(Relaxed) + count;
        let reached = until("requests", || async {
            let done = self.done.load(Relaxed);
            if done >= wanted { Ok(()) } else { Err(format!("{done} of {wanted}")) }
        });
        reached.await.unwrap();
    }

    /// Ends the load; how many requests there were. Those that failed fail here.
    async fn stop(mut self) -> u64 {
        self.stop.cancel();
        let requests = self.generator.join_next().await.unwrap().unwrap();
        let failed: Vec<_> = requests.join_all().await.into_iter().filter_map(Result::err).collect();
        assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
        self.done.load(Relaxed)
    }
}

async fn request(listener: SocketAddr) -> std::io::Result<()> {
    let mut app = TcpStream::connect(listener).await?;
    let asked = [7; 64];
    app.write_all(&asked).await?;
    app.shutdown().await?;
    let mut answer = Vec::new();
    app.read_to_end(&mut answer).await?;
    if answer == asked { Ok(()) } else { Err(std::io::Error::other(format!("{} bytes", answer.len()))) }
}
