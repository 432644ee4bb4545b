//! Readers that do not read: what waits for them is bounded, and nobody else waits for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Mesh, Metrics, NodePlan, Record, Service};
use super::{ANSWER, echoed};

/// What the node's documents promise: stalled connections hold 256 MiB, and each counts as 6.8.
const STALLED_MAX: usize = 37;

/// Those that stall first, and must go when [`STALLED_MAX`] others stall.
const FIRST: usize = 5;

/// What a node takes more than before, at most: what waits in it, and half as much for what moves, and what the
/// allocator keeps of what was cut.
const GROWTH_MIB: u64 = 256 + 128;

/// Sends for ever what can be checked: each byte is the count of those before it, mod 251.
async fn hose() -> Service {
    Service::start(|mut stream| async move {
        let block: Vec<u8> = (0..251 * 256_u32).map(|i| (i % 251) as u8).collect();
        loop {
            stream.write_all(&block).await?;
        }
    })
    .await
}

async fn mesh(hose: &Service, echo: &Service) -> Mesh {
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").serve("hose", hose.address()).serve("echo", echo.address())).await;
    mesh.add(NodePlan::new("caller").listen("hose", "web").listen("echo", "web")).await;
    mesh.settled().await;
    mesh
}

fn stalled(metrics: &Metrics) -> usize {
    metrics.count("sinew_stalled_connections", &[]) as usize
}

/// Resident memory of a process, in MiB.
fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stalled_readers_hold_is_bounded_the_longest_stalled_is_cut_and_nobody_else_waits() {
    let (hose, echo) = (hose().await, Service::echo().await);
    let mesh = mesh(&hose, &echo).await;
    let before = resident_mib(mesh.pid("caller"));
    let listener = mesh.listener("caller", "hose");
    let connect = async || TcpStream::connect(listener).await.unwrap();
    // It reads a little at a time, from the beginning to the end.
    let slow = tokio::spawn(read_slowly(connect().await));

    let (mut first, mut others) = (Vec::new(), Vec::new());
    for _ in 0..FIRST {
        first.push(connect().await);
    }
    mesh.metrics_when("caller", |metrics| stalled(metrics) == FIRST).await;
    for _ in 0..STALLED_MAX {
        others.push(connect().await);
    }
    let cut = |metrics: &Metrics| metrics.count("sinew_connections_cut_total", &[("reason", "stalled")]);
    let metrics = mesh.metrics_when("caller", |metrics| cut(metrics) >= FIRST as f64).await;
    let mut beside = TcpStream::connect(mesh.listener("caller", "echo")).await.unwrap();
    let begun = Instant::now();
    for _ in 0..20 {
        echoed(&mut beside).await;
    }

    assert!(begun.elapsed() < ANSWER, "20 turns beside stalled streams took {:?}", begun.elapsed());
    assert_eq!(cut(&metrics), FIRST as f64);
    // The slow reader may have had enough by now, and ended by itself.
    let cut = |records: &[Record]| records.iter().filter(|record| record.outcome == "cut").count();
    let mut records = mesh.records_when("caller", |records| cut(records) == FIRST).await;
    records.retain(|record| record.outcome == "cut");
    let gone: BTreeSet<_> = records.iter().map(|record| record.client.clone()).collect();
    let expected: BTreeSet<_> = first.iter().map(|app| app.local_addr().unwrap().to_string()).collect();
    assert_eq!(gone, expected, "the longest stalled");
    assert!(records.iter().all(|record| record.reason.contains("took nothing")), "{records:?}");
    let growth = resident_mib(mesh.pid("caller")).saturating_sub(before);
    assert!(growth <= GROWTH_MIB, "{growth} MiB more than before");
    let bytes = mesh.metrics("caller").await.count("sinew_stalled_bytes", &[]);
    assert!(bytes <= f64::from(256 << 20), "{bytes}");

    assert!(slow.await.unwrap() >= SLOW_READS * SLOW_READ, "the slow reader got all that it read");
    drop((first, others, beside));
    mesh.metrics_when("caller", |metrics| stalled(metrics) == 0).await;
    mesh.records_when("host", |records| cut(records) == FIRST).await;
    mesh.books_agree().await;
}

/// So much at once, so often: 160 KiB/s, more than the 64 KiB/s that count as a stall.
const SLOW_READ: usize = 32 * 1024;
const SLOW_READS: usize = 20;

/// Reads slowly, checks each byte, and says how many came.
async fn read_slowly(mut app: TcpStream) -> usize {
    let (mut read, mut block) = (0, vec![0; SLOW_READ]);
    for _ in 0..SLOW_READS {
        app.read_exact(&mut block).await.unwrap();
        for byte in &block {
            assert_eq!(usize::from(*byte), read % 251);
            read += 1;
        }
        // The pace of a slow reader is what this is about; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_read_holds_up_nobody_else() {
    let deaf = Service::start(|stream| async move {
        let _kept = stream;
        std::future::pending().await
    })
    .await;
    let echo = Service::echo().await;
    let mesh = mesh(&deaf, &echo).await;

    let before = resident_mib(mesh.pid("host"));
    let mut writers = Vec::new();
    for _ in 0..STALLED_MAX {
        let mut app = TcpStream::connect(mesh.listener("caller", "hose")).await.unwrap();
        writers.push(tokio::spawn(async move {
            let block = vec![7; 64 * 1024];
            while app.write_all(&block).await.is_ok() {}
        }));
    }
    // At the service's node what was sent waits for it; at the caller's, one read of each application does.
    mesh.metrics_when("host", |metrics| stalled(metrics) == STALLED_MAX).await;
    mesh.metrics_when("caller", |metrics| stalled(metrics) == STALLED_MAX).await;
    let mut beside = TcpStream::connect(mesh.listener("caller", "echo")).await.unwrap();
    for _ in 0..20 {
        echoed(&mut beside).await;
    }

    let held = mesh.metrics("caller").await.count("sinew_stalled_bytes", &[]);
    assert_eq!(held, (STALLED_MAX * 64 * 1024) as f64);
    let growth = resident_mib(mesh.pid("host")).saturating_sub(before);
    assert!(growth <= GROWTH_MIB, "{growth} MiB more than before");
    writers.iter().for_each(tokio::task::JoinHandle::abort);
}
