//! What checks promise: bad news at once, good news soon, and bounds for both.

use proptest::prelude::*;
use sinew_api::hosting::Probe;

use super::*;

const MS: u64 = 1000;

fn check(interval_ms: u32, timeout_ms: u32, rise: u8, fall: u8) -> HealthCheck {
    HealthCheck { interval_ms, timeout_ms, rise, fall, probe: Probe::Answer }
}

/// An endpoint that came up at time 1, with its next check due after the interval.
fn up(check: HealthCheck) -> Checker {
    let mut checker = Checker::new(1, check);
    for _ in 0..check.rise {
        let now = checker.poll_timeout().expect("due");
        assert!(checker.poll_check(now));
        checker.handle_finding(now, Finding::Answered);
    }
    assert_eq!(checker.health(), Health::Up);
    checker
}

/// Runs the check that is due next; it takes `took_us`. The moment at which it ended.
fn next(checker: &mut Checker, took_us: u64, finding: Finding) -> u64 {
    let begins = checker.poll_timeout().expect("due");
    assert!(checker.poll_check(begins));
    checker.handle_finding(begins + took_us, finding);
    begins + took_us
}

#[test]
fn an_endpoint_is_checked_at_once_and_up_at_its_first_answer() {
    let mut checker = Checker::new(7, HealthCheck::default());
    assert_eq!((checker.health(), checker.poll_timeout()), (Health::Starting, Some(7)));

    assert!(checker.poll_check(7));
    assert!(!checker.poll_check(7), "one check at a time");
    assert!(checker.handle_finding(9, Finding::Answered));

    assert_eq!(checker.health(), Health::Up);
}

#[test]
fn an_endpoint_that_is_not_checked_is_up_and_stays_so() {
    let mut checker = Checker::new(7, HealthCheck::OFF);

    assert!(!checker.on_refused(8) && !checker.poll_check(u64::MAX));

    assert_eq!((checker.health(), checker.poll_timeout()), (Health::Up, None));
}

#[test]
fn a_refusal_is_down_at_once_whatever_the_threshold() {
    let mut by_check = up(check(1000, 1000, 1, 5));
    let mut by_caller = by_check.clone();

    next(&mut by_check, 1, Finding::Refused);
    assert!(by_caller.on_refused(2));

    assert_eq!((by_check.health(), by_caller.health()), (Health::Down, Health::Down));
}

#[test]
fn one_silent_check_is_forgiven_and_followed_at_once_by_another() {
    let mut checker = up(check(1000, 1000, 1, 2));

    let ended = next(&mut checker, 1000 * MS, Finding::Silent);

    assert_eq!((checker.health(), checker.poll_timeout()), (Health::Up, Some(ended)));
    next(&mut checker, MS, Finding::Answered);
    let ended = next(&mut checker, 1000 * MS, Finding::Silent);
    assert_eq!(checker.health(), Health::Up, "not two in a row");
    next(&mut checker, 1000 * MS, Finding::Silent);
    assert_eq!(checker.health(), Health::Down);
    assert!(checker.poll_timeout() > Some(ended));
}

#[test]
fn what_is_down_is_checked_every_200_ms_and_up_after_so_many_answers_as_asked_for() {
    let mut checker = up(check(5000, 1000, 2, 1));
    let down = next(&mut checker, 1000 * MS, Finding::Silent);

    assert_eq!(checker.poll_timeout(), Some(down + 200 * MS));
    next(&mut checker, 0, Finding::Answered);
    assert_eq!(checker.health(), Health::Down);
    let ended = next(&mut checker, 0, Finding::Answered);

    assert_eq!((checker.health(), ended), (Health::Up, down + 400 * MS));
}

#[test]
fn a_check_that_began_before_a_refusal_proves_nothing() {
    let mut checker = up(check(1000, 1000, 1, 2));
    let begins = checker.poll_timeout().expect("due");
    assert!(checker.poll_check(begins));

    assert!(checker.on_refused(begins + 1));
    assert!(!checker.handle_finding(begins + 2, Finding::Answered));

    assert_eq!(checker.health(), Health::Down);
}

#[test]
fn what_the_node_could_not_ask_says_nothing_about_the_service() {
    let mut checker = up(check(1000, 1000, 1, 1));

    next(&mut checker, MS, Finding::Unknown);

    assert_eq!(checker.health(), Health::Up);
}

fn findings() -> impl Strategy<Value = Vec<(Finding, bool)>> {
    let finding = prop_oneof![Just(Finding::Answered), Just(Finding::Refused), Just(Finding::Silent)];
    prop::collection::vec((finding, any::<bool>()), 0..50)
}

proptest! {
    #[test]
    fn whoever_hangs_is_down_in_time_and_whoever_answers_is_up_in_time(
        interval in 50_u32..5000, timeout in 50_u32..5000, rise in 1_u8..5, fall in 1_u8..5,
        history in findings(),
    ) {
        let mut checker = Checker::new(1, check(interval, timeout, rise, fall));
        let timeout_us = MS * u64::from(timeout);
        let mut now = 1;
        for (finding, passive) in history {
            now = next(&mut checker, if finding == Finding::Silent { timeout_us } else { 100 }, finding);
            if passive {
                checker.on_refused(now);
            }
        }

        let mut hangs = checker.clone();
        for _ in 0..fall {
            let begins = hangs.poll_timeout().expect("due").max(now);
            prop_assert!(hangs.poll_check(begins));
            hangs.handle_finding(begins + timeout_us, Finding::Silent);
            let bound = now + MS * u64::from(interval).max(200) + u64::from(fall) * timeout_us;
            prop_assert!(hangs.health() == Health::Down || begins + timeout_us <= bound);
        }
        prop_assert_eq!(hangs.health(), Health::Down);

        let mut answers = checker;
        for _ in 0..rise {
            next(&mut answers, 100, Finding::Answered);
        }
        prop_assert_eq!(answers.health(), Health::Up);
    }
}

#[test]
fn what_is_up_is_checked_again_an_interval_after_its_last_check_began() {
    let mut checker = up(check(5000, 1000, 1, 2));
    let began = checker.poll_timeout().expect("due");
    assert_eq!(began, 1 + 5000 * MS);

    next(&mut checker, 300 * MS, Finding::Answered);

    assert_eq!(checker.poll_timeout(), Some(began + 5000 * MS));
}
