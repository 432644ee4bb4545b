//! Which runs of a node's program there were: each has a random number of its own.
//!
//! Two processes with one identity (a copied state directory) must not take turns. The newest run wins; a run
//! that was superseded stays so for as long as it is remembered.

use std::collections::VecDeque;

/// Superseded runs that are remembered for a node: copies of one state directory, one takes over from the
/// next. With more of them, two could take turns again, as slowly as their back-off lets them.
const SUPERSEDED_MAX: usize = 16;

/// The runs of one node's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    current: u64,
    superseded: VecDeque<u64>,
}

impl Runs {
    /// The first that is known.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { current: boot, superseded: VecDeque::new() }
    }

    /// The newest run.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Whether another run took over from this one.
    #[must_use]
    pub fn was_superseded(&self, boot: u64) -> bool {
        self.superseded.contains(&boot)
    }

    /// The same after `boot` was met.
    #[must_use]
    pub fn then(mut self, boot: u64) -> Self {
        if boot != self.current {
            self.superseded.retain(|old| *old != boot);
            self.superseded.push_back(std::mem::replace(&mut self.current, boot));
            if self.superseded.len() > SUPERSEDED_MAX {
                self.superseded.pop_front();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_another_took_over_from_stays_superseded() {
        let runs = Runs::new(1).then(2).then(2).then(3);

        assert_eq!(runs.current(), 3);
        assert!(runs.was_superseded(1) && runs.was_superseded(2) && !runs.was_superseded(3));
    }

    #[test]
    fn a_run_that_may_return_is_current_again() {
        let runs = Runs::new(1).then(2).then(1);

        assert_eq!(runs.current(), 1);
        assert!(runs.was_superseded(2) && !runs.was_superseded(1));
    }

    #[test]
    fn the_oldest_runs_are_forgotten() {
        let last = SUPERSEDED_MAX as u64 + 1;
        let runs = (1..=last).fold(Runs::new(0), Runs::then);

        assert!(!runs.was_superseded(0) && runs.was_superseded(1) && runs.was_superseded(last - 1));
    }
}
