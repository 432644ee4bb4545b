//! The life of a breaker, told by one caller and by many that interleave.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1000;
const T0: u64 = 1_000_000;
/// No back-off is longer.
const LONG: u64 = 2000 * MS;

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

/// One that was refused at [`T0`].
fn open() -> Breaker {
    let breaker = Breaker::new();
    breaker.on_refused(T0, &mut rng());
    breaker
}

#[test]
fn a_closed_breaker_admits_everybody() {
    let breaker = Breaker::new();

    assert!((0..10).all(|_| breaker.admits(T0)));
    assert_eq!(breaker.state(T0), BreakerState::Closed);
    assert_eq!(breaker.due_us(), None);
}

#[test]
fn one_refusal_opens_it_at_once_for_50_to_100_ms() {
    for seed in 0..100 {
        let breaker = Breaker::new();

        breaker.on_refused(T0, &mut fastrand::Rng::with_seed(seed));

        assert!(!breaker.admits(T0 + 50 * MS - 1));
        assert_eq!(breaker.state(T0 + 50 * MS - 1), BreakerState::Open);
        assert!(breaker.admits(T0 + 100 * MS));
    }
}

#[test]
fn an_open_breaker_lets_one_probe_through() {
    let breaker = open();

    assert!(breaker.admits(T0 + 100 * MS));

    assert_eq!(breaker.state(T0 + 100 * MS), BreakerState::Probing);
    assert!((0..10).all(|_| !breaker.admits(T0 + 200 * MS)));
}

#[test]
fn asking_whether_a_probe_is_due_takes_none() {
    let breaker = open();

    assert!(!breaker.is_due(T0 + MS));
    assert!(breaker.is_due(T0 + 100 * MS));
    assert!(breaker.is_due(T0 + 100 * MS));
    assert!(breaker.admits(T0 + 100 * MS));
}

#[test]
fn an_accepted_probe_closes_it_and_forgets_the_back_off() {
    let breaker = open();
    let mut now = T0;
    for _ in 0..6 {
        now += LONG;
        assert!(breaker.admits(now));
        breaker.on_refused(now, &mut rng());
    }

    now += LONG;
    assert!(breaker.admits(now));
    breaker.on_success();

    assert_eq!(breaker.state(now), BreakerState::Closed);
    breaker.on_refused(now, &mut rng());
    assert!(breaker.is_due(now + 100 * MS), "as short as the first time");
}

#[test]
fn each_refused_probe_opens_it_for_up_to_twice_as_long_until_two_seconds() {
    let breaker = open();
    let mut now = T0;
    for longest_ms in [100, 200, 400, 800, 1600, 2000, 2000] {
        let wait = breaker.due_us().expect("open") - now;
        assert!((longest_ms * MS / 2..=longest_ms * MS).contains(&wait), "{wait} of {longest_ms} ms");

        now += LONG;
        assert!(breaker.admits(now));
        breaker.on_refused(now, &mut rng());
    }
}

#[test]
fn refusals_of_connections_that_were_on_their_way_do_not_make_it_longer() {
    let breaker = open();
    let due = breaker.due_us();

    for _ in 0..10 {
        breaker.on_refused(T0 + 10 * MS, &mut rng());
    }

    assert_eq!(breaker.due_us(), due);
}

#[test]
fn a_success_of_a_connection_that_was_on_its_way_does_not_close_it() {
    let breaker = open();

    breaker.on_success();

    assert_eq!(breaker.state(T0 + MS), BreakerState::Open);
}

#[test]
fn a_probe_that_nobody_hears_of_makes_room_for_another_after_5_s() {
    let breaker = open();
    let probe = T0 + LONG;
    assert!(breaker.admits(probe));

    assert!(!breaker.admits(probe + 4999 * MS));
    assert!(breaker.admits(probe + 5000 * MS));
    assert!(!breaker.admits(probe + 5000 * MS));
}

#[test]
fn a_probe_that_got_nowhere_makes_room_for_another_at_once_and_keeps_the_back_off() {
    let breaker = open();
    let now = T0 + LONG;
    assert!(breaker.admits(now));

    breaker.on_abandoned(now);
    let again = [breaker.admits(now), breaker.admits(now)];
    breaker.on_refused(now, &mut rng());

    assert_eq!(again, [true, false]);
    assert!(!breaker.is_due(now + 100 * MS - 1), "the second back-off, not the first");
}

#[test]
fn abandoning_changes_nothing_while_it_is_closed_or_open() {
    let (closed, open) = (Breaker::new(), open());
    let due = open.due_us();

    closed.on_abandoned(T0);
    open.on_abandoned(T0);

    assert!(closed.is_closed());
    assert_eq!(open.due_us(), due);
}

#[test]
fn a_reset_closes_it() {
    let breaker = open();

    breaker.reset();

    assert!(breaker.admits(T0));
    assert!(breaker.admits(T0));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    Ask,
    Accept,
    Refuse,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u64..3000 * MS).prop_map(Step::Wait),
        Just(Step::Ask),
        Just(Step::Ask),
        Just(Step::Accept),
        Just(Step::Refuse),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// A straight model: who was let through since it opened, and when.
    #[test]
    fn between_opening_and_closing_each_back_off_and_probe_time_admits_exactly_one(seed: u64, steps in steps()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let breaker = Breaker::new();
        let mut now = T0;
        let mut probe_at: Option<u64> = None;

        for step in steps {
            match step {
                Step::Wait(us) => now += us,
                Step::Ask => {
                    let was = breaker.state(now);
                    let due = breaker.is_due(now);
                    let admitted = breaker.admits(now);
                    prop_assert_eq!(admitted, was == BreakerState::Closed || due);
                    if admitted && was != BreakerState::Closed {
                        prop_assert!(probe_at.is_none_or(|at| now >= at + 5000 * MS), "two probes at once");
                        probe_at = Some(now);
                        prop_assert!(!breaker.admits(now));
                    }
                }
                Step::Accept => {
                    breaker.on_success();
                    if probe_at.take().is_some() {
                        prop_assert_eq!(breaker.state(now), BreakerState::Closed);
                    }
                }
                Step::Refuse => {
                    breaker.on_refused(now, &mut rng);
                    probe_at = None;
                    let due = breaker.due_us();
                    prop_assert!(due.is_some_and(|due| due <= now + LONG), "a refusal leaves it open");
                }
            }
        }
    }
}
