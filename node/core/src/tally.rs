//! What happened at an endpoint since the last report: turns and how long they took, connections and how they
//! ended.
//!
//! Two atomic words, each taken and emptied by whoever reports. A turn and an end cost one relaxed addition
//! each. When nobody reports for hours the words run over; what is left then is thrown away by the first report
//! of the next session ([`crate::report`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits of the word of turns that count them; the others hold the sum of their latencies. 16 million turns, and
/// 305 hours of waiting, in the second between two reports.
const TURN_BITS: u32 = 24;

/// The longest turn that is added up: what takes longer is just as bad.
const TURN_MAX_US: u64 = 60_000_000;

/// Bits of the word of ends that count the good ones; the others count failures.
const GOOD_BITS: u32 = 32;

/// The counters of one endpoint. All shards share one.
#[derive(Debug, Default)]
pub struct Tally {
    turns: AtomicU64,
    ends: AtomicU64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Turns.
    pub turns: u32,
    /// The mean of their latencies in microseconds; 0 without turns.
    pub latency_us: u64,
    /// Connections that ended well.
    pub successes: u32,
    /// Connections that were refused, or broke.
    pub errors: u32,
}

impl Tally {
    /// Counts a turn.
    pub fn on_turn(&self, latency_us: u64) {
        self.turns.fetch_add(latency_us.min(TURN_MAX_US) << TURN_BITS | 1, Relaxed);
    }

    /// Counts a connection that ended, well or not.
    pub fn on_end(&self, good: bool) {
        self.ends.fetch_add(if good { 1 } else { 1 << GOOD_BITS }, Relaxed);
    }

    /// Takes what was counted, and begins anew.
    #[expect(clippy::cast_possible_truncation, reason = "takes the words apart")]
    pub fn take(&self) -> Tallied {
        let (turns, ends) = (self.turns.swap(0, Relaxed), self.ends.swap(0, Relaxed));
        let count = turns & ((1 << TURN_BITS) - 1);
        Tallied {
            turns: count as u32,
            latency_us: (turns >> TURN_BITS).checked_div(count).unwrap_or(0),
            successes: ends as u32,
            errors: (ends >> GOOD_BITS) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once() {
        let tally = Tally::default();
        for latency_us in [100, 200, 600] {
            tally.on_turn(latency_us);
        }
        tally.on_end(true);
        tally.on_end(true);
        tally.on_end(false);

        assert_eq!(tally.take(), Tallied { turns: 3, latency_us: 300, successes: 2, errors: 1 });
        assert_eq!(tally.take(), Tallied::default());
    }

    #[test]
    fn a_second_of_the_heaviest_use_does_not_run_over() {
        let tally = Tally::default();

        (0..18_000).for_each(|_| tally.on_turn(u64::MAX));

        assert_eq!(tally.take(), Tallied { turns: 18_000, latency_us: TURN_MAX_US, ..Tallied::default() });
    }
}
