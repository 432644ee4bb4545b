//! How long a link lives: no longer than the certificates that vouch for it.
//!
//! A link is made with two certificates and ends with the earlier end of both. Before that another takes
//! over from it: new streams go there, and the old link is closed when its last stream has ended. For
//! streams that last longer than a certificate does, the newer link *vouches* for the older one: both
//! greetings name it by a secret that only the two ends of the older connection can derive from its keys
//! (RFC 8446 section 7.5). Whoever proved an identity with a new certificate has then proven that it is
//! the other end of the old connection too, which may go on until that certificate's end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sinew_transport_core::wire::{Ext, Hello, VOUCHES};
use tokio::sync::Notify;

use crate::validity::{Replaced, Trust, replace_after};

/// Older connections that one greeting vouches for: 64 take 2.5 KiB of its 4 KiB. There is one for each lane,
/// and one for each certificate's life that its longest stream has lasted.
pub(crate) const VOUCHES_MAX: usize = 64;

/// Bytes of the secret that names a connection.
const SECRET_LEN: usize = 32;
/// What it is derived for.
const LABEL: &[u8] = b"EXPORTER-sinew-vouch/1";

/// Names a connection to its other end, and to nobody else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; SECRET_LEN]);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

impl Fingerprint {
    /// Of a connection whose handshake is complete; none when its keys export nothing.
    pub(crate) fn of(connection: &quinn::Connection) -> Option<Self> {
        let mut secret = [0; SECRET_LEN];
        connection.export_keying_material(&mut secret, LABEL, b"").ok()?;
        Some(Self(secret))
    }

    /// As a greeting says it.
    pub(crate) fn to_ext(self) -> (u16, Vec<u8>) {
        (VOUCHES, self.0.to_vec())
    }

    /// Whether a greeting vouches for the connection.
    pub(crate) fn is_in(self, hello: &Hello) -> bool {
        let said = |ext: &Ext| {
            let vouched = ext.iter().filter(|(tag, _)| *tag == VOUCHES).take(VOUCHES_MAX);
            vouched.into_iter().any(|(_, secret)| *secret == self.0)
        };
        said(&hello.ext)
    }
}

/// What a look at the clock says of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It has time.
    Young,
    /// Another should take over.
    Due,
    /// A certificate ended.
    Over,
}

/// The time of one link.
#[derive(Debug)]
pub(crate) struct Lifetime {
    /// The end of the certificates that vouch for it, seconds since 1970.
    until: AtomicU64,
    /// When another should take over, since 1970.
    replace_at: Duration,
    due: AtomicBool,
    /// Tells the keeper of the lane that it is due, or that another took over.
    turned: Notify,
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Lifetime {
    /// Of a link that was made at `now` with certificates that end at `until`.
    pub(crate) fn new(
        now: Duration,
        until: u64,
        trust: &Trust,
        dialled_here: bool,
        fingerprint: Option<Fingerprint>,
    ) -> Self {
        let by = if dialled_here { Replaced::First } else { Replaced::Second };
        let left = Duration::from_secs(trust.end_of_connection(until)).saturating_sub(now);
        Self {
            until: AtomicU64::new(until),
            replace_at: now + replace_after(left, by, jitter()),
            due: AtomicBool::new(false),
            turned: Notify::new(),
            fingerprint,
        }
    }

    /// The end of the certificates that vouch for it, seconds since 1970.
    pub(crate) fn until(&self) -> u64 {
        self.until.load(Relaxed)
    }

    /// A newer link with certificates that end at `until` vouches for this one.
    pub(crate) fn vouch(&self, until: u64) {
        self.until.fetch_max(until, Relaxed);
    }

    /// Compares it with the clock.
    pub(crate) fn look(&self, now: Duration, trust: &Trust) -> Age {
        let until = self.until();
        if now > Duration::from_secs(trust.end_of_connection(until)) {
            return Age::Over;
        }
        // It lived by grace, which is over.
        let lingers = now.as_secs() > until && trust.grace_s(until) == 0;
        if now < self.replace_at && !lingers {
            return Age::Young;
        }
        if !self.due.swap(true, Relaxed) {
            self.turned.notify_one();
        }
        Age::Due
    }

    /// Whether another should take over.
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Relaxed)
    }

    /// Another took over.
    pub(crate) fn was_replaced(&self) {
        self.turned.notify_one();
    }

    /// Waits until another should take over, or did.
    pub(crate) async fn turned(&self) {
        if !self.is_due() {
            self.turned.notified().await;
        }
    }
}

/// A number in 0..1. Not from a seed: it only spreads dials in time.
pub(crate) fn jitter() -> f64 {
    let mut byte = [0_u8; 1];
    // Without randomness there is no TLS either; in step is good enough then.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn lifetime(seconds: u64, trust: &Trust) -> Lifetime {
        Lifetime::new(NOW, NOW.as_secs() + seconds, trust, true, None)
    }

    fn at(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn a_link_is_young_then_due_then_over() {
        let trust = Trust::strict();
        let lifetime = lifetime(100, &trust);

        assert_eq!(lifetime.look(at(62), &trust), Age::Young);
        assert_eq!(lifetime.look(at(75), &trust), Age::Due);
        assert_eq!(lifetime.look(at(100), &trust), Age::Due);
        assert_eq!(lifetime.look(at(101), &trust), Age::Over);
        assert!(lifetime.is_due());
    }

    #[test]
    fn a_link_that_is_vouched_for_lives_as_long_as_who_vouches() {
        let trust = Trust::strict();
        let lifetime = lifetime(100, &trust);

        lifetime.vouch(NOW.as_secs() + 200);
        lifetime.vouch(NOW.as_secs() + 150);

        assert_eq!(lifetime.look(at(200), &trust), Age::Due);
        assert_eq!(lifetime.look(at(201), &trust), Age::Over);
    }

    #[test]
    fn a_link_that_lives_by_grace_is_due_when_a_controller_is_back_and_over_soon_after() {
        let trust = Trust::alone(Duration::from_secs(1000));
        let lifetime = lifetime(100, &trust);
        assert_eq!(lifetime.look(at(200), &trust), Age::Young, "it lives by grace");

        trust.heard(at(200).as_secs());

        assert_eq!(lifetime.look(at(201), &trust), Age::Due);
        assert_eq!(lifetime.look(at(212), &trust), Age::Over);
    }

    #[test]
    fn only_the_same_secret_vouches() {
        let (one, other) = (Fingerprint([1; SECRET_LEN]), Fingerprint([2; SECRET_LEN]));
        let hello = Hello {
            version: String::new(),
            build: String::new(),
            boot: 1,
            lane: 0,
            capabilities: vec![],
            revision: sinew_transport_core::Revision(1),
            ext: vec![(VOUCHES + 1, vec![2; SECRET_LEN]), one.to_ext()],
        };

        assert!(one.is_in(&hello));
        assert!(!other.is_in(&hello));
    }
}
