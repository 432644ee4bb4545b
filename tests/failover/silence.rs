//! Peers that say nothing: one that died while nobody used it, and one that was stopped and continued.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::load::{Call, Load, Manner, call};
use crate::support::{Mesh, NodePlan, Record, Service, now_us};
use crate::transfer::{Progress, Received, receive, send};
use crate::{ENOUGH_CALLS, MACHINE, SECOND, caller, two_hosts, visits};

/// How soon the first connection after a silent death succeeds elsewhere.
const FIRST_USE: u64 = 400_000;

/// For how long a death can't be known: half of the least time to suspect an idle peer.
const BLIND: Duration = Duration::from_millis(300);

/// How much slower the node that lives answers: the balancer prefers the one that dies.
const SLOWER: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn the_first_connection_after_the_death_of_an_idle_peer_succeeds_elsewhere_within_400_ms() {
    let _machine = MACHINE.lock().await;
    let mut hosts = Hosts::start(caller()).await;

    // Before its silence was noticed, only a connection that has sent nothing may be moved.
    for (unused, manner) in [(300, Manner::Polite), (1200, Manner::Eager), (3000, Manner::Eager)] {
        hosts.first_use_succeeds(Duration::ZERO, Duration::from_millis(unused), manner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run by .ci/run"]
async fn the_same_when_it_was_idle_for_long_or_is_dead_for_a_minute() {
    let _machine = MACHINE.lock().await;
    let mut hosts = Hosts::start(caller()).await;

    // Ten seconds after its last use a peer is asked for a sign of life only every five.
    for (idle, unused) in [(15_000, 300), (15_000, 2000), (15_000, 60_000), (0, 60_000)] {
        let (idle, unused) = (Duration::from_millis(idle), Duration::from_millis(unused));
        let manner = if unused < Duration::from_secs(1) { Manner::Polite } else { Manner::Eager };

        hosts.first_use_succeeds(idle, unused, manner).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_failover_the_first_connection_waits_for_the_dead_peer() {
    let _machine = MACHINE.lock().await;
    let mut hosts = Hosts::start(caller().without("failover").set("connect_timeout", "\"1s\"")).await;

    let (call, _) = hosts.first_use(Duration::ZERO, Duration::from_millis(300), Manner::Polite).await;

    assert!(call.failure.is_some() || call.ended_us - call.began_us > FIRST_USE, "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_stopped_for_5_s_and_continued_loses_no_stream() {
    let _machine = MACHINE.lock().await;

    let pause = a_pause_in_the_middle(caller().set("dead_after", "\"10s\"")).await;

    for received in &pause.received {
        assert!(received.is_whole(TRANSFER_LEN), "{received:?}");
    }
    assert_eq!(pause.received.len(), 2 * TRANSFERS);
    assert!(pause.transfers.iter().all(|record| record.outcome == "ok"), "{:?}", pause.transfers);
    assert_eq!(pause.failed, [""; 0], "connections of the load");
    assert_eq!(pause.late_visits, 0, "connections given to the stopped peer later than a second after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_stopped_and_continues_is_used_again_within_5_s() {
    let _machine = MACHINE.lock().await;
    let (mut mesh, _services) = two_hosts(caller().set("dead_after", "\"10s\"")).await;
    let load = Load::start(mesh.listener("caller", "orders"));
    load.calls_after(0, ENOUGH_CALLS).await;
    load.greeted_by("n1", 0).await;
    mesh.pause("n1").await;
    sleep(Duration::from_secs(2)).await;

    mesh.resume("n1");

    let resumed_us = now_us();
    let used_us = load.greeted_by("n1", resumed_us).await;
    assert!(used_us <= resumed_us + 5 * SECOND, "{} ms", (used_us - resumed_us) / 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_stopped_for_longer_than_dead_after_loses_its_streams() {
    let _machine = MACHINE.lock().await;

    let pause = a_pause_in_the_middle(caller().set("dead_after", "\"2s\"")).await;

    let lost = pause.received.iter().filter(|received| received.end.is_err()).count();
    assert!(lost >= TRANSFERS, "{:?}", pause.received);
    assert!(!pause.received.iter().any(|received| received.is_short(TRANSFER_LEN)), "{:?}", pause.received);
}

/// n1, which answers at once, and n2, which takes its time and has something to do.
struct Hosts {
    mesh: Mesh,
    _services: [Service; 2],
    /// A connection with n2 that stays: what n2 was measured to be slower is forgotten in time.
    _kept: TcpStream,
}

impl Hosts {
    async fn start(caller: NodePlan) -> Self {
        let services = [Service::greeter("n1").await, slow_greeter("n2").await];
        let mut mesh = Mesh::start().await;
        mesh.add(NodePlan::new("n1").serve("orders", services[0].address())).await;
        mesh.add(NodePlan::new("n2").serve("orders", services[1].address())).await;
        mesh.add(caller).await;
        mesh.settled().await;
        let kept = loop {
            let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
            let mut greeting = [0; 6];
            app.read_exact(&mut greeting).await.unwrap();
            if &greeting == b"220 n2" {
                break app;
            }
        };
        Self { mesh, _services: services, _kept: kept }
    }

    /// The same as [`Hosts::first_use`], and looks that the call succeeds elsewhere, soon.
    async fn first_use_succeeds(&mut self, idle: Duration, unused: Duration, manner: Manner) {
        let (call, record) = self.first_use(idle, unused, manner).await;

        let took_us = call.ended_us - call.began_us;
        let context = format!("idle {idle:?}, unused {unused:?}: {took_us} µs; {call:?} {record:?}");
        assert!(unused > BLIND || record.touched("n1"), "its death is not known yet; {context}");
        assert!(call.failure.is_none() && call.greeted_by.as_deref() == Some("n2"), "{context}");
        assert!(took_us <= FIRST_USE, "{context}");
    }

    /// Uses both until n1 is preferred, lets the mesh be idle, kills n1, lets it be unused, and then calls.
    /// Everybody is there again afterwards.
    async fn first_use(&mut self, idle: Duration, unused: Duration, manner: Manner) -> (Call, Record) {
        self.mesh.settled().await;
        let listener = self.mesh.listener("caller", "orders");
        let (mut calls, mut in_a_row) = (Vec::new(), 0);
        while in_a_row < 10 {
            let call = call(listener, Manner::Polite).await;
            assert_eq!(call.failure, None, "nobody is dead yet");
            in_a_row = if call.greeted_by.as_deref() == Some("n1") { in_a_row + 1 } else { 0 };
            calls.push(call);
        }
        // Connections end after their applications: with the last acknowledgement.
        let all_ended = |records: &[Record]| calls.iter().all(|call| call.record(records).is_some());
        self.mesh.records_when("caller", all_ended).await;
        sleep(idle).await;
        self.mesh.kill("n1").await;
        sleep(unused).await;

        let call = call(listener, manner).await;

        let records = self.mesh.records_when("caller", |records| call.record(records).is_some()).await;
        self.mesh.restart("n1").await;
        let record = call.record(&records).unwrap().clone();
        (call, record)
    }
}

/// Says what a greeter says to everybody, but later.
async fn slow_greeter(name: &'static str) -> Service {
    Service::start(move |mut stream| async move {
        sleep(SLOWER).await;
        stream.write_all(format!("220 {name}\r\n250 {name} HELP\r\n221 {name}\r\n").as_bytes()).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await
}

/// Transfers in progress when the peer is stopped, each both ways at once.
const TRANSFERS: usize = 4;

/// Bytes of each, each way: far from over when a quarter has passed and the peer is stopped.
const TRANSFER_LEN: u64 = 32 << 20;

struct Pause {
    /// What every end of a transfer got.
    received: Vec<Received>,
    /// The caller's records of them.
    transfers: Vec<Record>,
    /// Connections of the load that failed, in words.
    failed: Vec<String>,
    /// Connections of the load given to n1 while it was long stopped.
    late_visits: usize,
}

/// Stops n1 for five seconds in the middle of transfers with it, while new connections go on.
async fn a_pause_in_the_middle(caller: NodePlan) -> Pause {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let vault = vault(ends).await;
    let greeters = [Service::greeter("n1").await, Service::greeter("n2").await];
    let mut mesh = Mesh::start().await;
    let n1 = NodePlan::new("n1").serve("orders", greeters[0].address()).serve("vault", vault.address());
    mesh.add(n1.set("dead_after", "\"10s\"")).await;
    mesh.add(NodePlan::new("n2").serve("orders", greeters[1].address())).await;
    mesh.add(caller.listen("vault", "web")).await;
    mesh.settled().await;
    let load = Load::start(mesh.listener("caller", "orders"));
    load.greeted_by("n1", 0).await;
    let (progress, mut transfers) = (Progress::default(), JoinSet::new());
    for seed in 0..TRANSFERS as u64 {
        let app = TcpStream::connect(mesh.listener("caller", "vault")).await.unwrap();
        transfers.spawn(deposit(app, seed, progress.clone()));
    }
    let total = TRANSFERS as u64 * TRANSFER_LEN;
    progress.reaches(total / 4).await;

    mesh.pause("n1").await;
    let (paused, paused_us) = (Instant::now(), now_us());
    assert!(progress.now() < total / 2, "{} bytes of {total} have passed: not in the middle", progress.now());
    load.calls_after(paused_us + SECOND, ENOUGH_CALLS).await;
    sleep_until(paused + Duration::from_secs(5)).await;
    mesh.resume("n1");

    let resumed_us = now_us();
    let mut received = transfers.join_all().await;
    for _ in 0..TRANSFERS {
        received.push(ended.recv().await.unwrap());
    }
    let seen = load.stop(&mesh, "caller", 0).await;
    let late = visits(&seen, "n1", paused_us + SECOND);
    let late_visits = late.filter(|r| r.destination == "orders" && r.picked_us < resumed_us).count();
    let enough =
        |records: &[Record]| records.iter().filter(|r| r.destination == "vault").count() == TRANSFERS;
    let mut transfers = mesh.records_when("caller", enough).await;
    transfers.retain(|record| record.destination == "vault");
    let failed = seen.failed().map(|(call, record)| format!("{call:?} {record:?}")).collect();
    Pause { received, transfers, failed, late_visits }
}

/// Takes the bytes of a seed, and gives those of its complement at the same time.
async fn vault(ends: mpsc::UnboundedSender<Received>) -> Service {
    Service::start(move |mut stream| {
        let ends = ends.clone();
        async move {
            let seed = stream.read_u64().await?;
            let (mut up, mut down) = stream.split();
            let progress = Progress::default();
            let sending = async {
                send(&mut down, TRANSFER_LEN, !seed, &progress).await?;
                down.shutdown().await
            };
            let (received, sent) = tokio::join!(receive(&mut up, seed, &progress), sending);
            let _ = ends.send(received.beside(sent));
            Ok(())
        }
    })
    .await
}

/// The other end of the same.
async fn deposit(mut app: TcpStream, seed: u64, got: Progress) -> Received {
    let (mut up, mut down) = app.split();
    let sending = async {
        down.write_u64(seed).await?;
        send(&mut down, TRANSFER_LEN, seed, &Progress::default()).await?;
        down.shutdown().await
    };
    let (received, sent) = tokio::join!(receive(&mut up, !seed, &got), sending);
    received.beside(sent)
}
