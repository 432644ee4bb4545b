//! No request runs twice by our doing: nodes are killed again and again, at moments drawn from a seed, while
//! applications call the services behind them.
//!
//! The services live in the test and write down every request that they read, also those whose node dies a
//! moment later. Whatever the moment: no request is written down twice, none fails but those in the hands of
//! the node that died, and whoever had sent nothing then succeeds elsewhere. Four nodes die in turn, so that
//! one has the time to come back while others die.
//!
//! `SINEW_TEST_SEED=… cargo test --test once` repeats the moments of a run that failed; what the machine does
//! between them differs from run to run all the same.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod requests;
mod silence;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use requests::{Ledger, Manner, Request, Requests};
use support::{Mesh, NodePlan, PATIENCE, Record, now_us, until};
use tally::Tally;
use tokio::time::{Instant, sleep, timeout};

/// When nobody asks for another.
const SEED: u64 = 20_261_122;

/// Who dies, in turn.
const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// A third of the requests at a time: together enough for some to be with every node.
const BATCH: [Manner; 4] = [Manner::Eager, Manner::Greeted, Manner::Patient, Manner::Eager];

/// Batches until one has a request with the node that shall die.
const BATCHES_MAX: usize = 10;

/// How long a batch may take to have one there.
const BATCH_TIME: Duration = Duration::from_millis(500);

/// What is in progress when the node dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It has just started; the nodes greet each other.
    Handshake,
    /// Connections were opened.
    Preamble,
    /// Payload was sent.
    Payload,
    /// The service has read a request and thinks.
    Delivered,
    /// The service has written an answer.
    Answered,
}

impl Moment {
    const ALL: [Self; 5] = [Self::Handshake, Self::Preamble, Self::Payload, Self::Delivered, Self::Answered];

