//! Certificates of ten seconds, and load all the while: each is renewed at its half life, connections are
//! replaced before the end of theirs, and no application notices any of it.
//!
//! One application keeps a single connection open for the whole time, which is longer than any certificate:
//! its stream stays where it is, vouched for by each newer connection between the two nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::connections::{connections, now};
use crate::support::{Mesh, NodePlan, Service};

/// The shortest life that a controller gives.
const TTL: Duration = Duration::from_secs(10);

/// How much later than a certificate's end a connection's end may be written: its last second counts, it is
/// looked at four times a second, and the machine is busy.
const LATE: Duration = Duration::from_secs(2);

/// Applications that call.
const WORKERS: u64 = 4;

/// What each does between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// A call that takes longer has failed: nothing here may take long.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_under_load_and_nobody_notices() {
    rotate_for(Duration::from_secs(13), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn a_minute_of_load_over_certificates_of_ten_seconds_has_no_error() {
    rotate_for(Duration::from_mins(1), 10).await;
}

/// Load for a while, then: every node renewed at least `renewals` times, nothing failed, and no connection
/// was older than its certificate.
async fn rotate_for(time: Duration, renewals: u32) {
    let (first, second) = (Service::echo().await, Service::echo().await);
    let mut mesh = Mesh::start_with("certificate_ttl = \"10s\"").await;
    mesh.add(NodePlan::new("n1").serve("orders", first.address())).await;
    mesh.add(NodePlan::new("n2").serve("orders", second.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.add(NodePlan::new("patient").listen("orders", "web")).await;
    mesh.settled().await;

    let patient = tokio::spawn(talk(mesh.listener("patient", "orders"), time));
    let calls = call_for(mesh.listener("caller", "orders"), time).await;
    let said = patient.await.unwrap();

    assert_eq!(calls.failures, Vec::<String>::new(), "of {} calls", calls.done);
    assert!(calls.done > 100, "{} calls", calls.done);
    let said = said.unwrap_or_else(|why| panic!("the long connection broke: {why}"));
    assert!(said > 10, "{said} lines");
    for node in ["n1", "n2", "caller", "patient"] {
        let metrics = mesh.metrics(node).await;
        let renewed = metrics.count("sinew_certificate_renewals_total", &[("result", "renewed")]);
        assert!(renewed >= f64::from(renewals), "{node} renewed {renewed} times:\n{}", mesh.log(node));
        let all = metrics.count("sinew_certificate_renewals_total", &[]);
        assert_eq!(all, renewed, "{node}: some failed:\n{}", mesh.log(node));
        no_connection_is_older_than_its_certificate(&mesh, node);
    }
    for node in mesh.status().await.nodes {
        assert!(node.connected && node.copy_at.is_none(), "{node:?}");
    }
}

/// A connection ends before the end of its certificates, or with that of a newer connection of the same two
/// nodes, which only the long stream needs.
fn no_connection_is_older_than_its_certificate(mesh: &Mesh, node: &str) {
    let (log, now) = (mesh.log(node), now());
    let all = connections(&log);
    assert!(!all.is_empty(), "{log}");
    for one in &all {
        assert!(one.until <= one.up + TTL + Duration::from_secs(1), "{node}: {one:?}");
        let vouches = |newer: &&_| {
            let newer: &crate::connections::Connection = newer;
            newer.peer == one.peer && newer.up <= one.until
        };
        let long = node == "patient" || one.peer == "patient";
        let covered =
            if long { all.iter().filter(vouches).map(|c| c.until).max().unwrap() } else { one.until };
        // What is vouched for again and again is covered from one to the next; it is enough to look at the
        // last: a gap would have broken the stream.
        let last = all.iter().filter(|c| c.peer == one.peer).map(|c| c.until).max().unwrap();
        let end = if long { covered.max(last) } else { covered };
        assert!(one.end(now) <= end + LATE, "{node}: {one:?} ended {:?}\n{log}", one.end(now));
    }
}

/// What the callers saw.
struct Calls {
    done: u64,
    failures: Vec<String>,
}

/// Short calls, one connection each.
async fn call_for(listener: SocketAddr, time: Duration) -> Calls {
    let (until, done) = (Instant::now() + time, Arc::new(AtomicU64::new(0)));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let done = Arc::clone(&done);
        workers.spawn(async move {
            let mut failures = Vec::new();
            while Instant::now() < until {
                let said = format!("call of worker {worker}");
                match timeout(CALL_TIMEOUT, call(listener, said.as_bytes())).await {
                    Ok(Ok(answer)) if answer == said.as_bytes() => drop(done.fetch_add(1, Relaxed)),
                    other => failures.push(format!("{other:?}")),
                }
                sleep(PAUSE).await;
            }
            failures
        });
    }
    let failures = workers.join_all().await.concat();
    Calls { done: done.load(Relaxed), failures }
}

pub(crate) async fn call(listener: SocketAddr, said: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(listener).await?;
    stream.write_all(said).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// One connection, a line and its echo ten times a second; how many there were.
async fn talk(listener: SocketAddr, time: Duration) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(listener).await?;
    let until = Instant::now() + time;
    let mut lines = 0_u64;
    while Instant::now() < until {
        let line = format!("{lines:>15}\n");
        stream.write_all(line.as_bytes()).await?;
        let mut echo = [0; 16];
        timeout(CALL_TIMEOUT, stream.read_exact(&mut echo)).await??;
        if echo != line.as_bytes() {
            return Err(std::io::Error::other(format!("{line:?} came back as {echo:?}")));
        }
        lines += 1;
        sleep(Duration::from_millis(100)).await;
    }
    stream.shutdown().await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    Ok(lines)
}
