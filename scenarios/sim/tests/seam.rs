//! The seam: a real controller and two real nodes, started by the `run` functions that the program calls,
//! in one process, on virtual time, without a socket.
//!
//! n1 has the listener; both nodes host `echo`. Each instance greets with its node's name before it echoes,
//! so that a caller knows where it is, and can wait without having sent anything.

#![allow(clippy::disallowed_methods, reason = "asks the real clock how long a virtual story takes")]

mod support;

use std::time::{Duration, Instant as RealInstant};

use sinew_node_core::{Mechanism, Mechanisms};
use support::apps::{Caller, call, serve_echo};
use support::mesh::{Mesh, Node};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// In virtual time, longer than every story here: what waits in vain ends by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// In real time. Alone on a slow machine, a story takes a fraction of it.
const REAL_MAX: Duration = Duration::from_secs(2);

/// After a node's death, by when none is picked for it and who waited for it is elsewhere.
const FAILOVER_MAX: Duration = Duration::from_secs(1);

/// How long a silent node's live connections are kept.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// How soon a node that is back has callers.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// How long three programs may take to stop, one after the other: the other ends are there to answer.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Callers at the moment of a death: enough that some are handed to the dead node.
const CALLERS: usize = 8;

#[tokio::test(start_paused = true)]
async fn a_mesh_in_memory_echoes_a_megabyte_and_fails_over_in_under_two_real_seconds() {
    let begun = RealInstant::now();

    timeout(PATIENCE, echo_and_fail_over()).await.expect("the story comes to its end");

    assert!(begun.elapsed() < REAL_MAX, "it took {:?} of real time", begun.elapsed());
}

async fn echo_and_fail_over() {
    // n1's own instance refuses at first: whoever calls must go to n2, through QUIC.
    let (mesh, n1, n2) = two_nodes(Mechanisms::default()).await;
    let _at_n2 = serve_echo(n2.host(), "n2");
    let app = n1.host().program();

    let before = mesh.world().traffic().bytes;
    let mut caller = call(&app).await.expect("n2 answers");
    assert_eq!(caller.served_by(), "n2");
    caller.echo(1 << 20).await.expect("a megabyte comes back as it was sent");
    caller.finish().await.expect("a clean end");

    let crossed = mesh.world().traffic().bytes - before;
    assert!(crossed > 2 << 20, "a megabyte each way crosses the network, not {crossed} bytes");
    let record = n1.record(|record| record["outcome"] == "ok").await;
    assert_eq!(record["endpoint"], "n2/0");
    assert_eq!(record["bytes_up"], 1 << 20);
    assert_eq!(record["bytes_down"], (1 << 20) + "n2\n".len());

    let mut live = call(&app).await.expect("n2 answers");
    assert_eq!(live.served_by(), "n2");
    let _at_n1 = serve_echo(n1.host(), "n1");
    n2.kill();
    let died = Instant::now();

    for caller in call_at_once(&app).await {
        assert_eq!(caller.expect("fails over").served_by(), "n1");
    }
    assert!(died.elapsed() <= FAILOVER_MAX, "failing over took {:?}", died.elapsed());
    let moved = n1.record(|record| record["tried"].to_string().contains("n2/0 SUSPECT")).await;
    assert_eq!((&moved["endpoint"], &moved["outcome"]), (&"n1/0".into(), &"ok".into()));

    let end = live.next_byte().await.expect_err("a connection that broke has no clean end");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    let silent = died.elapsed();
    assert!(silent >= DEAD_AFTER && silent <= DEAD_AFTER + FAILOVER_MAX, "given up after {silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_that_comes_back_is_called_again() {
    let story = async {
        let (mesh, n1, n2) = two_nodes(Mechanisms::default()).await;
        let _at_n2 = serve_echo(n2.host(), "n2");
        let app = n1.host().program();
        assert_eq!(call(&app).await.expect("n2 answers").served_by(), "n2");

        n2.kill();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let back = Instant::now();
        let _n2 = mesh.restart(&n2).await;
        n1.sees("n2").await;

        let mut caller = call(&app).await.expect("n2 is back");
        assert_eq!(caller.served_by(), "n2");
        assert!(back.elapsed() <= RETURN_MAX, "it took {:?}", back.elapsed());
        caller.echo(1000).await.expect("it carries");
    };

    timeout(PATIENCE, story).await.expect("the story comes to its end");
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_is_told_to_stop_ends_by_itself_and_says_so_to_live_connections() {
    let story = async {
        let (mesh, n1, n2) = two_nodes(Mechanisms::default()).await;
        let _at_n2 = serve_echo(n2.host(), "n2");
        let app = n1.host().program();
        let mut live = call(&app).await.expect("n2 answers");
        let told = Instant::now();

        n1.stop().await;
        let end = live.next_byte().await.expect_err("what was cut has no clean end");
        n2.stop().await;
        mesh.stop().await;

        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(told.elapsed() <= STOP_MAX, "stopping took {:?}", told.elapsed());
        let refused = call(&app).await.expect_err("nobody listens any more");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(n1.record(|record| record["outcome"] != "ok").await["outcome"], "cut");
    };

    timeout(PATIENCE, story).await.expect("the story comes to its end");
}

#[tokio::test(start_paused = true)]
async fn without_failing_over_the_same_death_is_felt() {
    let story = async {
        let (_mesh, n1, n2) = two_nodes(Mechanisms::default().without(Mechanism::Failover)).await;
        let _services = (serve_echo(n1.host(), "n1"), serve_echo(n2.host(), "n2"));
        let app = n1.host().program();

        n2.kill();
        let died = Instant::now();
        let callers = call_at_once(&app).await;

        let failed = callers.iter().filter(|caller| caller.is_err()).count();
        assert!(failed > 0 && died.elapsed() > FAILOVER_MAX, "{failed} failed in {:?}", died.elapsed());
    };

    timeout(PATIENCE, story).await.expect("the story comes to its end");
}

async fn two_nodes(mechanisms: Mechanisms) -> (Mesh, Node, Node) {
    let mesh = Mesh::start().await;
    let n2 = mesh.join("n2", mechanisms, false).await;
    let n1 = mesh.join("n1", mechanisms, true).await;
    n1.sees("n2").await;
    (mesh, n1, n2)
}

/// As many callers as there are, all at the same moment.
async fn call_at_once(app: &sinew_sim::MemoryProgram) -> Vec<std::io::Result<Caller>> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLERS {
        let app = app.clone();
        calls.spawn(async move { call(&app).await });
    }
    calls.join_all().await
}
