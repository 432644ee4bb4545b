//! Judging a run: each expectation against what was recorded. Pure: the same recording, the same verdict.
//!
//! An expectation can be met, or missed, or impossible to judge, which counts as missed: too few requests
//! in its window, or an endpoint that had no share worth losing. A rehearsal that proves nothing must not
//! look like one that went well.
//!
//! - [`failed`]: failed requests and what excuses one; wrong bytes.
//! - [`shares`]: who gets new connections: slow endpoints, dead nodes, nodes that returned, endpoints that are new.
//! - [`away`]: what is noticed of a controller that is away.
//! - [`latency`]: percentiles, and the one that is expected.

mod away;
pub mod failed;
pub mod latency;
pub mod shares;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::record::Recording;
use crate::scenario::{Check, Expectation};

/// The fewest requests in a window from which a share or a percentile is taken. With fewer, one request
/// more or less decides.
pub const MIN_SAMPLES: usize = 50;

/// What became of one expectation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The expectation's name.
    pub name: String,
    /// Whether it was met.
    pub met: bool,
    /// What was expected, in words.
    pub expected: String,
    /// What was measured, in words.
    pub measured: String,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    met: bool,
    expected: String,
    measured: String,
    notes: Vec<String>,
}

impl Finding {
    fn new(met: bool, expected: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { met, expected: expected.into(), measured: measured.into(), notes: Vec::new() }
    }

    /// It can't be judged, and so is not met.
    fn unprovable(expected: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(false, expected, format!("can't be judged: {}", why.into()))
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The verdict on every expectation, in their order.
#[must_use]
pub fn judge(expectations: &[Expectation], run: &Recording) -> Vec<Verdict> {
    expectations.iter().map(|expectation| verdict(expectation, run)).collect()
}

fn verdict(expectation: &Expectation, run: &Recording) -> Verdict {
    let finding = match &expectation.check {
        Check::Failed { at_most, except_in_flight_to_killed } => {
            failed::requests(run, *at_most, *except_in_flight_to_killed)
        }
        Check::WrongBytes { at_most } => failed::wrong_bytes(run, *at_most),
        Check::SlowShare { event, at_least, within } => shares::slow_share(run, event, *at_least, *within),
        Check::DeadPicks { event, at_most, within } => shares::dead_picks(run, event, *at_most, *within),
        Check::ShareBack { event, at_least, within } => shares::share_back(run, event, *at_least, *within),
        Check::ShareGained { event, at_least, within } => {
            shares::share_gained(run, event, *at_least, *within)
        }
        Check::FirstPicks { event, load, first, at_most } => {
            shares::first_picks(run, event, (*load, *first), *at_most)
        }
        Check::Undisturbed { event, times_fastest } => away::undisturbed(run, event, *times_fastest),
        Check::P99 { at_most, outside } => latency::p99(run, *at_most, *outside),
    };
    let Finding { met, expected, measured, notes } = finding;
    Verdict { name: expectation.name.clone(), met, expected, measured, notes }
}

/// A share in percent, for people.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
