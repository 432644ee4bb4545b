//! Whether an endpoint that refused may be tried again: closed, open, probing.
//!
//! - *Closed*: everybody may go there.
//! - A refusal *opens* it at once: nobody may, until its back-off is over.
//! - Then it admits exactly one connection, the *probe*. If that is accepted, the breaker closes and forgets
//!   its back-off. If it is refused, the breaker opens for longer. If nobody hears of it for
//!   [`PROBE_TIMEOUT`], another probe is admitted.
//!
//! Refusals while it is open, of connections that were on their way when it opened, change nothing: they
//! tell nothing new. Nor does a success then: only a probe closes it.
//!
//! The state is one atomic word, shared by all shards; the probe is taken by compare-and-swap. Whether a
//! refusal is the endpoint's fault is for the caller to say.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::time::Duration;

/// The first back-off: long enough for a service that is being restarted to be noticed, short enough that
/// one which refused by chance is missed by few connections.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest back-off: a service that comes back gets its first connection within this time.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How long a probe may stay without an answer before another is admitted.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Refusals in a row that are counted: the back-off reached its longest well before.
const LEVEL_MAX: u8 = 15;

/// The breaker of one endpoint. All shards share one record.
#[derive(Debug, Default)]
pub struct Breaker {
    /// A [`Word`]; 0 is closed.
    word: AtomicU64,
}

/// What a breaker does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets everybody through.
    Closed,
    /// Lets nobody through, or the next one as its probe when the back-off is over.
    Open,
    /// Waits for its probe, and lets nobody else through.
    Probing,
}

impl BreakerState {
    /// The name in metrics and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it does now.
    #[must_use]
    pub fn state(&self, now_us: u64) -> BreakerState {
        let word = self.load();
        match word.state {
            // The probe's time is over: as good as open, and due.
            BreakerState::Probing if now_us >= word.until_us => BreakerState::Open,
            state => state,
        }
    }

    /// Whether it is closed, without taking a probe.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.load().state == BreakerState::Closed
    }

    /// From when on it would admit a probe; `None` while it is closed.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let word = self.load();
        (word.state != BreakerState::Closed).then_some(word.until_us)
    }

    /// Whether it would admit the caller as its probe; takes nothing.
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        self.due_us().is_some_and(|due| now_us >= due)
    }

    /// Whether the caller may go there. Of all callers of an open one whose back-off is over, exactly one
    /// gets `true`; that one is the probe and must go there.
    #[must_use]
    pub fn admits(&self, now_us: u64) -> bool {
        self.is_closed() || self.take_probe(now_us)
    }

    /// Takes the probe of an open one, if it is due and nobody was faster.
    #[must_use]
    pub fn take_probe(&self, now_us: u64) -> bool {
        let probing = |word: Word| {
            (word.state != BreakerState::Closed && now_us >= word.until_us).then(|| Word {
                state: BreakerState::Probing,
                level: word.level,
                until_us: now_us.saturating_add(micros(PROBE_TIMEOUT)),
            })
        };
        self.update(probing)
    }

    /// Tells that a connection was refused.
    pub fn on_refused(&self, now_us: u64, rng: &mut fastrand::Rng) {
        let jitter = rng.f64();
        self.update(|word| {
            let level = match word.state {
                BreakerState::Open => return None,
                BreakerState::Closed => 0,
                BreakerState::Probing => (word.level + 1).min(LEVEL_MAX),
            };
            let until_us = now_us.saturating_add(micros(backoff(level, jitter)));
            Some(Word { state: BreakerState::Open, level, until_us })
        });
    }

    /// Tells that a connection was accepted.
    pub fn on_success(&self) {
        self.update(|word| (word.state == BreakerState::Probing).then_some(Word::CLOSED));
    }

    /// Tells that a connection ended before the endpoint said anything, through no fault of its: the link
    /// fell silent, or the application gave up. If that was the probe, another is admitted at once, and the
    /// back-off stays as it is. (If it was not, there is one probe too many: cheaper than waiting in vain.)
    pub fn on_abandoned(&self, now_us: u64) {
        self.update(|word| {
            (word.state == BreakerState::Probing).then_some(Word {
                state: BreakerState::Open,
                level: word.level,
                until_us: now_us,
            })
        });
    }

    /// Closes it and forgets everything: the endpoint is back, and another run of its program.
    pub fn reset(&self) {
        self.word.store(Word::CLOSED.pack(), std::sync::atomic::Ordering::Release);
    }

    fn load(&self) -> Word {
        Word::unpack(self.word.load(Acquire))
    }

    /// Changes the state in one step, unless `next` says not to. Whether it changed.
    fn update(&self, next: impl Fn(Word) -> Option<Word>) -> bool {
        self.word.fetch_update(AcqRel, Acquire, |word| next(Word::unpack(word)).map(Word::pack)).is_ok()
    }
}

/// The back-off after `level` probes that were refused: doubling, and up to half shorter by chance, so that
/// nodes which saw the same refusal do not come back together.
fn backoff(level: u8, jitter: f64) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << level).min(BACKOFF_MAX);
    full.mul_f64(0.5 + jitter / 2.0)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The state of a breaker, as it fits into 64 bits: `until_us` 56 (two thousand years) | level 6 | state 2.
#[derive(Debug, Clone, Copy)]
struct Word {
    state: BreakerState,
    /// Probes refused in a row.
    level: u8,
    /// When the back-off, or the probe's time, is over.
    until_us: u64,
}

impl Word {
    const CLOSED: Self = Self { state: BreakerState::Closed, level: 0, until_us: 0 };
    const UNTIL_MAX: u64 = (1 << 56) - 1;

    fn pack(self) -> u64 {
        let state = match self.state {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::Probing => 2,
        };
        self.until_us.min(Self::UNTIL_MAX) << 8 | u64::from(self.level) << 2 | state
    }

    fn unpack(word: u64) -> Self {
        let state = match word & 3 {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::Probing,
        };
        Self { state, level: (word >> 2 & 0x3f) as u8, until_us: word >> 8 }
    }
}

#[cfg(test)]
mod tests;
