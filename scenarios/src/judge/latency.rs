//! Latency: from when a request was due to the last byte of its answer, of requests that were answered.
//! Those that failed are another expectation's matter.

use std::time::Duration;

use hdrhistogram::Histogram;
use sinew_transport_core::ids::EndpointId;

use super::{Finding, MIN_SAMPLES};
use crate::record::{Recording, Sample};

/// The longest latency that is told apart, in microseconds: longer than any timeout of a request.
const MAX_US: u64 = 600_000_000;

/// Percentiles of some requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// How many requests.
    pub count: u64,
    /// Half of them were faster.
    pub p50: Duration,
    /// All but one of a hundred were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// The percentiles of the answered ones of `samples`, to three digits.
#[must_use]
pub fn percentiles<'a>(samples: impl Iterator<Item = &'a Sample>) -> Percentiles {
    #[expect(clippy::expect_used, reason = "bounds and digits are constants within the library's limits")]
    let mut histogram = Histogram::<u64>::new_with_bounds(1, MAX_US, 3).expect("constant bounds");
    for sample in samples.filter(|s| !s.failed()) {
        histogram.saturating_record(u64::try_from(sample.latency().as_micros()).unwrap_or(MAX_US));
    }
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p99: at(0.99),
        max: Duration::from_micros(histogram.max()),
    }
}

/// The p99 of all requests that were due outside the time `outside` after each event, against the p99 of
/// the fastest endpoint: the one with the least declared latency, by its own requests before the first
/// event, through the mesh like all others.
pub(super) fn p99(run: &Recording, at_most: f64, outside: Duration) -> Finding {
    let expected =
        format!("p99 outside {outside:?} after each event at most {at_most} x the fastest endpoint's");
    let (fastest, own) = match fastest_p99(run) {
        Ok(fastest) => fastest,
        Err(why) => return Finding::unprovable(expected, why),
    };
    let disturbed = |s: &Sample| run.events.iter().any(|e| e.at <= s.due && s.due < e.at + outside);
    let all = percentiles(run.samples.iter().filter(|s| !disturbed(s)));
    let times = all.p99.as_secs_f64() / own.as_secs_f64();
    let measured = format!(
        "{times:.2} x: {:.1} ms of {} requests; {:.1} ms at {fastest}",
        millis(all.p99),
        all.count,
        millis(own)
    );
    Finding::new(times <= at_most, expected, measured)
}

/// The fastest endpoint that was there from the beginning, and the p99 of its requests before the first event.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn fastest_p99(run: &Recording) -> Result<(&EndpointId, Duration), String> {
    let configured = run.topology.endpoints().map(|(_, e)| e).filter(|e| e.configured);
    let fastest = configured.min_by_key(|e| e.latency).map(|e| &e.id).ok_or("there is no endpoint")?;
    let quiet_end = run.events.iter().map(|e| e.at).min().unwrap_or(run.ended);
    let own = percentiles(
        run.samples.iter().filter(|s| s.due < quiet_end && s.answered_by.as_ref() == Some(fastest)),
    );
    if own.count < MIN_SAMPLES as u64 {
        let count = own.count;
        return Err(format!(
            "the fastest endpoint {fastest} answered {count} requests before the first event"
        ));
    }
    Ok((fastest, own.p99))
}

/// Milliseconds with a fraction.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
