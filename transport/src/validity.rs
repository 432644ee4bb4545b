//! When a certificate counts, and for how long what was made with it lives.
//!
//! Everything here takes the time as an argument and decides; who asks, acts. Times are seconds since 1970,
//! as certificates have them.
//!
//! - A certificate counts from [`SKEW`] before its issue, so a verifier whose clock is that much behind
//!   accepts it. A clock that is ahead is covered by renewal at half life: what peers are shown has at least
//!   half of its life left.
//! - After its end it counts for nobody who has heard a controller since. A node that has not can't tell an
//!   attacker from a peer that could not renew, and goes on for `expiry_grace`: [`Trust`].
//! - A connection is replaced before the earlier end of both certificates: [`Life`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quinn::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The clock skew that is tolerated: certificates are valid from this long before their issue.
pub const SKEW: Duration = Duration::from_mins(5);

/// How long an expired certificate is accepted where no controller was reached since before its end, unless
/// configured: a week is a long holiday of a small team.
pub const EXPIRY_GRACE: Duration = Duration::from_hours(7 * 24);

/// How long a connection that lived by grace goes on once a controller is heard again: its other end finds the
/// controller, renews and takes over within a few seconds, or never.
const COMEBACK_S: u64 = 10;

/// After how long without a sign of life a controller counts as gone: a session gives one every second.
const SILENCE_S: u64 = 3;

/// The least time between two replacements of one connection: without it, a connection whose certificates
/// nobody can renew would be replaced ever faster towards its end.
const REPLACE_MIN: Duration = Duration::from_secs(1);

/// The time of a certificate, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: u64,
    /// Its last second.
    pub until: u64,
}

/// What a certificate's time means at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Valid,
    /// Its end is over, and it counts by grace.
    Graced,
    /// Its end is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
}

impl Validity {
    /// Reads a certificate's time; none when it is no certificate.
    #[must_use]
    pub fn of(leaf: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(leaf).ok()?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
        let validity = cert.validity();
        Some(Self { from: seconds(validity.not_before)?, until: seconds(validity.not_after)? })
    }

    /// The moment of its issue.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.from.saturating_add(SKEW.as_secs()).min(self.until)
    }

    /// How long it lasts from its issue on.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::from_secs(self.until - self.issued())
    }

    /// When half of its life is over: the moment to renew it.
    #[must_use]
    pub fn half(&self) -> Duration {
        Duration::from_secs(self.issued()) + self.life() / 2
    }

    /// What it means at `now`, where `grace_s` seconds of grace are given.
    #[must_use]
    pub fn standing(&self, now: u64, grace_s: u64) -> Standing {
        if now < self.from {
            Standing::NotYetValid
        } else if now <= self.until {
            Standing::Valid
        } else if now - self.until <= grace_s {
            Standing::Graced
        } else {
            Standing::Expired
        }
    }
}

/// When a controller was heard last, and what follows for certificates whose end is over.
///
/// What counts is the last sign of life, not whether a session seems to be up: a dead controller is noticed
/// only after a while, and in that while certificates end, too. A live session is heard every second.
#[derive(Debug)]
pub struct Trust {
    grace: Duration,
    /// The last sign of life of a controller, seconds since 1970.
    heard: AtomicU64,
    /// The last sign of life after a silence.
    back: AtomicU64,
    graced: AtomicU64,
}

impl Trust {
    /// For who has a controller or is one: an end is an end.
    #[must_use]
    pub fn strict() -> Self {
        let trust = Self::alone(Duration::ZERO);
        trust.heard(u64::MAX);
        trust
    }

    /// For a node that has not reached a controller yet in this run, or who forgives for `grace` whatever
    /// happens. What the last run of a node knew of controllers it does not know: it was alone for ever.
    #[must_use]
    pub fn alone(grace: Duration) -> Self {
        let zero = || AtomicU64::new(0);
        Self { grace, heard: zero(), back: zero(), graced: zero() }
    }

    /// A controller gave a sign of life.
    pub fn heard(&self, now: u64) {
        if now.saturating_sub(self.heard.swap(now, Relaxed)) > SILENCE_S {
            self.back.store(now, Relaxed);
        }
    }

    /// The grace of a certificate that ends at `until`, in seconds: none once a controller was heard after
    /// that end.
    #[must_use]
    pub fn grace_s(&self, until: u64) -> u64 {
        if self.heard.load(Relaxed) <= until { self.grace.as_secs() } else { 0 }
    }

