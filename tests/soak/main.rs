//! The soak: mixed load for a long time, while nodes and the controller die and return, and nothing is left behind.
//!
//! Four nodes and a controller, real processes. One node's applications call a service on the three others in every
//! manner ([`calls`]): short and kept connections, uploads and downloads with digests, idle ones, resets from both
//! sides. Meanwhile a seed decides who is killed, restarted and paused ([`faults`]). It holds that
//!
//! - every answer is right, and a call fails only when a node died that had been given bytes of it ([`totals`]);
//! - what applications saw, what the access log says and what the metrics count is the same;
//! - after each quarter, when the load has ended, every process is as it was before: descriptors, threads, tasks,
//!   links, connections in progress; and memory does not grow from quarter to quarter ([`figures`]).
//!
//! `SOAK_SECONDS` says how long (600), `SOAK_SEED` with which seed; both are printed. `just soak` runs it; `cargo
//! test` runs [`SHORT`] of it.

#![allow(clippy::disallowed_methods, reason = "a story about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]
#![allow(clippy::cast_precision_loss, reason = "counts of a test are small")]

mod calls;
mod faults;
mod figures;
mod load;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod totals;

use std::collections::BTreeSet;
use std::time::Duration;

use calls::{Call, End, Manner};
use faults::{DEAD_AFTER, MORTAL, hurt};
use figures::{PROCESSES, Plateau, plateau};
use load::Load;
use support::{Mesh, NodePlan, PATIENCE, Record, Service, now_us};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What `cargo test` runs.
const SHORT: Duration = Duration::from_secs(20);

/// A load without faults, before anything is compared.
const WARM_UP: Duration = Duration::from_secs(2);

/// Parts of a soak, each with a load and its end. Memory is compared from the first to the last.
const QUARTERS: u32 = 4;

/// What the memory of a process may grow from the first quarter's end to the last's, beside an eighth of itself. What an
/// allocator keeps for the next load depends on how many connections happened to be open at once. Ten minutes are some
/// hundred thousand connections in the caller, of 70 MiB: it fails when each leaves 170 bytes behind.
const GROWTH_KIB: u64 = 8 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_under_load_and_faults_leaves_nothing_behind() {
    soak(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes; run by .ci/run"]
async fn a_mesh_under_load_and_faults_for_a_long_time_leaves_nothing_behind() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    soak(Duration::from_secs(seconds)).await;
}

async fn soak(duration: Duration) {
    let seed = std::env::var("SOAK_SEED").map_or_else(|_| now_us(), |text| text.parse().unwrap());
    println!("SOAK_SECONDS={} SOAK_SEED={seed}", duration.as_secs());
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut mesh, _services) = mesh().await;
    let listener = mesh.listener("caller", "work");
    // The first connections bring up lanes that stay.
    let warm = Load::start(listener, &mut rng);
    sleep(WARM_UP).await;
    let (mut calls, mut windows) = (warm.stop().await, Vec::new());
    let before = plateau(&mut mesh, None).await;
    let mut plateaus = vec![before.clone()];

    for quarter in 0..QUARTERS {
        let load = Load::start(listener, &mut rng);
        let end = Instant::now() + duration / QUARTERS;
        // The controller lives through the second half, so that what it holds can be compared.
        windows.extend(hurt(&mut mesh, &mut rng, end, quarter < QUARTERS / 2).await);
        sleep_until(end).await;
        calls.extend(load.stop().await);
        plateaus.push(plateau(&mut mesh, Some(&before)).await);
    }
    calls.extend(every_endpoint_is_called(&mesh, &mut rng).await);

    report::show(&calls, &windows, &plateaus);
    let records = mesh.records_when("caller", |records| records.len() >= calls.len()).await;
    totals::compare(&calls, &records, &windows);
    totals::counted("caller", "outbound", &records, &mesh.metrics("caller").await);
    totals::counted("n3", "inbound", &mesh.records("n3"), &mesh.metrics("n3").await);
    totals::both_ends(&mesh, &records, "n3");
    memory_does_not_grow(&plateaus);
}

/// `n1` to `n3` serve `work`, `caller` calls it. The endpoint of `n2` is checked. The caller chooses as if all were
/// alike: by its own view it would leave a node that was paused alone for minutes, and what becomes of that node then
/// would meet nobody.
async fn mesh() -> (Mesh, Vec<Service>) {
    let mut mesh = Mesh::start().await;
    let mut services = Vec::new();
    let plan = |name| NodePlan::new(name).set("dead_after", DEAD_AFTER).set("drain_timeout", "\"2s\"");
    for name in ["n1", "n2", "n3"] {
        let service = calls::service().await;
        let health = if name == "n2" { "{ interval = \"200ms\" }" } else { "false" };
        mesh.add(plan(name).serve("work", service.address()).health(health)).await;
        services.push(service);
    }
    let caller = plan("caller").listen("work", "web").without("latency").without("weights");
    mesh.add(caller).await;
    mesh.settled().await;
    (mesh, services)
}

/// No breaker stays open and no endpoint is forgotten: each is called again, and every call goes well.
async fn every_endpoint_is_called(mesh: &Mesh, rng: &mut fastrand::Rng) -> Vec<Call> {
    let (since_us, listener) = (now_us(), mesh.listener("caller", "work"));
    let mut calls = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        for _ in 0..50 {
            calls.push(calls::call(listener, Manner::Short, rng, &CancellationToken::new()).await);
        }
        let records = mesh.records_when("caller", |records| {
            records.iter().filter(|record| record.started_us >= since_us).count() >= calls.len()
        });
        let records = records.await;
        let called = records.iter().filter(|record| record.started_us >= since_us).map(Record::node);
        let called: BTreeSet<_> = called.collect();
        if called.len() == 3 {
            assert!(calls.iter().all(|call| call.end == End::Well), "{calls:?}");
            return calls;
        }
        assert!(Instant::now() < deadline, "after {} calls only {called:?} were called", calls.len());
    }
}

/// What has lived through a whole quarter holds no more memory at the end of the last one than it did then.
fn memory_does_not_grow(plateaus: &[Plateau]) {
    let last = plateaus.last().unwrap();
    for name in PROCESSES {
        let pid = last[name].pid;
        let whole = plateaus.windows(2).filter(|pair| pair.iter().all(|plateau| plateau[name].pid == pid));
        let then = whole.map(|pair| pair[1][name].memory_kib).next();
        // Mortal nodes may be too young.
        assert!(then.is_some() || MORTAL.contains(&name), "{name} did not live");
        let (then, now) = (then.unwrap_or(u64::MAX / 2), last[name].memory_kib);
        assert!(now <= then + then / 8 + GROWTH_KIB, "{name} grew from {then} to {now} KiB");
    }
}
