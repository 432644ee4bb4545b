//! What the shared records promise when several threads use them at once.

#![allow(clippy::disallowed_methods, reason = "threads are what these tests are about")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sinew_node_core::{Breaker, BreakerState, Limit, Load};

const THREADS: usize = 4;

#[test]
fn threads_together_never_exceed_a_limit_and_all_leave() {
    const MAX: usize = 3;
    let limit = Limit::new(MAX);

    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let guard = limit.try_enter();
                    assert!(limit.inside() <= MAX);
                    drop(guard);
                }
            });
        }
    });

    assert_eq!(limit.inside(), 0);
}

#[test]
fn of_threads_that_ask_at_once_exactly_one_gets_the_probe() {
    for round in 0..200 {
        let breaker = Breaker::new();
        breaker.on_refused(1, &mut fastrand::Rng::with_seed(round));
        let admitted = AtomicUsize::new(0);

        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    if breaker.admits(1_000_000) {
                        admitted.fetch_add(1, Relaxed);
                    }
                });
            }
        });

        assert_eq!(admitted.load(Relaxed), 1);
        assert_eq!(breaker.state(1_000_000), BreakerState::Probing);
    }
}

#[test]
fn a_load_counts_every_open_and_close_of_every_thread() {
    let load = Load::new();

    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for turn in 1..=1000 {
                    load.on_open();
                    load.on_latency(turn * 1000, turn);
                    load.on_close();
                }
                load.on_open();
            });
        }
    });

    assert_eq!(load.in_flight() as usize, THREADS);
}
