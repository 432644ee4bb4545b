//! What happened at an endpoint since the last report: turns and how long they took, connections and how they
//! ended.
//!
//! The latency is an average in which 63 % belong to the last [`RECENT`]: what a report says of a second should
//! be how the endpoint is at its end. An endpoint that becomes slow is left by its callers at once, and their
//! last few turns there, the only slow ones ever measured, must not drown among the fast ones before.
//!
//! Counters are taken and emptied by whoever reports. A turn and an end cost one relaxed addition each, a turn
//! one exchange besides. When nobody reports for hours the counters run over; what is left then is thrown
//! away by the first report of the next session ([`crate::report`]).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stamped::Stamped;

/// What the average remembers: a quarter of the second between two reports.
pub const RECENT: Duration = Duration::from_millis(250);

/// The least part that a turn has in the average: at ten thousand a second, where the stamp's milliseconds are
/// too coarse, it is one over the last 64 or so.
const PART_MIN: f32 = 1.0 / 64.0;

/// The longest turn that is believed: what takes longer is just as bad.
const TURN_MAX_US: u64 = 60_000_000;

/// Bits of the word of ends that count the good ones; the others count failures.
const GOOD_BITS: u32 = 32;

/// The counters of one endpoint. All shards share one.
#[derive(Debug, Default)]
pub struct Tally {
    turns: AtomicU32,
    /// A [`Stamped`] average, or 0 before the first turn.
    latency: AtomicU64,
    ends: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Turns.
    pub turns: u32,
    /// How long they took lately, in microseconds; 0 without turns.
    pub latency_us: u64,
    /// Connections that ended well.
    pub successes: u32,
    /// Connections that were refused, or broke.
    pub errors: u32,
}

impl Tally {
    /// Counts a turn.
    pub fn on_turn(&self, now_us: u64, latency_us: u64) {
        self.turns.fetch_add(1, Relaxed);
        let sample = Stamped::new(now_us, latency_us.min(TURN_MAX_US));
        let _ = self.latency.fetch_update(Relaxed, Relaxed, |word| {
            let mixed = Stamped::unpack(word).map_or(sample, |average| mixed(average, sample));
            Some(mixed.pack())
        });
    }

    /// Counts a connection that ended, well or not.
    pub fn on_end(&self, good: bool) {
        self.ends.fetch_add(if good { 1 } else { 1 << GOOD_BITS }, Relaxed);
    }

    /// Takes what was counted, and begins anew.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1; takes a word apart"
    )]
    pub fn take(&self) -> Tallied {
        let (turns, ends) = (self.turns.swap(0, Relaxed), self.ends.swap(0, Relaxed));
        let latency = Stamped::unpack(self.latency.load(Relaxed)).filter(|_| turns > 0);
        Tallied {
            turns,
            latency_us: latency.map_or(0, |average| average.us.round() as u64),
            successes: ends as u32,
            errors: (ends >> GOOD_BITS) as u32,
        }
    }
}

/// An average with one more sample.
#[expect(clippy::cast_precision_loss, reason = "an average needs no more than 24 bits")]
fn mixed(average: Stamped, sample: Stamped) -> Stamped {
    let age_ms = average.age_ms(sample.at_ms) as f32;
    let part = 1.0 - (-age_ms / RECENT.as_millis() as f32).exp();
    Stamped { us: average.us + part.max(PART_MIN) * (sample.us - average.us), at_ms: sample.at_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    #[test]
    fn what_was_counted_is_taken_once() {
        let tally = Tally::default();
        for at in 1..=3 {
            tally.on_turn(at * MS, 500);
        }
        tally.on_end(true);
        tally.on_end(true);
        tally.on_end(false);

        assert_eq!(tally.take(), Tallied { turns: 3, latency_us: 500, successes: 2, errors: 1 });
        assert_eq!(tally.take(), Tallied::default());
    }

    #[test]
    fn a_second_of_the_heaviest_use_does_not_run_over() {
        let tally = Tally::default();

        (0..18_000).for_each(|_| tally.on_turn(MS, u64::MAX));

        assert_eq!(tally.take(), Tallied { turns: 18_000, latency_us: TURN_MAX_US, ..Tallied::default() });
    }

    #[test]
    fn a_few_slow_turns_after_many_fast_ones_are_what_is_told() {
        let tally = Tally::default();
        for at in 0..30 {
            tally.on_turn(at * 10 * MS, 12 * MS);
        }

        // The last ones began when the endpoint had become slow, and nobody called it since.
        for at in [700, 710, 720] {
            tally.on_turn(at * MS, 412 * MS);
        }

        let told = tally.take().latency_us;
        assert!((300 * MS..=412 * MS).contains(&told), "{told}");
    }

    #[test]
    fn of_many_turns_within_one_millisecond_every_one_counts() {
        let tally = Tally::default();
        tally.on_turn(MS, MS);

        (0..1000).for_each(|turn| tally.on_turn(MS, if turn % 2 == 0 { 1500 } else { 2500 }));

        let told = tally.take().latency_us;
        assert!((1900..=2100).contains(&told), "{told}");
    }
}
