//! How long to wait before trying again: longer each time, and never in step with others.
//!
//! The bound doubles with every wait, from the shortest to the longest; the wait is drawn anywhere between
//! the shortest and the bound (AWS Architecture Blog, "Exponential Backoff And Jitter", *full jitter*, with
//! a floor so that a wait is never nothing).

use std::time::Duration;

/// Doublings after which the bound no longer grows, whatever the longest wait: keeps the arithmetic in range.
const MAX_DOUBLINGS: u32 = 30;

/// The waits between tries of one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    doublings: u32,
}

impl Backoff {
    /// Waits of at least `min`, at most `max` (or `min`, should that be longer).
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), doublings: 0 }
    }

    /// How long to wait now.
    pub fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
        let bound = self.min.saturating_mul(1 << self.doublings).min(self.max);
        self.min + (bound - self.min).mul_f64(rng.f64())
    }

    /// Tells that it worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.doublings = 0;
    }

    /// The longest wait that the next call may give.
    #[must_use]
    pub fn bound(&self) -> Duration {
        self.min.saturating_mul(1 << (self.doublings + 1).min(MAX_DOUBLINGS)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_longest_and_begins_anew_after_success() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1000));
        let mut bounds = Vec::new();

        for _ in 0..5 {
            bounds.push(backoff.bound().as_millis());
            let _ = backoff.next(&mut rng);
        }
        backoff.reset();

        assert_eq!(bounds, [200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.bound().as_millis(), 200);
    }

    proptest! {
        #[test]
        fn every_wait_lies_between_the_shortest_and_the_bound(
            seed: u64, min_us in 0u64..10_000_000, max_us in 0u64..u64::MAX / 2, tries in 1usize..80,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let min = Duration::from_micros(min_us);
            let mut backoff = Backoff::new(min, Duration::from_micros(max_us));

            for _ in 0..tries {
                let bound = backoff.bound();
                let wait = backoff.next(&mut rng);
                prop_assert!(min <= wait && wait <= bound);
            }
        }
    }
}
