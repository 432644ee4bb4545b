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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn of_two_histories_the_slower_one_never_ends_up_faster(
            samples in prop::collection::vec((0.0..1e6_f64, 1.0..10.0_f64, 0..20_000_u64), 1..50),
        ) {
            let begin = |us: f64| Damped::new(log_of(us));
            let (mut fast, mut slow) = (begin(samples[0].0), begin(samples[0].0 * samples[0].1));

            for (us, times, dt_ms) in samples {
                let dt = Duration::from_millis(dt_ms);
                fast.on_sample(dt, log_of(us));
                slow.on_sample(dt, log_of(us * times));

                prop_assert!(slow.log() >= fast.log() - 1e-9);
            }
        }

        #[test]
        fn it_stays_between_what_was_and_the_sample(first in 0.0..1e8_f64, sample in 0.0..1e8_f64, dt_ms in 0..100_000_u64) {
            let mut damped = Damped::new(log_of(first));

            damped.on_sample(Duration::from_millis(dt_ms), log_of(sample));

            let (low, high) = (first.min(sample), first.max(sample));
            prop_assert!((low * 0.999 - 1.0..=high * 1.001 + 1.0).contains(&us_of(damped.log())));
        }
    }
}
