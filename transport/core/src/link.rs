//! What one node knows of its link to another: round trips, silence, and the verdicts that follow.
//!
//! Two timers, never one. A link is *suspect* when what was sent stays unanswered for three probe
//! timeouts: it gets no new picks, and nothing of its streams is lost. It is *dead* when that lasts
//! [`DEAD_AFTER`]: its streams are given up. In between, and much sooner, it is *doubtful*: picks go on,
//! but payload no longer rides along with a preamble, because payload that was handed over can't be
//! taken back.
//!
//! The signal is "sent since the last authenticated receive". The congestion controller's tap feeds
//! [`LinkEstimator`] with sends and acknowledgements; it is a record of atomics, written by the shard
//! that owns the connection and read by every pick. Packets that only acknowledge are not counted as
//! unanswered, since nobody answers them: they are told by their size ([`ACK_ONLY_MAX`]).
//!
//! Times are microseconds since an epoch of the caller's choosing, never 0 when meant.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long silence lasts before the streams of a link are given up. A peer that is stopped and
/// continued, or a machine that migrates, comes back well within it.
pub const DEAD_AFTER: Duration = Duration::from_secs(10);

/// The least silence after an unanswered keep-alive before a link without streams is suspect. Nothing
/// waits on it, so there is no hurry.
pub const KEEP_ALIVE_SUSPECT: Duration = Duration::from_millis(600);

/// Probe timeouts without an answer before a link with data in flight is suspect.
pub const SUSPECT_PTOS: u32 = 3;

/// How long ago an authenticated packet may have arrived for payload to ride with the preamble.
pub const FRESH_FOR: Duration = Duration::from_secs(1);

/// The longest delay of an acknowledgement (RFC 9000 section 18.2, default of `max_ack_delay`).
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// Timer granularity (RFC 9002 section 6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);

/// The round trip assumed before the first was measured (RFC 9002 section 6.2.2).
const INITIAL_RTT: Duration = Duration::from_millis(333);

/// Packets up to this size are taken to acknowledge only: head 13, one ACK frame up to 12, tag 16, and
/// room for a range or two. A small packet of data below it is only noticed later, by the keep-alive.
pub const ACK_ONLY_MAX: u64 = 48;

/// What is known of the other end, by what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It answers, or nothing was asked.
    Alive,
    /// Its answer is a little late.
    Doubtful,
    /// No new picks.
    Suspect,
    /// Its streams are given up.
    Dead,
}

/// Sends, answers and round trips of one connection.
#[derive(Debug, Default)]
pub struct LinkEstimator {
    heard_us: AtomicU64,
    unanswered_us: AtomicU64,
    srtt_us: AtomicU64,
    var_us: AtomicU64,
}

