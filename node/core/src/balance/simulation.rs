//! Whole minutes of traffic against a few endpoints, in virtual time: what the numbers in this module are for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::balance::Load;
use crate::breaker::Breaker;
use crate::choose::{Candidate, choose_by};
use crate::mechanisms::Mechanisms;
use crate::shares::Shares;

const MS: u64 = 1000;
const SECOND: u64 = 1_000_000;
/// A latency that no simulation lives to see the end of.
const NEVER: u64 = 3600 * SECOND;

/// A client that opens connections of one turn each at a steady rate, and the endpoints it chooses from.
struct World {
    now: u64,
    every_us: u64,
    rng: fastrand::Rng,
    loads: Vec<Load>,
    breaker: Breaker,
    /// How long a turn takes now, at each endpoint.
    latencies: Vec<u64>,
    /// End, begin and endpoint of the connections in progress.
    running: BinaryHeap<Reverse<(u64, u64, usize)>>,
}

impl World {
    fn new(per_second: u64, latencies: &[u64]) -> Self {
        Self {
            now: SECOND,
            every_us: SECOND / per_second,
            rng: fastrand::Rng::with_seed(2026),
            loads: latencies.iter().map(|_| Load::new()).collect(),
            breaker: Breaker::new(),
            latencies: latencies.to_vec(),
            running: BinaryHeap::new(),
        }
    }

    /// Lets `seconds` pass. How many connections each endpoint got in that time.
    fn run(&mut self, seconds: u64) -> Vec<usize> {
        let mut picked = vec![0; self.loads.len()];
        let end = self.now + seconds * SECOND;
        while self.now < end {
            // Arrivals are about evenly spread, so that bursts and gaps both occur.
            self.now += self.rng.u64(0..=2 * self.every_us);
            self.finish();
            picked[self.arrive()] += 1;
        }
        picked
    }

    fn finish(&mut self) {
        while let Some(Reverse((end, begin, index))) = self.running.peek().copied()
            && end <= self.now
        {
            self.running.pop();
            self.loads[index].on_latency(end, end - begin);
            self.loads[index].on_close();
        }
    }

    fn arrive(&mut self) -> usize {
        let candidate =
            |i: usize| Candidate { load: &self.loads[i], breaker: &self.breaker, usable: true, tried: false };
        let index = choose_by(
            self.now,
            &mut self.rng,
            self.loads.len(),
            &Shares::default(),
            candidate,
            Mechanisms::default(),
        )
        .expect("all are eligible");
        // A tenth more or less, as real answers vary.
        let latency = self.latencies[index] * self.rng.u64(90..=110) / 100;
        self.loads[index].on_open();
        self.running.push(Reverse((self.now + latency, self.now, index)));
        index
    }
}

fn share(picked: &[usize], index: usize) -> f64 {
    picked[index] as f64 / picked.iter().sum::<usize>() as f64
}

#[test]
fn an_endpoint_that_becomes_slow_is_avoided_within_a_second_and_its_share_returns_when_it_recovers() {
    let mut world = World::new(200, &[5 * MS, 6 * MS, 7 * MS]);
    let healthy = share(&world.run(10), 0);
    assert!(healthy > 0.3, "the fastest has the largest share: {healthy}");

    world.latencies[0] += 100 * MS;
    world.run(1);
    let slow = share(&world.run(30), 0);
    world.latencies[0] -= 100 * MS;
    world.run(15);
    let recovered = share(&world.run(5), 0);

    assert!(slow < 0.01, "{slow} of the connections went to the slow endpoint");
    assert!(recovered > healthy * 0.7, "{recovered} of {healthy} came back");
}

#[test]
fn at_every_rate_few_connections_are_spent_on_trying_a_slow_endpoint_again() {
    for (per_second, at_most) in [(1000, 0.002), (50, 0.01), (10, 0.03)] {
        let mut world = World::new(per_second, &[5 * MS, 6 * MS, 107 * MS]);
        world.run(20);

        let slow = share(&world.run(300), 2);

        assert!(slow > 0.0, "it is tried again at {per_second}/s");
        assert!(slow < at_most, "{slow} at {per_second}/s");
    }
}

#[test]
fn an_endpoint_that_hangs_gets_fewer_than_one_connection_in_a_thousand() {
    let mut world = World::new(200, &[5 * MS, 6 * MS, 7 * MS]);
    world.run(10);

    world.latencies[0] = NEVER;
    let hung: usize = (0..12).map(|_| world.run(10)[0]).sum();

    assert!(hung < 24, "{hung} connections of 24,000 were given to an endpoint that never answers");
}

#[test]
fn a_new_endpoint_gets_its_share_soon_and_no_stampede() {
    for (others, new) in [(MS, MS), (MS, 500 * MS), (SECOND, SECOND), (SECOND, 5 * SECOND)] {
        let mut world = World::new(200, &[others, others]);
        world.run(30);
        let busy = world.loads[0].in_flight().max(world.loads[1].in_flight());

        world.loads.push(Load::new());
        world.latencies.push(new);
        let first_seconds = world.run(4);

        assert!(first_seconds[2] > 0, "{new} beside {others}");
        let in_flight = world.loads[2].in_flight();
        assert!(in_flight <= 2 * busy.max(4), "{in_flight} of {busy}: {new} beside {others}");
        if new == others {
            let settled = share(&world.run(20), 2);
            assert!((0.2..0.5).contains(&settled), "{settled}: {new} beside {others}");
        }
    }
}

#[test]
fn endpoints_with_turns_of_seconds_share_what_is_in_flight() {
    let mut world = World::new(20, &[10 * SECOND, 10 * SECOND, 10 * SECOND]);

    world.run(120);

    let in_flight: Vec<u32> = world.loads.iter().map(Load::in_flight).collect();
    let (least, most) = (in_flight.iter().min(), in_flight.iter().max());
    assert!(least.is_some_and(|n| *n > 40) && most.is_some_and(|n| *n < 95), "{in_flight:?}");
}

#[test]
fn equal_endpoints_share_equally_under_load() {
    let mut world = World::new(2000, &[5 * MS, 5 * MS, 5 * MS, 5 * MS]);

    let picked = world.run(60);

    for index in 0..4 {
        let share = share(&picked, index);
        assert!((0.2..0.3).contains(&share), "{picked:?}");
    }
}
