//! Limits on what is in progress, counted by guards: what was let in counts until its guard is dropped.
//!
//! One [`Limit`] is shared by everybody who takes from it, on any thread. Nobody waits: who finds the limit
//! reached is told so at once, and what happens then (a counted refusal) is the caller's to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// So many at once, and no more. Clones share one count.
#[derive(Debug, Clone)]
pub struct Limit {
    max: usize,
    inside: Arc<AtomicUsize>,
}

/// One that is inside; leaves when it is dropped.
#[derive(Debug)]
#[must_use = "what it stands for counts only while the guard is kept"]
pub struct Guard {
    inside: Arc<AtomicUsize>,
}

impl Limit {
    /// A limit of `max` at once.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, inside: Arc::default() }
    }

    /// Lets one in, unless `max` are inside.
    #[must_use]
    pub fn try_enter(&self) -> Option<Guard> {
        self.inside
            .fetch_update(Relaxed, Relaxed, |inside| (inside < self.max).then_some(inside + 1))
            .ok()
            .map(|_| Guard { inside: Arc::clone(&self.inside) })
    }

    /// How many are inside now.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.inside.load(Relaxed)
    }

    /// How many may be inside at once.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_in_as_many_as_it_says_and_one_more_for_each_that_leaves() {
        let limit = Limit::new(2);
        let first = limit.try_enter().expect("empty");
        let _second = limit.try_enter().expect("one inside");

        assert!(limit.try_enter().is_none());
        drop(first);
        let third = limit.clone().try_enter();

        assert!(third.is_some());
        assert_eq!(limit.inside(), 2);
    }

    #[test]
    fn a_limit_of_none_lets_nobody_in() {
        assert!(Limit::new(0).try_enter().is_none());
    }
}
