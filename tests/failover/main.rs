//! Stories about failing over: what dies gets no new connections, soon, and what returns gets them again.
//!
//! Real processes on loopback. The access log of the caller says when each connection was given to which
//! endpoint; the applications say whom they talked to and what failed. Each promise has a control: with the
//! mechanism behind it switched off, the same story must break it. Stories measure time, so one runs at a
//! time.
//!
//! This file: nodes and services under load that die and return. [`restarts`]: again and again. [`silence`]: peers
//! that say nothing.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod load;
mod restarts;
mod silence;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transfer.rs"]
mod transfer;

use std::time::Duration;

use load::{Load, Seen};
use support::{Mesh, NodePlan, Record, Service, now_us};
use tokio::sync::Mutex;
use tokio::time::sleep;

const MILLISECOND: u64 = 1000;
const SECOND: u64 = 1000 * MILLISECOND;

/// Connections by which a story knows how things are: with eight applications a fraction of a second.
const ENOUGH_CALLS: usize = 200;

/// Held by the story that runs.
static MACHINE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_picked_for_a_node_later_than_a_second_after_its_death() {
    let _machine = MACHINE.lock().await;

    let (died_us, seen) = a_node_dies_under_load(caller()).await;

    let late: Vec<_> = visits(&seen, "n1", died_us + SECOND).collect();
    assert!(late.is_empty(), "{} picks, one of them {:?}", late.len(), late[0]);
    for (call, record) in seen.failed() {
        let its_last = |r: &Record| r.node() == "n1" && r.picked_us <= died_us + SECOND;
        assert!(record.is_some_and(its_last), "{call:?} {record:?}");
        assert!(call.sent, "a connection without payload must succeed elsewhere: {call:?} {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_failover_a_dead_node_keeps_getting_connections() {
    let _machine = MACHINE.lock().await;

    // The balancer would keep away from what hangs, too.
    let caller = caller().without("failover").without("latency").set("connect_timeout", "\"300ms\"");
    let (died_us, seen) = a_node_dies_under_load(caller).await;

    assert!(visits(&seen, "n1", died_us + SECOND).count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_ends_at_a_service_later_than_300_ms_after_its_death() {
    let _machine = MACHINE.lock().await;

    let story = a_service_dies_and_returns(caller()).await;

    let outage = story.gone_us + 300 * MILLISECOND..story.returned_us;
    let ended = |record: &&Record| record.node() == "n1" && outage.contains(&record.ended_us());
    assert_eq!(story.seen.records.iter().find(ended), None);
    for (call, record) in story.seen.failed() {
        let its_last = |r: &Record| r.node() == "n1" && r.picked_us <= story.gone_us;
        assert!(record.is_some_and(its_last), "{call:?} {record:?}");
    }
    assert!(story.visits_in_outage() <= story.probes_max(), "{} visits", story.visits_in_outage());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_failover_a_dead_service_keeps_getting_connections() {
    let _machine = MACHINE.lock().await;

    let story = a_service_dies_and_returns(caller().without("failover")).await;

    assert!(story.visits_in_outage() > story.probes_max());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_returns_is_used_again_after_its_probation() {
    let _machine = MACHINE.lock().await;

    let story = a_service_dies_and_returns(caller()).await;

    // The longest back-off is 2 s.
    let back_us = story.back_us.expect("used again");
    assert!(back_us < story.returned_us + 2500 * MILLISECOND, "{} ms", (back_us - story.returned_us) / 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_probation_a_service_that_returns_is_never_used_again() {
    let _machine = MACHINE.lock().await;

    let story = a_service_dies_and_returns(caller().without("probation")).await;

    assert_eq!(story.back_us, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_is_used_again_within_5_s() {
    let _machine = MACHINE.lock().await;
    let (mut mesh, _services) = two_hosts(caller()).await;
    let load = Load::start(mesh.listener("caller", "orders"));

    // After three seconds away its peers dial it less often.
    for (away, gently) in [(Duration::ZERO, false), (Duration::ZERO, true), (Duration::from_secs(3), false)] {
        load.greeted_by("n1", now_us()).await;
        if gently {
            mesh.stop("n1").await;
        } else {
            mesh.kill("n1").await;
        }
        sleep(away).await;
        let restarted_us = now_us();
        mesh.restart("n1").await;

        let used_us = load.greeted_by("n1", restarted_us).await;

        let after_ms = (used_us - restarted_us) / MILLISECOND;
        assert!(after_ms <= 5000, "after {after_ms} ms; away {away:?}, told to stop: {gently}");
    }
    load.stop(&mesh, "caller", 0).await;
}

/// The node that the applications of these stories are on. Connections lost with a dead peer hang until
/// `dead_after`, which nothing else here depends on.
fn caller() -> NodePlan {
    NodePlan::new("caller").listen("orders", "web").set("dead_after", "\"3s\"")
}

/// Nodes n1 and n2, each with a greeter of its name.
async fn two_hosts(caller: NodePlan) -> (Mesh, [Service; 2]) {
    let services = [Service::greeter("n1").await, Service::greeter("n2").await];
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", services[0].address())).await;
    mesh.add(NodePlan::new("n2").serve("orders", services[1].address())).await;
    mesh.add(caller).await;
    mesh.settled().await;
    (mesh, services)
}

/// When n1 died, and what was seen until a good while later.
async fn a_node_dies_under_load(caller: NodePlan) -> (u64, Seen) {
    let (mut mesh, _services) = two_hosts(caller).await;
    let load = Load::start(mesh.listener("caller", "orders"));
    load.calls_after(0, ENOUGH_CALLS).await;
    load.greeted_by("n1", 0).await;

    let died_us = mesh.kill("n1").await;

    load.calls_after(died_us + SECOND, ENOUGH_CALLS).await;
    (died_us, load.stop(&mesh, "caller", died_us).await)
}

/// Records of connections that were given to `node` later than `after_us`. Of an endpoint that was left, the
/// log does not say when it was picked: not before the connection began.
fn visits<'s>(seen: &'s Seen, node: &str, after_us: u64) -> impl Iterator<Item = &'s Record> {
    seen.records.iter().filter(move |record| {
        let picked_us = if record.node() == node { record.picked_us } else { record.started_us };
        record.touched(node) && picked_us > after_us
    })
}

struct ServiceStory {
    /// When n1's service was dead.
    gone_us: u64,
    /// When it was there again.
    returned_us: u64,
    /// When the first connection after that began which it served.
    back_us: Option<u64>,
    seen: Seen,
}

impl ServiceStory {
    /// Connections that were given to n1 when it was long known that its service is dead.
    fn visits_in_outage(&self) -> usize {
        let late = visits(&self.seen, "n1", self.gone_us + 300 * MILLISECOND);
        late.filter(|record| record.ended_us() < self.returned_us).count()
    }

    /// Probes are at least 50 ms apart: half of the shortest back-off.
    fn probes_max(&self) -> usize {
        let outage_ms = (self.returned_us - self.gone_us) / MILLISECOND;
        usize::try_from(outage_ms / 50).unwrap() + 1
    }
}

/// The service of n1 dies with its connections, while its node lives, and returns after a second.
async fn a_service_dies_and_returns(caller: NodePlan) -> ServiceStory {
    let (mesh, [one, _two]) = two_hosts(caller).await;
    let load = Load::start(mesh.listener("caller", "orders"));
    load.greeted_by("n1", 0).await;

    let address = one.address();
    one.stop().await;
    let gone_us = now_us();
    load.calls_after(gone_us + SECOND, ENOUGH_CALLS).await;
    let _one = Service::greeter_at(address, "n1").await;
    let returned_us = now_us();
    load.calls_after(returned_us + 3 * SECOND, ENOUGH_CALLS).await;

    let seen = load.stop(&mesh, "caller", gone_us).await;
    let greeted = |call: &&load::Call| call.greeted_by.as_deref() == Some("n1");
    let back = seen.calls.iter().filter(greeted).map(|call| call.began_us);
    let back_us = back.filter(|began_us| *began_us > gone_us).min();
    ServiceStory { gone_us, returned_us, back_us, seen }
}
