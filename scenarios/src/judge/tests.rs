//! Every expectation against made-up runs: each can be met, and each can be missed.

use std::time::Duration;

use super::failed::Excuse;
use super::testing::{BEGAN_US, good_run, push, push_failed, seconds};
use super::*;
use crate::record::{Happened, Outcome, Recording, parse_endpoint};
use crate::scenario::Action;

fn met(check: Check, run: &Recording) -> bool {
    let verdict = verdict(&Expectation { name: "it".into(), check }, run);
    println!("{verdict:?}");
    verdict.met
}

fn failed() -> Check {
    Check::Failed { at_most: 0, except_in_flight_to_killed: true }
}

fn slow_share() -> Check {
    Check::SlowShare { event: "slower".into(), at_least: 0.9, within: seconds(5.0) }
}

fn dead_picks() -> Check {
    Check::DeadPicks { event: "killed".into(), at_most: 0, within: seconds(1.0) }
}

fn share_back() -> Check {
    Check::ShareBack { event: "returned".into(), at_least: 0.5, within: seconds(5.0) }
}

fn p99() -> Check {
    Check::P99 { at_most: 3.0, outside: seconds(2.0) }
}

#[test]
fn a_run_in_which_all_went_well_meets_everything() {
    let run = good_run();

    for check in [failed(), Check::WrongBytes { at_most: 0 }, slow_share(), dead_picks(), share_back(), p99()]
    {
        assert!(met(check, &run));
    }
}

fn share_gained() -> Check {
    Check::ShareGained { event: "declared".into(), at_least: 0.5, within: seconds(2.0) }
}

fn first_picks() -> Check {
    Check::FirstPicks { event: "slower".into(), load: 1, first: 60, at_most: 0.1 }
}

fn undisturbed() -> Check {
    Check::Undisturbed { event: "away".into(), times_fastest: 3.0 }
}

/// The good run, in which `n2/0` was declared after five seconds, the controller was away from 14 to 16, and a second
/// load began at 12.
fn eventful_run() -> Recording {
    let mut run = good_run();
    let (service, endpoint) = ("orders".parse().unwrap(), parse_endpoint("n2/0").unwrap());
    for endpoint in &mut run.topology.services[0].endpoints {
        endpoint.configured = endpoint.id.node.as_str() != "n2";
    }
    for (name, at, action) in [
        ("declared", 5.0, Action::Apply { service, endpoint }),
        ("away", 14.0, Action::KillController),
        ("back", 16.0, Action::ReturnController),
    ] {
        let at = seconds(at);
        run.events.push(Happened { name: name.into(), action, at, done: at, ready: None });
    }
    run.events.sort_by_key(|e| e.at);
    for id in 0..100 {
        let index = push(&mut run, 12_000 + id * 5, "n3/0");
        run.samples[index].load = 1;
    }
    run
}

#[test]
fn a_declared_endpoint_a_fresh_caller_and_an_absent_controller_are_judged() {
    let run = eventful_run();

    for check in [share_gained(), first_picks(), undisturbed()] {
        assert!(met(check.clone(), &run));
        assert!(!met(check.clone(), &good_run()), "nothing of it happened");
        let empty = Recording { samples: Vec::new(), logged: Vec::new(), ..eventful_run() };
        assert!(!met(check, &empty), "nobody called");
    }
}

#[test]
fn a_declared_endpoint_with_less_than_half_of_an_even_share_fails_the_run() {
    let mut run = eventful_run();
    let new = run.samples.iter_mut().filter(|s| s.answered_by == parse_endpoint("n2/0"));
    for sample in new.filter(|s| (7.0..10.0).contains(&s.due.as_secs_f64())).skip(40) {
        sample.answered_by = parse_endpoint("n1/0");
    }

    assert!(!met(share_gained(), &run));
}

#[test]
fn a_fresh_caller_that_tries_the_slow_endpoint_fails_the_run_however_soon_it_learns() {
    let mut run = eventful_run();
    for sample in run.samples.iter_mut().filter(|s| s.load == 1).take(7) {
        sample.answered_by = parse_endpoint("n2/0");
    }

    assert!(!met(first_picks(), &run));
}

#[test]
fn one_failed_request_or_slowness_while_the_controller_is_away_fails_the_run() {
    let mut run = eventful_run();
    push_failed(&mut run, 15_000, "n3/0");
    assert!(!met(undisturbed(), &run));

    let mut run = eventful_run();
    for sample in run.samples.iter_mut().filter(|s| (15.0..15.2).contains(&s.due.as_secs_f64())) {
        sample.end = sample.due + seconds(1.0);
    }
    assert!(!met(undisturbed(), &run));

    let mut run = eventful_run();
    push_failed(&mut run, 16_500, "n3/0");
    assert!(met(undisturbed(), &run), "it is back");
}

#[test]
fn an_empty_run_meets_nothing() {
    let run = Recording { samples: Vec::new(), logged: Vec::new(), ..good_run() };

    for check in [failed(), Check::WrongBytes { at_most: 0 }, slow_share(), dead_picks(), share_back(), p99()]
    {
        assert!(!met(check, &run));
    }
}

