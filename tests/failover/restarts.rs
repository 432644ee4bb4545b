//! Restarts under load: ten of a node, ten of the controller, and what they cost.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::load::{Load, Seen};
use crate::support::now_us;
use crate::{ENOUGH_CALLS, MACHINE, SECOND, caller, two_hosts};

/// Of each.
const RESTARTS: usize = 10;

/// How long the controller is away.
const AWAY: Duration = Duration::from_secs(8);

/// By when all nodes have a session again and have acknowledged the newest revision.
const AGREED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn ten_restarts_of_a_node_and_of_the_controller_cost_only_what_was_in_flight_to_the_node() {
    let _machine = MACHINE.lock().await;
    let (mut mesh, _services) = two_hosts(caller()).await;
    let load = Load::start(mesh.listener("caller", "orders"));
    let begun_us = now_us();
    let mut deaths_us = Vec::new();

    for _ in 0..RESTARTS {
        deaths_us.push(mesh.kill("n1").await);
        mesh.restart("n1").await;
        load.greeted_by("n1", now_us()).await;
        mesh.kill_controller().await;
        load.calls_after(now_us(), ENOUGH_CALLS).await;
        mesh.start_controller().await;
        load.calls_after(now_us(), ENOUGH_CALLS).await;
    }
    mesh.settled().await;

    let seen = load.stop(&mesh, "caller", begun_us).await;
    assert_excused(&seen, &deaths_us);
    assert!(seen.calls.len() > 2 * RESTARTS * ENOUGH_CALLS, "{} calls", seen.calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_controller_returns_all_agree_within_two_seconds() {
    let _machine = MACHINE.lock().await;
    let (mut mesh, _services) = two_hosts(caller()).await;
    // Long enough that everybody's back-off is at its longest.
    mesh.kill_controller().await;
    sleep(AWAY).await;

    mesh.start_controller().await;
    let returned = Instant::now();
    mesh.settled().await;

    assert!(returned.elapsed() <= AGREED_WITHIN, "{:?}", returned.elapsed());
}

/// Whatever failed had sent something, and was in the hands of n1 when that died or silence was not yet known.
fn assert_excused(seen: &Seen, deaths_us: &[u64]) {
    for (call, record) in seen.failed() {
        let lost_with_n1 = record.is_some_and(|record| {
            let of_a_death =
                |died_us: &&u64| record.picked_us <= **died_us + SECOND && record.ended_us() >= **died_us;
            record.node() == "n1" && deaths_us.iter().any(|died_us| of_a_death(&died_us))
        });
        assert!(lost_with_n1 && call.sent, "{call:?} {record:?}");
    }
}
