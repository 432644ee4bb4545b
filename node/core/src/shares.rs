//! Drawing endpoints by weight.
//!
//! The weights of a service are summed up once, when its view is compiled. A draw is then one random number and
//! a binary search: 14 steps among ten thousand endpoints, and no memory.

/// See [`Shares::much_better_is_coming`]. What is less better than that is not worth a wait.
const MUCH_BETTER: u32 = 4;

/// The weights of a service's endpoints, in their order. Without any, all endpoints are alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// The sum of the weights up to and with each.
    sums: Vec<u32>,
}

impl Shares {
    /// Sums up weights. Where all are 0, all are alike.
    #[must_use]
    pub fn new(weights: impl IntoIterator<Item = u16>) -> Self {
        let mut sum = 0_u32;
        let sums: Vec<_> = weights
            .into_iter()
            .map(|weight| {
                // Ten thousand times the largest weight there can be fits in four times.
                sum = sum.saturating_add(u32::from(weight));
                sum
            })
            .collect();
        if sum == 0 { Self::default() } else { Self { sums } }
    }

    /// Whether an endpoint that is still `coming` weighs more than [`MUCH_BETTER`] times as much as every one that
    /// is `here`, among `count`. Not when nobody is here: that is another matter.
    #[must_use]
    pub fn much_better_is_coming(
        &self,
        count: usize,
        here: impl Fn(usize) -> bool,
        coming: impl Fn(usize) -> bool,
    ) -> bool {
        let draw = self.draw(count, true);
        let best = |of: &dyn Fn(usize) -> bool| {
            (0..count).filter(|index| of(*index)).map(|index| draw.weight(index)).max()
        };
        match (best(&here), best(&coming)) {
            (Some(here), Some(coming)) => coming > MUCH_BETTER * here,
            _ => false,
        }
    }

    /// How these endpoints are drawn. `weighted`: otherwise all are alike, whatever their weights.
    #[must_use]
    #[inline]
    pub(crate) fn draw(&self, count: usize, weighted: bool) -> Draw<'_> {
        let sums = Some(self.sums.as_slice()).filter(|sums| weighted && sums.len() == count);
        Draw { sums, count: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

/// `count` endpoints to draw from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    /// None: all are alike.
    sums: Option<&'a [u32]>,
    count: u32,
}

impl Draw<'_> {
    /// What one counts for, beside the others.
    #[inline]
    pub(crate) fn weight(&self, index: usize) -> u32 {
        self.below(index + 1) - self.below(index)
    }

    /// One of all; each as often as its weight says.
    #[inline]
    pub(crate) fn any(&self, rng: &mut fastrand::Rng) -> usize {
        self.at(rng.u32(..self.all()))
    }

    /// One of all but `first`; none when no other has weight.
    #[inline]
    pub(crate) fn other(&self, rng: &mut fastrand::Rng, first: usize) -> Option<usize> {
        let (before, weight) = (self.below(first), self.weight(first));
        let rest = self.all() - weight;
        if rest == 0 {
            return None;
        }
        let drawn = rng.u32(..rest);
        Some(self.at(if drawn < before { drawn } else { drawn + weight }))
    }

    #[inline]
    fn all(&self) -> u32 {
        self.below(self.count as usize)
    }

    /// The sum of the first `index` weights.
    #[inline]
    fn below(&self, index: usize) -> u32 {
        match self.sums {
            Some(sums) => index.checked_sub(1).map_or(0, |last| sums[last]),
            None => u32::try_from(index).unwrap_or(u32::MAX),
        }
    }

    /// Whose part of the sum this number is in.
    #[inline]
    fn at(&self, number: u32) -> usize {
        match self.sums {
            Some(sums) => sums.partition_point(|sum| *sum <= number),
            None => number as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn draws_follow_the_weights_and_the_second_is_another(weights in prop::collection::vec(0..1000_u16, 2..20), seed: u64) {
            let shares = Shares::new(weights.clone());
            let draw = shares.draw(weights.len(), true);
            let mut rng = fastrand::Rng::with_seed(seed);
            let all: u32 = weights.iter().map(|w| u32::from(*w)).sum();
            prop_assume!(all > 0);
            let mut counts = vec![0; weights.len()];

            for _ in 0..4000 {
                let first = draw.any(&mut rng);
                counts[first] += 1;
                match draw.other(&mut rng, first) {
                    Some(other) => prop_assert!(other != first && weights[other] > 0),
                    None => prop_assert_eq!(u32::from(weights[first]), all),
                }
            }

            for (count, weight) in counts.into_iter().zip(weights) {
                let expected = 4000.0 * f64::from(weight) / f64::from(all);
                // Seven times what chance makes of it: once in a hundred billion endpoints.
                prop_assert!((f64::from(count) - expected).abs() <= 7.0 * expected.sqrt() + 1.0, "{count} {expected}");
                prop_assert!(weight > 0 || count == 0);
            }
        }
    }

    #[test]
    fn only_for_a_much_better_one_it_is_worth_to_wait() {
        let shares = Shares::new([10, 41, 40]);
        let waits = |here: usize, coming: usize| {
            shares.much_better_is_coming(3, |index| index == here, |index| index == coming)
        };

        assert_eq!((waits(0, 1), waits(0, 2), waits(1, 0)), (true, false, false));
        assert!(!waits(9, 1), "nobody is here");
        assert!(!Shares::default().much_better_is_coming(3, |index| index == 0, |index| index == 1));
    }

    #[test]
    fn without_weights_all_are_alike() {
        for shares in [Shares::default(), Shares::new([0, 0, 0])] {
            let draw = shares.draw(3, true);

            assert_eq!([0, 1, 2].map(|index| draw.weight(index)), [1, 1, 1]);
        }
        let unweighted = Shares::new([5, 0, 900]);
        assert_eq!(unweighted.draw(3, false).weight(1), 1);
    }
}
