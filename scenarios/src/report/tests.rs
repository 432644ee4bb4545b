//! Reports of a made-up run: the promise to scripts, and what people get to see.

use super::*;
use crate::judge::testing::{good_run, push_failed};
use crate::scenario::{Check, Expectation};

fn report() -> Report {
    let mut run = good_run();
    push_failed(&mut run, 19_995, "n3/0");
    let expectations = vec![
        Expectation {
            name: "none_failed".into(),
            check: Check::Failed { at_most: 0, except_in_flight_to_killed: false },
        },
        Expectation { name: "intact".into(), check: Check::WrongBytes { at_most: 0 } },
    ];
    let scenario = Scenario {
        name: "made-up".into(),
        seed: 3,
        topology: run.topology.clone(),
        loads: Vec::new(),
        events: Vec::new(),
        expectations,
    };
    Report::new(&scenario, &[Mechanism::Latency], &run)
}

#[test]
fn a_report_names_what_was_missed() {
    let report = report();

    assert_eq!(report.missed().iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["none_failed"]);
}

#[test]
fn shares_of_a_phase_add_up_to_one() {
    let report = report();

    assert_eq!(
        report.phases.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["start", "slower", "killed", "returned"]
    );
    for phase in &report.phases {
        let sum: f64 = phase.endpoints.iter().map(|e| e.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{phase:?}");
    }
    let requests: usize = report.phases.iter().flat_map(|p| &p.endpoints).map(|e| e.requests).sum();
    assert_eq!(requests, report.totals.requests);
}

#[test]
fn the_json_is_versioned_and_lists_failures_one_by_one() {
    let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();

    assert_eq!(json["apiVersion"], "sinew/v1");
    assert_eq!(json["kind"], "BenchReport");
    assert_eq!(json["without"][0], "latency");
    assert_eq!(json["failures"][0]["excuse"], "inFlightAtDeath");
    assert_eq!(json["failures"][0]["endpoint"], "n3/0");
    assert_eq!(json["totals"]["inFlightAtDeath"], 1);
    assert_eq!(json["expectations"][0]["met"], false);
}

#[test]
fn the_table_shows_endpoints_by_phase_and_every_expectation() {
    let table = report().to_table();

    for shown in ["start", "slower", "n1/0", "n2/0", "none_failed", "MISSED", "intact", "met"] {
        assert!(table.contains(shown), "{shown} is missing in\n{table}");
    }
}