#[test]
fn requests_in_flight_to_a_node_when_it_died_are_excused_and_counted() {
    let mut run = good_run();
    push_failed(&mut run, 19_995, "n3/0");
    push_failed(&mut run, 20_050, "n3/0");
    push_failed(&mut run, 20_100, "n3/0");

    let excuses: Vec<_> = failed::failures(&run).iter().map(|f| f.excuse).collect();

    let late = Some(Excuse::BeforeNoticeable);
    assert_eq!(excuses, [Some(Excuse::InFlightAtDeath), late, late]);
    assert!(met(failed(), &run));
    assert!(!met(Check::Failed { at_most: 0, except_in_flight_to_killed: false }, &run));
}

#[test]
fn a_request_handed_over_when_the_silence_was_noticeable_has_no_excuse() {
    let mut run = good_run();
    push_failed(&mut run, 20_101, "n3/0");

    assert!(!met(failed(), &run));
}

#[test]
fn a_failure_at_another_node_has_no_excuse() {
    let mut run = good_run();
    push_failed(&mut run, 19_995, "n1/0");

    assert!(!met(failed(), &run));
}

#[test]
fn a_failure_that_was_over_before_the_node_died_has_no_excuse() {
    let mut run = good_run();
    let index = push_failed(&mut run, 19_000, "n3/0");
    run.samples[index].end = seconds(19.5);

    assert!(!met(failed(), &run));
}

#[test]
fn a_failure_of_which_the_mesh_has_no_account_has_no_excuse() {
    let mut run = good_run();
    let index = push_failed(&mut run, 19_995, "n3/0");
    run.logged[index] = None;

    assert!(!met(failed(), &run));
}

#[test]
fn a_request_sent_later_on_a_connection_picked_before_has_no_excuse() {
    let mut run = good_run();
    let index = push_failed(&mut run, 25_000, "n3/0");
    run.samples[index].new_connection = false;
    run.logged[index].as_mut().unwrap().picked_us = BEGAN_US + 15_000_000;

    assert!(!met(failed(), &run));
}

#[test]
fn one_wrong_byte_is_too_many() {
    let mut run = good_run();
    run.samples[5].wrong_bytes = 1;

    assert!(!met(Check::WrongBytes { at_most: 0 }, &run));
}

#[test]
fn a_slow_endpoint_that_keeps_a_share_fails_the_run() {
    let mut run = good_run();
    for (sample, logged) in run.samples.iter_mut().zip(&mut run.logged) {
        if sample.id % 8 == 0 && sample.due >= seconds(10.0) {
            sample.answered_by = parse_endpoint("n2/0");
            logged.as_mut().unwrap().endpoint = parse_endpoint("n2/0");
        }
    }

    assert!(!met(slow_share(), &run));
}

#[test]
fn a_slow_endpoint_that_had_no_share_before_proves_nothing() {
    let mut run = good_run();
    for sample in &mut run.samples {
        sample.answered_by = parse_endpoint("n1/0");
    }

    assert!(!met(slow_share(), &run));
}

#[test]
fn one_pick_of_a_dead_node_is_too_many_even_if_the_request_succeeded_elsewhere() {
    let mut run = good_run();
    let index = push(&mut run, 21_500, "n1/0");
    run.logged[index].as_mut().unwrap().tried = vec!["n3/0 no_answer".into()];
    assert!(!met(dead_picks(), &run));

    let mut run = good_run();
    push_failed(&mut run, 21_500, "n3/0");
    assert!(!met(dead_picks(), &run));
}

#[test]
fn picks_within_the_first_second_and_after_the_return_are_allowed() {
    let mut run = good_run();
    push_failed(&mut run, 20_990, "n3/0");
    push(&mut run, 26_010, "n3/0");

    assert!(met(dead_picks(), &run));
}

#[test]
fn a_node_that_does_not_get_its_share_back_fails_the_run() {
    let mut run = good_run();
    let late = run.samples.iter_mut().filter(|s| s.due >= seconds(26.0));
    for sample in late.filter(|s| s.answered_by == parse_endpoint("n3/0")).skip(50) {
        sample.answered_by = parse_endpoint("n1/0");
    }

    assert!(!met(share_back(), &run));
}

#[test]
fn slow_answers_in_quiet_times_fail_the_run_but_not_those_right_after_an_event() {
    let mut run = good_run();
    for sample in run.samples.iter_mut().filter(|s| (20.0..21.9).contains(&s.due.as_secs_f64())) {
        sample.end = sample.due + seconds(1.0);
    }
    assert!(met(p99(), &run));

    for sample in run.samples.iter_mut().filter(|s| (30.0..31.9).contains(&s.due.as_secs_f64())) {
        sample.end = sample.due + seconds(1.0);
    }
    assert!(!met(p99(), &run));
}

#[test]
fn percentiles_are_those_of_answered_requests() {
    let mut run = good_run();
    run.samples.truncate(100);
    for (index, sample) in run.samples.iter_mut().enumerate() {
        sample.end = sample.due + Duration::from_millis(index as u64 + 1);
    }
    run.samples[99].outcome = Outcome::Reset;

    let seen = latency::percentiles(run.samples.iter());

    assert_eq!(seen.count, 99);
    assert!((49.0..=51.0).contains(&latency::millis(seen.p50)), "{seen:?}");
    assert!((98.0..=99.2).contains(&latency::millis(seen.max)), "{seen:?}");
}
