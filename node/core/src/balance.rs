//! How loaded an endpoint is, as this node sees it: how long its answers take, and how much it has to do.
//!
//! The latency is a *Peak-EWMA* (Finagle's `PeakEwma`, which linkerd2 and tower took over): a sample above
//! the average replaces it at once, and otherwise the average decays exponentially, so that a slow endpoint
//! is left after one answer and trusted again only cautiously. An endpoint's cost is its latency times the
//! connections that it would have with one more.
//!
//! Where this differs from the ancestors, and why:
//!
//! - **Age makes an endpoint equal, never better.** Without samples the average decays, so that an endpoint
//!   which lost every comparison is tried again. In Finagle it decays to nothing: an endpoint that hangs, so
//!   that no answer is ever measured, would look ever cheaper and draw everything. Here, beside another
//!   endpoint, it decays no further than to the lower of what the two measured last
//!   ([`Load::is_cheaper_than`]); from there on what is in flight decides, and a hanging endpoint holds what
//!   it has.
//! - **No default latency.** An endpoint that was never measured counts as infinitely old: as fast as
//!   whatever it is compared with. It gets its first connection as soon as the other has one more in flight,
//!   or half of the ties, and never a stampede, because what it got counts against it until it answers.
//!   (linkerd's default of 30 ms starves it beside endpoints of 1 ms, and floods it beside those of 1 s.)
//! - **Slow endpoints forget slowly.** [`DECAY`] is for turns of some milliseconds. Where a turn takes
//!   seconds, samples are rarer than that, and the average would say only when the last one came; so an
//!   average decays over at least [`DECAY_PER_LATENCY`] times itself. This also bounds what trying again
//!   costs: the slower the endpoint was, the longer it is left alone.
//!
//! One record is shared by all shards. Average and age are one atomic word, so a reader never sees halves of
//! two updates. What it does not do: it knows nothing of failures ([`crate::breaker`]) or silence.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stamped::{Stamped, millis};

/// The time in which an average falls to 37 % without a higher sample. Finagle and linkerd2 take 10 s; here one
/// hiccup of a machine, which lifts every endpoint on it, is forgiven after some two seconds. With 5 s such
/// hiccups made fast endpoints look like a slow one for ten, and it got their traffic.
pub const DECAY: Duration = Duration::from_secs(1);

/// An average decays over at least this many times itself: an endpoint that takes 100 ms is left alone for 5 s
/// times the logarithm of how much slower it is than the others.
pub const DECAY_PER_LATENCY: u32 = 50;

/// The longest time of decay, so that one absurd sample is forgotten the same hour.
pub const DECAY_MAX: Duration = Duration::from_mins(2);

/// What an endpoint without any measurement counts as when the other has none either. Any number: it is the
/// same on both sides.
const NEITHER_MEASURED_US: f64 = 1.0;

/// How loaded one endpoint is. All shards share one record.
#[derive(Debug, Default)]
pub struct Load {
    /// A [`Stamped`] one, or 0 as long as nothing was measured.
    average: AtomicU64,
    in_flight: AtomicU32,
}

impl Load {
    /// Nothing in flight, nothing measured.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells that the endpoint was handed a connection.
    pub fn on_open(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Tells that a connection ended. Goes with exactly one [`on_open`](Self::on_open).
    pub fn on_close(&self) {
        let before = self.in_flight.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
        debug_assert!(before.is_ok(), "a connection was closed that was never opened");
    }

    /// Tells that a turn took `sample_us`.
    pub fn on_latency(&self, now_us: u64, sample_us: u64) {
        let sample = Stamped::new(now_us, sample_us);
        // Err says that nothing had to change.
        let _ = self.average.fetch_update(Relaxed, Relaxed, |word| {
            let Some(average) = Stamped::unpack(word) else { return Some(sample.pack()) };
            let decayed = decayed(average, sample.at_ms);
            if sample.us >= decayed {
                Some(sample.pack())
            } else {
                // Within a millisecond nothing decays, and moving the stamp would lose the rest of it.
                (average.age_ms(sample.at_ms) > 0).then(|| Stamped { us: decayed, ..sample }.pack())
            }
        });
    }

    /// Connections in progress.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The average in microseconds, decayed by its age; 0 when nothing was measured.
    #[must_use]
    pub fn latency_us(&self, now_us: u64) -> f64 {
        self.average().map_or(0.0, |average| f64::from(decayed(average, millis(now_us))))
    }

    /// Whether anything was measured.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.average().is_some()
    }

    /// The decayed average times the connections it would have with one more; 0 when nothing was measured.
    /// For showing: to choose, compare two endpoints with [`is_cheaper_than`](Self::is_cheaper_than).
    #[must_use]
    pub fn cost(&self, now_us: u64) -> f64 {
        self.latency_us(now_us) * self.shares()
    }

    /// Whether the next connection should rather go here than to `other`; `None` when they are equal.
    ///
    /// Compares latency times connections. An old measurement counts as decayed, but as no less than the
    /// lower of the two endpoints' last averages: age makes equal, never better.
    #[must_use]
    pub fn is_cheaper_than(&self, other: &Self, now_us: u64) -> Option<bool> {
        let (mine, theirs) = self.costs_beside(other, now_us);
        mine.partial_cmp(&theirs).filter(|order| order.is_ne()).map(std::cmp::Ordering::is_lt)
    }

    /// Whether this one is cheaper than `other`, by the same measure, even at `times` its cost.
    #[must_use]
    pub fn is_cheaper_at(&self, times: f64, other: &Self, now_us: u64) -> bool {
        let (mine, theirs) = self.costs_beside(other, now_us);
        mine * times < theirs
    }

    /// What this one and another cost, compared as [`is_cheaper_than`](Self::is_cheaper_than) says.
    fn costs_beside(&self, other: &Self, now_us: u64) -> (f64, f64) {
        let at_ms = millis(now_us);
        let (mine, theirs) = (self.average(), other.average());
        let floor = match (mine, theirs) {
            (None, None) => NEITHER_MEASURED_US,
            (Some(one), None) | (None, Some(one)) => f64::from(one.us),
            (Some(mine), Some(theirs)) => f64::from(mine.us.min(theirs.us)),
        };
        let latency =
            |average: Option<Stamped>| average.map_or(floor, |a| f64::from(decayed(a, at_ms)).max(floor));
        (latency(mine) * self.shares(), latency(theirs) * other.shares())
    }

    /// Forgets what was measured: the endpoint is back, and who knows how fast it is now. What is in flight
    /// still counts, until each of these connections is closed.
    pub fn reset(&self) {
        self.average.store(0, Relaxed);
    }

    fn average(&self) -> Option<Stamped> {
        Stamped::unpack(self.average.load(Relaxed))
    }

    fn shares(&self) -> f64 {
        f64::from(self.in_flight()) + 1.0
    }
}

/// An average as it is at `now`.
#[expect(clippy::cast_precision_loss, reason = "an average needs no more than 24 bits")]
fn decayed(average: Stamped, now_ms: u32) -> f32 {
    let slowness = average.us / 1000.0 * DECAY_PER_LATENCY as f32;
    let over_ms = slowness.clamp(DECAY.as_millis() as f32, DECAY_MAX.as_millis() as f32);
    (average.us * (-(average.age_ms(now_ms) as f32) / over_ms).exp()).max(1.0)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
