//! What a run leaves: a versioned value for scripts, and a table for people.
//!
//! The JSON is promised to scripts: `apiVersion` changes when a field changes its meaning or goes.

mod table;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use sinew_node_core::Mechanism;
use sinew_transport_core::ids::EndpointId;

use crate::judge::failed::{Excuse, Failure, failures};
use crate::judge::latency::{millis, percentiles};
use crate::judge::{Verdict, judge};
use crate::record::{Happened, Logged, Phase, Recording, Sample, endpoint_of};
use crate::scenario::Scenario;

/// The version that every report carries.
pub const API_VERSION: &str = "sinew/v1";

/// The most failures listed one by one. `totals` counts them all.
const MAX_FAILURES: usize = 1000;

/// One run, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// Always `BenchReport`.
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// What everything random in the load began with.
    pub seed: u64,
    /// Mechanisms that were switched off.
    pub without: Vec<String>,
    /// When the load began, RFC 3339.
    pub began: String,
    /// How long until the last request had ended.
    pub seconds: f64,
    /// Where it ran.
    pub environment: Environment,
    /// Everything together.
    pub totals: Totals,
    /// What happened.
    pub events: Vec<EventReport>,
    /// What each endpoint did between events.
    pub phases: Vec<PhaseReport>,
    /// Failed requests one by one, the first thousand.
    pub failures: Vec<FailureReport>,
    /// What was expected, measured and found.
    pub expectations: Vec<Verdict>,
}

/// Where a run took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Version of this program.
    pub version: &'static str,
    /// Whether it was built with optimisation.
    pub optimised: bool,
    /// Operating system.
    pub os: &'static str,
    /// Processor architecture.
    pub arch: &'static str,
    /// Cores that we may use.
    pub cores: usize,
}

/// Sums over the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Requests made.
    pub requests: usize,
    /// Those that failed.
    pub failed: usize,
    /// Failed ones that a killed node had in hand when it died.
    pub in_flight_at_death: usize,
    /// Failed ones handed to it before its silence could be noticed.
    pub before_noticeable: usize,
    /// Bytes that differed from what was sent.
    pub wrong_bytes: u64,
    /// Requests of whose connection the mesh has no account.
    pub not_logged: usize,
    /// Answered requests of which the mesh says that another endpoint answered.
    pub logged_otherwise: usize,
    /// Connections in the mesh's logs that the load did not make.
    pub strangers: usize,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventReport {
    /// Its name.
    pub name: String,
    /// What was done.
    pub action: String,
    /// When, in milliseconds of the run.
    pub at_ms: f64,
    /// When it was done.
    pub done_ms: f64,
    /// When a node or controller that was started was ready; when an apply was acknowledged everywhere.
    pub ready_ms: Option<f64>,
}

/// A stretch between two events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseReport {
    /// The event that began it.
    pub name: String,
    /// When it began, in milliseconds of the run.
    pub from_ms: f64,
    /// When it ended.
    pub until_ms: f64,
    /// What each endpoint did for requests that were due in it.
    pub endpoints: Vec<EndpointReport>,
}

/// One endpoint in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointReport {
    /// The endpoint; none for requests that reached no endpoint.
    pub endpoint: Option<String>,
    /// Requests.
    pub requests: usize,
    /// Its part of the phase's requests, 0 to 1.
    pub share: f64,
    /// Failed ones.
    pub failed: usize,
    /// Median latency of answered ones.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Slowest.
    pub max_ms: f64,
}

/// One failed request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// Its number.
    pub id: u64,
    /// When it was due, in milliseconds of the run.
    pub due_ms: f64,
    /// How long until it had failed.
    pub took_ms: f64,
    /// How it failed.
    pub outcome: String,
    /// The endpoint that the mesh picked last.
    pub endpoint: Option<String>,
    /// When it was picked, in milliseconds of the run.
    pub picked_ms: Option<f64>,
    /// How the mesh says that it ended.
    pub logged: Option<String>,
    /// What excuses it.
    pub excuse: Option<Excuse>,
}

