//! No request runs twice by our doing: the node of one of two services is killed again and again, at moments
//! drawn from a seed, while applications call.
//!
//! The services live in the test and write down every request that they read, also those whose node dies a
//! moment later. Whatever the moment: no request is written down twice, none fails but those in the hands of
//! the node that died, and whoever had sent nothing then succeeds elsewhere.
//!
//! `SINEW_TEST_SEED=… cargo test --test once` repeats the moments of a run that failed; what the machine does
//! between them differs from run to run all the same.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]

mod requests;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use requests::{Ledger, Manner, Request, Requests};
use support::{Mesh, NodePlan, Record, until};
use tokio::time::{Instant, timeout};

/// When nobody asks for another.
const SEED: u64 = 20_261_122;

/// Requests at a time: enough for some to be with either node.
const BATCH: [Manner; 6] =
    [Manner::Eager, Manner::Greeted, Manner::Patient, Manner::Eager, Manner::Greeted, Manner::Eager];

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
    const ALL: [Self; 5] =
        [Self::Handshake, Self::Preamble, Self::Payload, Self::Delivered, Self::Answered];

    /// How much later, at most, the node is killed.
    const fn window(self) -> Duration {
        match self {
            Self::Handshake => Duration::from_millis(80),
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
    let ledger = Ledger::default();
    let mut mesh = mesh(&ledger).await;
    let mut requests = Requests::new(&ledger, fastrand::Rng::with_seed(SEED));
    requests.send(&mesh, &[Manner::Silent; 8]);
    until("both nodes to have connections", || async {
        match (ledger.accepted("n1"), ledger.accepted("n2")) {
            (one, two) if one > 0 && two > 0 && one + two == 8 => Ok(()),
            counts => Err(format!("{counts:?}")),
        }
    })
    .await
    .unwrap();

    mesh.kill("n1").await;

    let moved = until("the other node to have all", || async {
        let there = ledger.accepted("n2");
        if there == 8 { Ok(()) } else { Err(format!("{there} of 8")) }
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
    let mut mesh = mesh(&ledger).await;
    let mut tally = Tally::default();

    for death in 0..deaths {
        let moment = Moment::ALL[death % Moment::ALL.len()];
        let victim = if rng.bool() { "n1" } else { "n2" };
        let delay = moment.window().mul_f64(rng.f64());

        let requests = kill_at(&mut mesh, &ledger, moment, victim, delay, rng.fork()).await;

        mesh.restart(victim).await;
        let requests = requests.ended().await;
        let context = format!("death {death} of seed {}, {victim} {delay:?} into {moment:?}", seed.0);
        assert!(ledger.doubles().is_empty(), "{:?}; {context}", ledger.doubles());
        let failed: Vec<_> = requests.iter().filter(|request| request.answer.is_err()).collect();
        let records = mesh.records_when("caller", |records| failed.iter().all(|f| f.record(records).is_some()));
        let records = records.await;
        for request in &failed {
            assert!(request.sent, "sent nothing and must succeed elsewhere: {request:?}; {context}");
            let record = request.record(&records).unwrap();
            assert_eq!(record.node(), victim, "{request:?} {record:?}; {context}");
        }
        for request in requests.iter().filter(|request| request.answer.is_ok()) {
            assert_eq!(ledger.readers_of(request.id), 1, "{request:?}; {context}");
        }
        tally.add(moment, &requests, &records);
        mesh.settled().await;
    }
    tally.show_and_check();
}

/// Two nodes with a client-first and a server-first service each, and a caller of both.
async fn mesh(ledger: &Ledger) -> Mesh {
    let mut mesh = Mesh::start().await;
    for name in ["n1", "n2"] {
        let (clerk, usher) = ledger.services(name).await;
        mesh.add(NodePlan::new(name).serve("clerk", clerk).serve("usher", usher)).await;
    }
    let caller = NodePlan::new("caller").listen("clerk", "web").listen("usher", "web");
    mesh.add(caller.set("dead_after", "\"2s\"")).await;
    mesh.settled().await;
    mesh
}

/// Kills `victim` at a moment, and `delay` later; yields the requests that are in progress.
async fn kill_at(
    mesh: &mut Mesh,
    ledger: &Ledger,
    moment: Moment,
    victim: &str,
    delay: Duration,
    rng: fastrand::Rng,
) -> Requests {
    if let Moment::Handshake = moment {
        mesh.kill(victim).await;
        mesh.restart(victim).await;
    }
    let mut requests = Requests::new(ledger, rng);
    for _ in 0..BATCHES_MAX {
        let (since, sent) = (ledger.len(), requests.sent());
        requests.send(mesh, &BATCH);
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
    mesh.kill(victim).await;
    requests
}

/// What became of all requests: shown, and looked at, lest the moments miss what they are meant for.
#[derive(Debug, Default)]
struct Tally {
    rows: [Row; Moment::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    answered: usize,
    /// Answered, after another endpoint was left.
    moved: usize,
    /// Failed, but read by a service.
    read: usize,
    /// Failed, and read by none.
    lost: usize,
}

impl Tally {
    fn add(&mut self, moment: Moment, requests: &[Request], records: &[Record]) {
        let row = &mut self.rows[moment as usize];
        for request in requests {
            let moved = request.record(records).is_some_and(|record| !record.tried.is_empty());
            match (&request.answer, request.was_read) {
                (Ok(_), _) if moved => row.moved += 1,
                (Ok(_), _) => row.answered += 1,
                (Err(_), true) => row.read += 1,
                (Err(_), false) => row.lost += 1,
            }
        }
    }

    fn show_and_check(&self) {
        for (moment, row) in Moment::ALL.iter().zip(self.rows) {
            eprintln!("{moment:?}: {row:?}");
        }
        let [_, preamble, payload, delivered, answered] = self.rows;
        assert!(preamble.moved > 0, "no connection was moved");
        assert!(payload.lost + payload.read > 0, "no payload was on its way");
        assert!(delivered.read > 0, "no request was with a service");
        assert!(answered.answered > 0, "no answer came through");
    }
}
