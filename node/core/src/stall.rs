//! Which connections are stalled, and which of them are given up when all together hold too much.
//!
//! What was sent to a reader that does not read waits in this node's memory: QUIC allows each stream a window of it.
//! A slow reader is its own matter; many that do not read at all are the node's. **The rule:** a direction of a
//! connection is *stalled* when it waits for its reader and less than [`PROGRESS`] has passed in [`STALLED_AFTER`].
//! Stalled directions may hold [`HELD_MAX`] in all; beyond it the one that has been stalled for the longest is given
//! up first. Whoever reads 64 KiB in two seconds is never among them, however many there are.
//!
//! Nothing here looks at a clock or a socket: [`Flow::look`] is told what there is.

use std::time::Duration;

/// What stalled directions may hold, all together.
pub const HELD_MAX: u64 = 256 << 20;
/// For how long so little must pass that a direction counts as stalled.
pub const STALLED_AFTER: Duration = Duration::from_secs(2);
/// How much is progress: as much as one read.
pub const PROGRESS: u64 = 64 << 10;

/// What is remembered of one direction of a connection, from look to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    /// When the last progress was seen, and how much had passed by then; none while it does not wait.
    since: Option<(u64, u64)>,
}

impl Flow {
    /// Takes in what a look has shown: how many bytes have `passed` so far, and whether it `waits` for its reader.
    /// Yields since when it is stalled, if it is.
    pub fn look(&mut self, now_us: u64, passed: u64, waits: bool) -> Option<u64> {
        let (since_us, _) = match self.since {
            _ if !waits => {
                self.since = None;
                return None;
            }
            Some(since) if passed.saturating_sub(since.1) < PROGRESS => since,
            _ => *self.since.insert((now_us, passed)),
        };
        (u128::from(now_us.saturating_sub(since_us)) >= STALLED_AFTER.as_micros()).then_some(since_us)
    }
}

/// One that is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled<T> {
    /// Since when, by the clock of the looks.
    pub since_us: u64,
    /// Bytes that it holds.
    pub held: u64,
    /// Which one it is.
    pub which: T,
}

/// Those to give up, the longest stalled first, so that the rest holds at most `held_max`.
pub fn to_give_up<T>(mut stalled: Vec<Stalled<T>>, held_max: u64) -> impl Iterator<Item = Stalled<T>> {
    let mut held: u64 = stalled.iter().map(|one| one.held).sum();
    stalled.sort_by_key(|one| one.since_us);
    stalled.into_iter().take_while(move |one| {
        let too_much = held > held_max;
        held -= one.held;
        too_much
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn it_is_stalled_when_it_waits_and_little_passes_for_two_seconds() {
        let mut flow = Flow::default();

        assert_eq!(flow.look(0, 1000, true), None, "seen waiting for the first time");
        assert_eq!(flow.look(2 * SECOND - 1, 1000 + PROGRESS - 1, true), None, "not for two seconds yet");
        assert_eq!(flow.look(2 * SECOND, 1000 + PROGRESS - 1, true), Some(0));
        assert_eq!(flow.look(3 * SECOND, 1000 + PROGRESS, true), None, "it read");
        assert_eq!(flow.look(5 * SECOND, 1000 + PROGRESS, true), Some(3 * SECOND));
        assert_eq!(flow.look(6 * SECOND, 1000 + PROGRESS, false), None, "nothing waits for it");
        assert_eq!(flow.look(8 * SECOND, 1000 + PROGRESS, true), None, "from here on it waits anew");
    }

    #[test]
    fn the_longest_stalled_go_first_and_no_more_than_must() {
        let stalled = |which, since_us| Stalled { since_us, held: 4, which };
        let all = vec![stalled("new", 30), stalled("oldest", 10), stalled("old", 20)];
        let given_up = |max| to_give_up(all.clone(), max).map(|one| one.which).collect::<Vec<_>>();

        assert_eq!(given_up(12), [""; 0]);
        assert_eq!(given_up(11), ["oldest"]);
        assert_eq!(given_up(7), ["oldest", "old"]);
        assert_eq!(given_up(0), ["oldest", "old", "new"]);
    }

    proptest! {
        #[test]
        fn what_is_left_fits_and_was_stalled_for_less(
            all in prop::collection::vec((0_u64..100, 0_u64..100), 0..50),
            max in 0_u64..2000,
        ) {
            let stalled: Vec<_> = (0..).zip(&all).map(|(which, (since_us, held))| Stalled { since_us: *since_us, held: *held, which }).collect();

            let gone: Vec<_> = to_give_up(stalled.clone(), max).collect();

            let left: Vec<_> = stalled.iter().filter(|one| !gone.contains(one)).collect();
            prop_assert!(left.iter().map(|one| one.held).sum::<u64>() <= max);
            let last = gone.last().map_or(0, |one| one.since_us);
            prop_assert!(left.iter().all(|one| one.since_us >= last));
            if let Some((last, before)) = gone.split_last() {
                let held: u64 = all.iter().map(|(_, held)| held).sum();
                prop_assert!(held - before.iter().map(|one| one.held).sum::<u64>() > max, "{last:?} had to go");
            }
        }
    }
}
