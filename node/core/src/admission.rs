//! Limits on what is in progress, counted by guards: what was let in counts until its guard is dropped.
//!
//! One [`Limit`] is shared by everybody who takes from it, on any thread. Nobody waits: who finds the limit
//! reached is told so at once, and what happens then (a counted refusal) is the caller's to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sinew_transport_core::refusals::remedy;

/// Why an application's connection was not carried: what the node counts and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its listener carries as many as it may.
    ListenerFull,
    /// The node carries as many as it may.
    NodeFull,
    /// The process has no descriptor left for it.
    NoDescriptors,
    /// Too many wait for the shard that was to carry it.
    HandoverFull,
    /// The system did not give it to us.
    AcceptFailed,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ListenerFull, Self::NodeFull, Self::NoDescriptors, Self::HandoverFull, Self::AcceptFailed];

    /// The name in metrics and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListenerFull => "listener_full",
            Self::NodeFull => "node_full",
            Self::NoDescriptors => "no_descriptors",
            Self::HandoverFull => "handover_full",
            Self::AcceptFailed => "accept_failed",
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        remedy("sinew_connections_refused", self.name())
    }
}

/// So many at once, and no more. Clones share one count.
#[derive(Debug, Clone)]
pub struct Limit {
    max: Arc<AtomicUsize>,
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
        Self { max: Arc::new(AtomicUsize::new(max)), inside: Arc::default() }
    }

    /// From now on, so many. Those inside stay, also when they are more.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// Lets one in, unless `max` are inside.
    #[must_use]
    pub fn try_enter(&self) -> Option<Guard> {
        self.inside
            .fetch_update(Relaxed, Relaxed, |inside| (inside < self.max()).then_some(inside + 1))
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
        self.max.load(Relaxed)
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
    fn a_limit_that_shrinks_sends_nobody_away_and_lets_nobody_in() {
        let limit = Limit::new(2);
        let guards = [limit.try_enter(), limit.try_enter()];

        limit.set_max(1);
        let [first, _second] = guards;
        drop(first);

        assert!(limit.try_enter().is_none(), "one is inside, and one may be");
        limit.set_max(2);
        assert!(limit.try_enter().is_some());
    }

    #[test]
    fn every_refusal_has_a_remedy() {
        for refused in Refused::ALL {
            assert!(!refused.remedy().is_empty(), "{}", refused.name());
        }
    }

    #[test]
    fn a_limit_of_none_lets_nobody_in() {
        assert!(Limit::new(0).try_enter().is_none());
    }
}