impl LinkEstimator {
    /// An estimator that has heard from its peer at `now_us`.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self { heard_us: AtomicU64::new(now_us), ..Self::default() }
    }

    /// Tells that packets of `bytes` in all were sent.
    pub fn on_sent(&self, now_us: u64, bytes: u64) {
        if bytes > ACK_ONLY_MAX && self.unanswered_us.load(Relaxed) == 0 {
            self.unanswered_us.store(now_us, Relaxed);
        }
    }

    /// Tells the round trip as the transport measures it: smoothed (RFC 9002 section 5.3), and the larger
    /// of that and the latest sample. The difference, smoothed like RTTVAR, is how late answers come.
    pub fn on_round_trip(&self, smoothed_us: u64, conservative_us: u64) {
        // The latest sample contains what the peer waited before it acknowledged, which the probe timeout
        // counts by itself.
        let waited_us = MAX_ACK_DELAY.as_micros() as u64;
        let late = conservative_us.saturating_sub(smoothed_us).saturating_sub(waited_us);
        let var = if self.srtt_us.load(Relaxed) == 0 {
            smoothed_us / 2
        } else {
            (3 * self.var_us.load(Relaxed) + late) / 4
        };
        self.var_us.store(var, Relaxed);
        self.srtt_us.store(smoothed_us.max(1), Relaxed);
    }

    /// Tells that an authenticated packet arrived; `in_flight` bytes still wait for an answer, from now.
    pub fn on_heard(&self, now_us: u64, in_flight: u64) {
        self.heard_us.store(now_us, Relaxed);
        self.unanswered_us.store(if in_flight == 0 { 0 } else { now_us }, Relaxed);
    }

    /// Tells that an authenticated packet arrived at some time after `since_us`.
    pub fn on_heard_since(&self, since_us: u64) {
        self.heard_us.fetch_max(since_us, Relaxed);
        let _ = self
            .unanswered_us
            .fetch_update(Relaxed, Relaxed, |asked| (asked != 0 && asked < since_us).then_some(since_us));
    }

    /// The smoothed round trip, unless none was measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match self.srtt_us.load(Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }

    /// The probe timeout (RFC 9002 section 6.2.1), without back-off.
    #[must_use]
    pub fn probe_timeout(&self) -> Duration {
        match self.round_trip() {
            None => 2 * INITIAL_RTT + MAX_ACK_DELAY,
            Some(srtt) => {
                let var = Duration::from_micros(self.var_us.load(Relaxed));
                srtt + (4 * var).max(GRANULARITY) + MAX_ACK_DELAY
            }
        }
    }

    /// How long an answer may take before payload waits: `srtt + max(4 var, 3 ms) + min(25 ms, srtt/2)`,
    /// the bound at which a prototype suspected a path without a false alarm that cost anything.
    fn doubt_after(&self) -> Duration {
        let srtt = self.round_trip().unwrap_or(INITIAL_RTT);
        let var = Duration::from_micros(self.var_us.load(Relaxed));
        srtt + (4 * var).max(Duration::from_millis(3)) + MAX_ACK_DELAY.min(srtt / 2)
    }

    /// How long silence must last before the link is suspect.
    #[must_use]
    pub fn suspect_after(&self, streams: bool) -> Duration {
        let ptos = SUSPECT_PTOS * self.probe_timeout();
        if streams { ptos } else { ptos.max(KEEP_ALIVE_SUSPECT) }
    }

    /// For how long something has been waiting for an answer.
    #[must_use]
    pub fn unanswered_for(&self, now_us: u64) -> Option<Duration> {
        match self.unanswered_us.load(Relaxed) {
            0 => None,
            since => Some(Duration::from_micros(now_us.saturating_sub(since))),
        }
    }

    /// How long ago an authenticated packet arrived.
    #[must_use]
    pub fn silent_for(&self, now_us: u64) -> Duration {
        Duration::from_micros(now_us.saturating_sub(self.heard_us.load(Relaxed)))
    }

    /// Judges the link. `streams`: whether any stream waits on it. `dead_after`: [`DEAD_AFTER`], unless
    /// configured.
    #[must_use]
    pub fn verdict(&self, now_us: u64, streams: bool, dead_after: Duration) -> Verdict {
        let Some(waiting) = self.unanswered_for(now_us) else { return Verdict::Alive };
        if waiting >= dead_after {
            Verdict::Dead
        } else if waiting >= self.suspect_after(streams) {
            Verdict::Suspect
        } else if waiting >= self.doubt_after() {
            Verdict::Doubtful
        } else {
            Verdict::Alive
        }
    }

    /// Whether payload may ride along with a preamble: the peer was heard within [`FRESH_FOR`] and owes
    /// no answer.
    #[must_use]
    pub fn fresh(&self, now_us: u64) -> bool {
        self.silent_for(now_us) < FRESH_FOR
            && self.unanswered_for(now_us).is_none_or(|w| w < self.doubt_after())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    /// A link with a steady round trip of `rtt_us`, heard last at `now_us`, owing nothing.
    fn settled(now_us: u64, rtt_us: u64) -> LinkEstimator {
        let link = LinkEstimator::new(1);
        for _ in 0..50 {
            link.on_round_trip(rtt_us, rtt_us);
        }
        link.on_heard(now_us, 0);
        link
    }

    fn after(link: &LinkEstimator, us: u64, streams: bool) -> Verdict {
        link.verdict(us, streams, DEAD_AFTER)
    }

    #[test]
    fn silence_without_a_question_is_no_evidence() {
        let link = settled(1_000_000, MS);

        assert_eq!(after(&link, 100_000_000, true), Verdict::Alive);
    }

    #[test]
    fn unanswered_data_makes_a_link_doubtful_then_suspect_then_dead() {
        let link = settled(1_000_000, MS);
        link.on_sent(2_000_000, 1200);

        assert_eq!(after(&link, 2_000_000 + 2 * MS, true), Verdict::Alive);
        assert_eq!(after(&link, 2_000_000 + 6 * MS, true), Verdict::Doubtful);
        assert_eq!(after(&link, 2_000_000 + 100 * MS, true), Verdict::Suspect);
        assert_eq!(after(&link, 2_000_000 + 9_999 * MS, true), Verdict::Suspect);
        assert_eq!(after(&link, 2_000_000 + 10_000 * MS, true), Verdict::Dead);
    }

    #[test]
    fn a_link_without_streams_is_suspect_after_600_ms() {
        let link = settled(1_000_000, MS);
        link.on_sent(2_000_000, 80);

        assert_ne!(after(&link, 2_000_000 + 599 * MS, false), Verdict::Suspect);
        assert_eq!(after(&link, 2_000_000 + 600 * MS, false), Verdict::Suspect);
    }

    #[test]
    fn any_answer_clears_the_verdict() {
        let link = settled(1_000_000, MS);
        link.on_sent(2_000_000, 1200);
        assert_eq!(after(&link, 3_000_000, true), Verdict::Suspect);

        link.on_heard(3_000_001, 5000);

        assert_eq!(after(&link, 3_000_002, true), Verdict::Alive);
    }

    #[test]
    fn packets_that_only_acknowledge_ask_for_nothing() {
        let link = settled(1_000_000, MS);
        link.on_sent(2_000_000, ACK_ONLY_MAX);

        assert_eq!(after(&link, 9_000_000, true), Verdict::Alive);
    }

    #[test]
    fn payload_rides_along_only_to_a_peer_that_was_just_heard_and_owes_nothing() {
        let link = settled(1_000_000, MS);
        assert!(link.fresh(1_999_999));
        assert!(!link.fresh(2_000_000), "heard a second ago");

        link.on_heard(2_000_000, 0);
        link.on_sent(2_000_000, 1200);
        assert!(link.fresh(2_000_000 + 2 * MS));
        assert!(!link.fresh(2_000_000 + 6 * MS), "its answer is late");
    }

    #[test]
    fn the_probe_timeout_follows_rfc_9002() {
        let link = settled(1_000_000, 40 * MS);

        // The variation has decayed to nothing, so the granularity counts: 40 + 1 + 25.
        assert_eq!(link.probe_timeout().as_millis(), 66);
    }
}