    /// Until when a connection lives whose certificates end at `until`.
    #[must_use]
    pub fn end_of_connection(&self, until: u64) -> u64 {
        let grace_s = self.grace_s(until);
        if grace_s > 0 || self.grace.is_zero() {
            return until.saturating_add(grace_s);
        }
        // With a controller again, what lived by grace is given the time to be replaced.
        let back = self.back.load(Relaxed);
        if back > until { back.saturating_add(COMEBACK_S) } else { until }
    }

    /// How many certificates were accepted after their end.
    #[must_use]
    pub fn graced(&self) -> u64 {
        self.graced.load(Relaxed)
    }

    pub(crate) fn count_graced(&self) {
        self.graced.fetch_add(1, Relaxed);
    }
}

/// Who replaces a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// This end, which dialled it.
    First,
    /// This end, which was dialled, should the other not have done so.
    Second,
}

/// After how long a connection is to be replaced whose certificates end in `left`. `jitter` is from 0 to 1,
/// so that the connections of one certificate are not all replaced at once.
///
/// The dialler does so when 5/8 to 6/8 of what was left are over. Every certificate is renewed at its half
/// life, and what is left is at most the whole: the replacement finds renewed certificates. The other end
/// waits until 7/8.
#[must_use]
pub fn replace_after(left: Duration, by: Replaced, jitter: f64) -> Duration {
    let part = match by {
        Replaced::First => 0.625 + 0.125 * jitter,
        Replaced::Second => 0.875,
    };
    left.mul_f64(part).max(REPLACE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const ISSUED: u64 = 1_800_000_000;
    const OF_A_DAY: Validity = Validity { from: ISSUED - 300, until: ISSUED + DAY };

    #[test]
    fn half_a_life_counts_from_the_issue() {
        assert_eq!(OF_A_DAY.issued(), ISSUED);
        assert_eq!(OF_A_DAY.half(), Duration::from_secs(ISSUED + DAY / 2));
        assert_eq!(OF_A_DAY.life(), Duration::from_secs(DAY));
    }

    #[test]
    fn a_clock_five_minutes_behind_accepts_a_certificate_of_this_moment() {
        assert_eq!(OF_A_DAY.standing(ISSUED - 300, 0), Standing::Valid);
        assert_eq!(OF_A_DAY.standing(ISSUED - 301, 0), Standing::NotYetValid);
    }

    #[test]
    fn the_last_second_counts_and_the_next_only_by_grace() {
        assert_eq!(OF_A_DAY.standing(ISSUED + DAY, 0), Standing::Valid);
        assert_eq!(OF_A_DAY.standing(ISSUED + DAY + 1, 0), Standing::Expired);
        assert_eq!(OF_A_DAY.standing(ISSUED + DAY + 1, 60), Standing::Graced);
        assert_eq!(OF_A_DAY.standing(ISSUED + DAY + 61, 60), Standing::Expired);
    }

    #[test]
    fn grace_is_for_who_has_not_heard_a_controller_since_the_end() {
        let trust = Trust::alone(Duration::from_secs(60));
        assert_eq!(trust.grace_s(1000), 60, "no controller in this run");

        trust.heard(1000);
        assert_eq!(trust.grace_s(1000), 60, "silence since its last second");
        assert_eq!(trust.grace_s(999), 0, "the controller was there when it ended");

        assert_eq!(Trust::strict().grace_s(1000), 0);
    }

    #[test]
    fn a_connection_ends_with_its_certificates_and_by_grace_a_little_after_the_controller_is_back() {
        let trust = Trust::alone(Duration::from_secs(60));
        trust.heard(980);
        assert_eq!(trust.end_of_connection(1000), 1060);

        trust.heard(1030);
        trust.heard(1031);

        assert_eq!(trust.end_of_connection(1000), 1030 + COMEBACK_S);
        assert_eq!(trust.end_of_connection(1030), 1030, "the controller was there");
        assert_eq!(Trust::strict().end_of_connection(1000), 1000);
    }

    #[test]
    fn a_replacement_finds_certificates_that_were_renewed_at_half_life() {
        let life = Duration::from_secs(10);
        for jitter in [0.0, 0.5, 1.0] {
            // Whenever the connection was made, counted from the issue of the certificate that ends first.
            for age in [0, 2, 4] {
                let left = life.checked_sub(Duration::from_secs(age)).expect("younger than its life");
                let after = replace_after(left, Replaced::First, jitter);
                let at = Duration::from_secs(age) + after;
                assert!(at > life / 2, "replaced at {at:?}");
                assert!(after < replace_after(left, Replaced::Second, jitter));
            }
        }
    }

    #[test]
    fn replacements_never_come_faster_than_one_a_second() {
        assert_eq!(replace_after(Duration::ZERO, Replaced::First, 0.0), REPLACE_MIN);
    }
}
