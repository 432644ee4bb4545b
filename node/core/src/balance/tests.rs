//! What one record says, and what comparing two of them says.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1000;
const SECOND: u64 = 1_000_000;

/// A record whose last sample, of `sample_us`, came at `at_us`.
fn measured(at_us: u64, sample_us: u64) -> Load {
    let load = Load::new();
    load.on_latency(at_us, sample_us);
    load
}

#[test]
fn a_slower_answer_counts_at_once_and_a_faster_one_only_in_time() {
    let load = measured(SECOND, 5 * MS);

    load.on_latency(SECOND + MS, 100 * MS);
    load.on_latency(SECOND + 2 * MS, 5 * MS);

    let right_after = load.latency_us(SECOND + 2 * MS);
    let one_decay_later = load.latency_us(SECOND + 5 * SECOND);
    assert!((99_000.0..=100_000.0).contains(&right_after), "{right_after}");
    assert!((36_000.0..=38_000.0).contains(&one_decay_later), "{one_decay_later}");
}

#[test]
fn the_average_decays_alike_however_often_it_is_fed() {
    let (rarely, often) = (measured(SECOND, 10 * MS), measured(SECOND, 10 * MS));

    for us in (SECOND..3 * SECOND).step_by(137) {
        often.on_latency(us, MS);
    }

    let (rarely, often) = (rarely.latency_us(3 * SECOND), often.latency_us(3 * SECOND));
    assert!((rarely - often).abs() < rarely / 100.0, "{rarely} {often}");
}

#[test]
fn the_cost_is_the_latency_times_what_would_be_in_flight() {
    let load = measured(SECOND, 5 * MS);
    load.on_open();
    load.on_open();

    assert!((load.cost(SECOND) - 15_000.0).abs() < 1.0);
    load.on_close();
    assert!((load.cost(SECOND) - 10_000.0).abs() < 1.0);
}

#[test]
fn the_faster_of_two_is_cheaper_until_it_has_more_to_do() {
    let (fast, slow) = (measured(SECOND, 5 * MS), measured(SECOND, 12 * MS));

    assert_eq!(fast.is_cheaper_than(&slow, SECOND), Some(true));
    assert_eq!(slow.is_cheaper_than(&fast, SECOND), Some(false));
    fast.on_open();
    assert_eq!(fast.is_cheaper_than(&slow, SECOND), Some(true));
    fast.on_open();
    assert_eq!(fast.is_cheaper_than(&slow, SECOND), Some(false));
}

#[test]
fn an_endpoint_that_was_never_measured_counts_as_fast_as_the_other() {
    for other in [measured(SECOND, 50), measured(SECOND, 10 * SECOND), Load::new()] {
        let new = Load::new();
        assert_eq!(new.is_cheaper_than(&other, SECOND), None);

        new.on_open();
        assert_eq!(new.is_cheaper_than(&other, SECOND), Some(false), "what it got counts against it");
    }
}

#[test]
fn age_makes_an_endpoint_equal_and_never_better() {
    let slow = measured(SECOND, 107 * MS);
    let now = 60 * SECOND;
    let fast = measured(now, 5 * MS);

    assert_eq!(slow.is_cheaper_than(&fast, 3 * SECOND), Some(false));
    assert_eq!(slow.is_cheaper_than(&fast, now), None);
    slow.on_open();
    assert_eq!(slow.is_cheaper_than(&fast, now), Some(false));
}

#[test]
fn an_endpoint_with_turns_of_seconds_is_not_forgotten_between_two_of_them() {
    let load = measured(SECOND, 10 * SECOND);

    let later = load.latency_us(11 * SECOND);

    assert!(later > 9_000_000.0, "{later}");
}

#[test]
fn a_reset_forgets_the_latency_and_keeps_what_is_in_flight() {
    let load = measured(SECOND, 107 * MS);
    load.on_open();

    load.reset();

    assert!(!load.is_measured());
    assert_eq!(load.in_flight(), 1);
}

#[test]
fn a_reader_behind_the_last_writer_sees_no_decay() {
    let load = measured(10 * SECOND, 5 * MS);

    assert!((load.latency_us(9 * SECOND) - 5000.0).abs() < 1.0);
}

#[test]
fn the_stamp_may_wrap() {
    let wrap_us = (u64::from(u32::MAX) + 1) * 1000;
    let load = measured(wrap_us - SECOND, 100 * MS);

    let later = load.latency_us(wrap_us + 4 * SECOND);

    assert!((36_000.0..=38_000.0).contains(&later), "{later}");
}

proptest! {
    #[test]
    fn the_average_is_at_least_the_last_sample_and_at_most_the_highest(
        samples in prop::collection::vec((0u64..10 * SECOND, 0u64..100 * SECOND), 1..100),
    ) {
        let load = Load::new();
        let (mut now, mut highest, mut last) = (1, 1, 1);

        for (gap, sample) in samples {
            now += gap;
            last = sample.max(1);
            highest = highest.max(last);
            load.on_latency(now, sample);
        }

        let average = load.latency_us(now);
        prop_assert!(average >= last as f64 * 0.999 && average <= highest as f64 * 1.001);
    }

    #[test]
    fn comparing_both_ways_gives_one_answer(
        one in prop::option::of((0u64..100 * SECOND, 0u64..10 * SECOND)),
        other in prop::option::of((0u64..100 * SECOND, 0u64..10 * SECOND)),
        in_flight in (0u32..5, 0u32..5),
    ) {
        let load = |sample: Option<(u64, u64)>, in_flight| {
            let load = sample.map_or_else(Load::new, |(at_us, us)| measured(at_us, us));
            (0..in_flight).for_each(|_| load.on_open());
            load
        };
        let (one, other) = (load(one, in_flight.0), load(other, in_flight.1));

        let (there, back) = (one.is_cheaper_than(&other, 100 * SECOND), other.is_cheaper_than(&one, 100 * SECOND));

        prop_assert_eq!(there, back.map(|cheaper| !cheaper));
    }
}
