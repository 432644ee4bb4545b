//! What is known of one endpoint, from everybody who calls it: how long it works on a turn, and how often it
//! fails.
//!
//! **Work, not latency.** A caller measures its turns with its link in them. What its link takes is subtracted
//! before the sample is pooled with those of the others, and each caller's own link is added again when its
//! weights are made. So nothing is counted twice, and a node that has never called an endpoint knows what to
//! expect of it: what others see, minus their links, plus its own.
//!
//! **What was measured last holds.** Callers leave an endpoint at its first slow answer, each by its own view;
//! then nothing more is measured, and one report is all there will be. It is folded in again every time until
//! another comes or it is stale, so that damping delays a verdict and does not soften it.
//!
//! **Coming back.** An endpoint that lost all its traffic is measured by nobody. After [`STALE_AFTER`] its work
//! drifts toward what the other endpoints of its service take, with [`FORGET`]; failures are forgotten with
//! [`ERRORS_FORGET`]. So whatever was held against it, within some [`FORGET`]s it is tried again, and the first
//! measurement then counts in full.

use std::time::Duration;

use sinew_api::control::EndpointReport;

use super::damped::{Damped, log_of};

/// How long a measurement is good without another. Ten reports: a service called every few seconds is no
/// stale one.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(10);

/// The time in which a stale endpoint comes 63 % closer to the others.
pub(super) const FORGET: Duration = Duration::from_secs(30);

/// The time in which 63 % of the connections that were counted for [`Quality::errors`] are forgotten.
pub(super) const ERRORS_FORGET: Duration = Duration::from_secs(10);

/// Good connections that every endpoint is assumed to have had: one failure alone is 20 % of errors, ten in a
/// row are 71 %.
const ASSUMED_GOOD: f64 = 4.0;

/// The power of the success rate that counts: failing must cost more than the time that it saves.
const SUCCESS_POWER: i32 = 3;

/// The most turns that one report counts for, so that no caller's word is the only one.
const TURNS_MAX: u32 = 100;

/// The longest turn that is believed: whatever takes longer is just as bad.
const TURN_MAX_US: u64 = 60_000_000;

/// What one moment's reports say of an endpoint's work.
#[derive(Debug, Clone, Copy)]
struct Sample {
    log: f64,
    at: Duration,
}

/// One endpoint. See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Quality {
    work: Option<Damped>,
    last: Option<Sample>,
    /// Samples since the last fold: turns, and the sum of their logarithms.
    turns: f64,
    logs: f64,
    /// Connections since the last fold.
    ended: (f64, f64),
    /// Good ones and failures, decayed.
    good: f64,
    failed: f64,
}

impl Quality {
    /// Takes what one caller saw; `link_us`: what its link adds to a turn, none when that is not known.
    pub(super) fn on_report(&mut self, report: &EndpointReport, link_us: Option<f64>) {
        self.ended.0 += f64::from(report.successes);
        self.ended.1 += f64::from(report.errors);
        let turns = f64::from(report.turns.min(TURNS_MAX));
        if let Some(link_us) = link_us.filter(|_| turns > 0.0) {
            #[expect(clippy::cast_precision_loss, reason = "at most a minute")]
            let latency_us = report.latency_us.min(TURN_MAX_US) as f64;
            self.turns += turns;
            self.logs += turns * log_of(latency_us - link_us);
        }
    }

    /// Folds what came in during the last `dt` into what was known.
    pub(super) fn fold(&mut self, now: Duration, dt: Duration) {
        let keep = (-dt.as_secs_f64() / ERRORS_FORGET.as_secs_f64()).exp();
        let (good, failed) = std::mem::take(&mut self.ended);
        (self.good, self.failed) = (self.good * keep + good, self.failed * keep + failed);
        // What is measured after a long silence counts for all of it.
        let since = match self.last {
            Some(last) if self.is_stale(now) => now.saturating_sub(last.at),
            _ => dt,
        };
        if self.turns > 0.0 {
            self.last = Some(Sample { log: self.logs / self.turns, at: now });
            (self.turns, self.logs) = (0.0, 0.0);
        }
        let Some(last) = self.last.filter(|_| !self.is_stale(now)) else { return };
        match &mut self.work {
            Some(work) => work.on_sample(since, last.log),
            none => *none = Some(Damped::new(last.log)),
        }
    }

    /// Whether the last measurement is too old to be relied on.
    pub(super) fn is_stale(&self, now: Duration) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last.at) > STALE_AFTER)
    }

    /// Comes closer to what the others take, when nobody measures it.
    pub(super) fn drift(&mut self, now: Duration, dt: Duration, others_log: f64) {
        if self.is_stale(now)
            && let Some(work) = &mut self.work
        {
            work.drift(dt, FORGET, others_log);
        }
    }

    /// The logarithm of its work, as [`log_of`] has it; none when nobody measured it.
    pub(super) fn work_log(&self) -> Option<f64> {
        self.work.map(Damped::log)
    }

    /// The part of its connections that fail, 0 to 1.
    pub(super) fn errors(&self) -> f64 {
        self.failed / (self.good + self.failed + ASSUMED_GOOD)
    }

    /// What failing leaves of its weight: 1 without failures, never 0.
    pub(super) fn success(&self) -> f64 {
        (1.0 - self.errors()).powi(SUCCESS_POWER)
    }
}