    /// How much later, at most, the node is killed.
    const fn window(self) -> Duration {
        match self {
            Self::Handshake => Duration::from_millis(8),
            Self::Preamble | Self::Payload => Duration::from_micros(1500),
            Self::Delivered | Self::Answered => Duration::from_micros(500),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_arrives_twice_whenever_its_node_is_killed() {
    kill_nodes(40).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by .ci/run"]
async fn no_request_arrives_twice_at_200_moments() {
    kill_nodes(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_accepted_but_carried_nothing_succeeds_elsewhere() {
    const CONNECTIONS: u64 = 16;
    let ledger = Ledger::default();
    let mut mesh = mesh(&ledger, &NODES[..2]).await;
    let mut requests = Requests::new(&ledger, fastrand::Rng::with_seed(SEED));
    requests.send(&mesh, &[Manner::Silent; CONNECTIONS as usize]);
    let spread = until("every connection to be accepted", || async {
        let counts = (ledger.accepted("n1"), ledger.accepted("n2"));
        if counts.0 + counts.1 == CONNECTIONS { Ok(counts.0) } else { Err(format!("{counts:?}")) }
    });
    assert!(spread.await.unwrap() > 0, "none is with the node that dies");

    mesh.kill("n1").await;

    let moved = until("the other node to have all of them", || async {
        let there = ledger.accepted("n2");
        if there == CONNECTIONS { Ok(()) } else { Err(format!("{there} of {CONNECTIONS}")) }
    });
    moved.await.unwrap();
    requests.speak();
    for request in requests.ended().await {
        assert_eq!(request.answer.as_deref(), Ok("n2"), "{request:?}");
    }
    assert!(ledger.doubles().is_empty());
}

/// Shows the seed when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the moments came from SINEW_TEST_SEED={}", self.0);
        }
    }
}

/// The story of this file, with so many deaths.
async fn kill_nodes(deaths: usize) {
    let asked = std::env::var("SINEW_TEST_SEED").ok();
    let seed = Seed(asked.map_or(SEED, |text| text.parse().expect("SINEW_TEST_SEED is a number")));
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let ledger = Ledger::default();
    let mut mesh = mesh(&ledger, &NODES).await;
    let mut away = Away::default();
    let mut tally = Tally::default();

    for (death, victim) in (0..deaths).zip(NODES.into_iter().cycle()) {
        let moment = Moment::ALL[death % Moment::ALL.len()];
        let delay = moment.window().mul_f64(rng.f64());
        let context = format!("death {death} of seed {}: {victim} {delay:?} into {moment:?}", seed.0);
        away.returned(&mesh, &ledger, &mut rng, victim).await;

        let requests = kill_at(&mut mesh, &ledger, moment, victim, delay, rng.fork()).await;

        away.leaves(victim);
        mesh.restart(victim).await;
        let requests = requests.ended().await;
        assert!(ledger.doubles().is_empty(), "{:?}; {context}", ledger.doubles());
        let failed: Vec<_> = requests.iter().filter(|request| request.answer.is_err()).collect();
        let all_there = |records: &[Record]| failed.iter().all(|request| request.record(records).is_some());
        let records = mesh.records_when("caller", all_there).await;
        for request in &failed {
            let record = request.record(&records).unwrap();
            assert!(request.sent, "sent nothing: {request:?} {record:?}; {context}");
            assert!(away.since_us.contains_key(record.node()), "{request:?} {record:?}; {context}");
        }
        for request in requests.iter().filter(|request| request.answer.is_ok()) {
            assert_eq!(ledger.readers_of(request.id), 1, "{request:?}; {context}");
        }
        away.learn_from(&requests);
        tally.add(moment, &requests, &records);
    }
    mesh.books_agree().await;
    tally.show_and_check();
}

/// Nodes with a client-first and a server-first service each, and a caller.
async fn mesh(ledger: &Ledger, names: &[&'static str]) -> Mesh {
    let mut mesh = Mesh::start().await;
    for name in names {
        mesh.add(serving(ledger, name).await).await;
    }
    mesh.add(caller()).await;
    mesh.settled().await;
    mesh
}

/// A node with both services.
async fn serving(ledger: &Ledger, name: &'static str) -> NodePlan {
    let (clerk, usher) = ledger.services(name).await;
    NodePlan::new(name).serve("clerk", clerk).serve("usher", usher)
}

/// The node of the applications.
fn caller() -> NodePlan {
    let caller = NodePlan::new("caller").listen("clerk", "web").listen("usher", "web");
    caller.set("dead_after", "\"2s\"")
}

/// Nodes that died and have not answered since: to their caller, their last run may still seem to live.
#[derive(Debug, Default)]
struct Away {
    /// When each was started again.
    since_us: HashMap<&'static str, u64>,
}

impl Away {
    fn leaves(&mut self, node: &'static str) {
        self.since_us.insert(node, now_us());
    }

    /// An answer to a request that began later than the node's death came from its next run.
    fn learn_from(&mut self, requests: &[Request]) {
        for request in requests {
            let Ok(host) = request.answer.as_deref() else { continue };
            if self.since_us.get(host).is_some_and(|since_us| request.began_us > *since_us) {
                self.since_us.remove(host);
            }
        }
    }

    /// Asks until `node` answers.
    async fn returned(&mut self, mesh: &Mesh, ledger: &Ledger, rng: &mut fastrand::Rng, node: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.since_us.contains_key(node) {
            assert!(Instant::now() < deadline, "{node} does not return\n{}", mesh.log("caller"));
            let mut requests = Requests::new(ledger, rng.fork());
            requests.send(mesh, &[Manner::Greeted; NODES.len()]);
            self.learn_from(&requests.ended().await);
        }
    }
}

/// Kills `victim` at a moment, and `delay` later; yields the requests that are in progress.
async fn kill_at(
    mesh: &mut Mesh,
    ledger: &Ledger,
    moment: Moment,
    victim: &'static str,
    delay: Duration,
    rng: fastrand::Rng,
) -> Requests {
    match moment {
        Moment::Handshake => start_greeting(mesh, victim).await,
        Moment::Delivered => ledger.set_trap(victim, mesh.pid(victim)),
        _ => {}
    }
    let mut requests = Requests::new(ledger, rng);
    for _ in 0..BATCHES_MAX {
        let (since, sent) = (ledger.len(), requests.sent());
        for _ in 0..3 {
            requests.send(mesh, &BATCH);
        }
        let there = async {
            match moment {
                Moment::Handshake | Moment::Preamble => {}
                Moment::Payload => requests.more_are_sent(sent).await,
                Moment::Delivered => ledger.delivered(victim, since).await,
                Moment::Answered => ledger.answered(victim, since).await,
            }
        };
        if timeout(BATCH_TIME, there).await.is_ok() {
            break;
        }
    }
    // Finer than the clock of timers.
    let at = Instant::now() + delay;
    while Instant::now() < at {
        tokio::task::yield_now().await;
    }
    ledger.clear_trap();
    mesh.kill(victim).await;
    requests
}

/// Kills a node and starts it so that it hears from its caller only now: it tells that it knows nothing of
/// the old connection, and the two greet each other within the next milliseconds.
async fn start_greeting(mesh: &mut Mesh, node: &str) {
    mesh.kill(node).await;
    mesh.restart(node).await;
    mesh.pause(node).await;
    let _ = timeout(BATCH_TIME, async {
        while !mesh.ports(node).data.iter().any(|address| has_unread(address.port())) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    mesh.resume(node);
}

/// Whether packets wait in the UDP socket at `port`, of whichever process.
fn has_unread(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").expect("Linux shows its sockets");
    let local = format!(":{port:04X}");
    let ours = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Fields: number, local address, remote address, state, length of the queues to send and to read, ….
    let mut ours = ours.filter(|fields| fields.get(1).is_some_and(|address| address.ends_with(&local)));
    ours.any(|fields| fields.get(4).is_some_and(|queues| !queues.ends_with(":00000000")))
}
