//! A duration that follows its samples: slowly while they stay within a factor of two of it, fast beyond.
//!
//! It is kept as the logarithm, so that twice as long and half as long weigh the same. A step toward a sample
//! has two slopes. Within [`NOISE`] it is small: jitter is averaged away, and where more traffic makes an
//! endpoint slower, weights can't chase it in circles (a loop with gain `g` is stable for `g < 2/a - 1`, which
//! is 20 with [`SLOW`] and reports every second). What goes beyond is taken almost at once: an endpoint that
//! goes from 1 ms to 100 ms is at 7 ms after the first report and at 20 ms after the second.
//!
//! Both slopes are at most 1, so that of two histories, of which one is never faster than the other, the slower
//! one never ends up faster.

use std::time::Duration;

/// A microsecond value below which differences mean nothing: 1 ms is what the scheduler of a busy machine adds
/// to anything. It is added to every duration before two are compared.
pub(super) const GRAIN_US: f64 = 1000.0;

/// What counts as noise: a factor of two either way.
const NOISE: f64 = std::f64::consts::LN_2;

/// The time in which 63 % of a deviation within [`NOISE`] is taken over.
const SLOW: Duration = Duration::from_secs(10);

/// The time in which 63 % of what goes beyond is taken over.
const FAST: Duration = Duration::from_millis(1500);

/// A damped duration. See the module's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Damped {
    log: f64,
}

impl Damped {
    /// Begins at the logarithm of a duration, as [`log_of`] has it.
    pub(super) fn new(log: f64) -> Self {
        Self { log }
    }

    /// Takes a sample, `dt` after the last one.
    pub(super) fn on_sample(&mut self, dt: Duration, log: f64) {
        let deviation = log - self.log;
        let noise = deviation.clamp(-NOISE, NOISE);
        self.log += part(dt, SLOW) * noise + part(dt, FAST) * (deviation - noise);
    }

    /// Moves toward a value without having been measured: `dt` of `over`.
    pub(super) fn drift(&mut self, dt: Duration, over: Duration, toward_log: f64) {
        self.log += part(dt, over) * (toward_log - self.log);
    }

    /// The logarithm.
    pub(super) fn log(self) -> f64 {
        self.log
    }
}

/// The logarithm of a duration in microseconds, [`GRAIN_US`] added.
pub(super) fn log_of(us: f64) -> f64 {
    (us.max(0.0) + GRAIN_US).ln()
}

/// The duration in microseconds of which this is the logarithm.
pub(super) fn us_of(log: f64) -> f64 {
    (log.exp() - GRAIN_US).max(0.0)
}

/// How much of a deviation goes in `dt` at a time constant: 0 to 1.
pub(super) fn part(dt: Duration, over: Duration) -> f64 {
    1.0 - (-dt.as_secs_f64() / over.as_secs_f64()).exp()
}
