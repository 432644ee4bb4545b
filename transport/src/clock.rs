//! Monotonic time as the estimators take it: microseconds since an epoch, on tokio's clock, so that it
//! stops and jumps with virtual time.

use std::time::Instant;

/// An epoch. Copies share it.
#[derive(Debug, Clone, Copy)]
pub struct Clock(tokio::time::Instant);

impl Clock {
    /// A clock whose epoch is now.
    #[must_use]
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Microseconds since the epoch; never 0, which the estimators read as "never".
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.us(tokio::time::Instant::now().into_std())
    }

    /// The same for a moment that the transport names.
    #[must_use]
    pub fn us(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.into_std());
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1) + 1
    }
}