impl Report {
    /// Judges a run and sums it up.
    #[must_use]
    pub fn new(scenario: &Scenario, without: &[Mechanism], run: &Recording) -> Self {
        let failures = failures(run);
        let began = UNIX_EPOCH + Duration::from_micros(run.began_us);
        Self {
            api_version: API_VERSION,
            kind: "BenchReport",
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            without: without.iter().map(ToString::to_string).collect(),
            began: humantime::format_rfc3339_millis(began).to_string(),
            seconds: run.ended.as_secs_f64(),
            environment: Environment::here(),
            totals: totals(run, &failures),
            events: run.events.iter().map(event).collect(),
            phases: run.phases().iter().map(|p| phase(run, p)).collect(),
            failures: failures.iter().take(MAX_FAILURES).map(|f| failure(run, f)).collect(),
            expectations: judge(&scenario.expectations, run),
        }
    }

    /// The names of expectations that were not met.
    #[must_use]
    pub fn missed(&self) -> Vec<&Verdict> {
        self.expectations.iter().filter(|v| !v.met).collect()
    }

    /// The report for scripts.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "numbers, text and lists always serialize")]
        let json = serde_json::to_string_pretty(self).expect("plain data");
        json
    }

    /// The report for people.
    #[must_use]
    pub fn to_table(&self) -> String {
        table::render(self)
    }
}

impl Environment {
    fn here() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
        }
    }
}

fn totals(run: &Recording, failures: &[Failure<'_>]) -> Totals {
    let excused = |excuse| failures.iter().filter(|f| f.excuse == Some(excuse)).count();
    let otherwise = |(sample, logged): &(&Sample, Option<&Logged>)| {
        let logged = logged.and_then(|l| l.endpoint.as_ref());
        sample.answered_by.is_some() && logged.is_some() && sample.answered_by.as_ref() != logged
    };
    Totals {
        requests: run.samples.len(),
        failed: failures.len(),
        in_flight_at_death: excused(Excuse::InFlightAtDeath),
        before_noticeable: excused(Excuse::BeforeNoticeable),
        wrong_bytes: run.samples.iter().map(|s| s.wrong_bytes).sum(),
        not_logged: run.logged.iter().filter(|l| l.is_none()).count(),
        logged_otherwise: run.with_logs().filter(otherwise).count(),
        strangers: run.strangers.len(),
    }
}

fn event(event: &Happened) -> EventReport {
    EventReport {
        name: event.name.clone(),
        action: event.action.to_string(),
        at_ms: millis(event.at),
        done_ms: millis(event.done),
        ready_ms: event.ready.map(millis),
    }
}

fn phase(run: &Recording, phase: &Phase) -> PhaseReport {
    let mut by_endpoint: BTreeMap<Option<&EndpointId>, Vec<&Sample>> = BTreeMap::new();
    for (sample, logged) in run.with_logs() {
        if (phase.from..phase.until).contains(&sample.due) {
            by_endpoint.entry(endpoint_of(sample, logged)).or_default().push(sample);
        }
    }
    let all: usize = by_endpoint.values().map(Vec::len).sum();
    let endpoints = by_endpoint.into_iter().map(|(endpoint, samples)| {
        let seen = percentiles(samples.iter().copied());
        #[expect(clippy::cast_precision_loss, reason = "a few million at most")]
        let share = samples.len() as f64 / all.max(1) as f64;
        EndpointReport {
            endpoint: endpoint.map(ToString::to_string),
            requests: samples.len(),
            share,
            failed: samples.iter().filter(|s| s.failed()).count(),
            p50_ms: millis(seen.p50),
            p99_ms: millis(seen.p99),
            max_ms: millis(seen.max),
        }
    });
    PhaseReport {
        name: phase.name.clone(),
        from_ms: millis(phase.from),
        until_ms: millis(phase.until),
        endpoints: endpoints.collect(),
    }
}

fn failure(run: &Recording, failure: &Failure<'_>) -> FailureReport {
    let Failure { sample, logged, excuse } = failure;
    let picked = logged.map(|l| l.picked_us).filter(|us| *us > 0);
    FailureReport {
        id: sample.id,
        due_ms: millis(sample.due),
        took_ms: millis(sample.latency()),
        outcome: sample.outcome.to_string(),
        endpoint: endpoint_of(sample, *logged).map(ToString::to_string),
        picked_ms: picked.map(|us| millis(Duration::from_micros(us.saturating_sub(run.began_us)))),
        logged: logged.map(|l| l.outcome.clone()),
        excuse: *excuse,
    }
}

#[cfg(test)]
mod tests;
