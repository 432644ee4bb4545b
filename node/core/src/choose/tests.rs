//! Who may be picked, who is, and what is said when nobody is.

use proptest::prelude::*;

use sinew_api::snapshot::WEIGHT_MAX;

use super::*;
use crate::breaker::BreakerState;
use crate::mechanisms::Mechanism;

const NOW: u64 = 10_000_000;
const ALL: Mechanisms = Mechanisms { failover: true, latency: true, probation: true, weights: true };

/// What a candidate is made of.
#[derive(Debug)]
struct Endpoint {
    load: Load,
    breaker: Breaker,
    unusable: bool,
    tried: bool,
    weight: u16,
}

impl Default for Endpoint {
    fn default() -> Self {
        let (load, breaker) = (Load::default(), Breaker::default());
        Self { load, breaker, unusable: false, tried: false, weight: WEIGHT_MAX }
    }
}

impl Endpoint {
    fn weighing(weight: u16) -> Self {
        Self { weight, ..Self::default() }
    }

    fn measured(latency_us: u64) -> Self {
        let endpoint = Self::default();
        endpoint.load.on_latency(NOW, latency_us);
        endpoint
    }

    /// Refused `ago_us` ago, for the first time.
    fn refused(ago_us: u64) -> Self {
        let endpoint = Self::default();
        endpoint.breaker.on_refused(NOW - ago_us, &mut rng());
        endpoint
    }

    fn unusable() -> Self {
        Self { unusable: true, ..Self::default() }
    }

    fn tried() -> Self {
        Self { tried: true, ..Self::default() }
    }
}

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(42)
}

fn pick(
    endpoints: &[Endpoint],
    rng: &mut fastrand::Rng,
    mechanisms: Mechanisms,
) -> Result<usize, Unavailable> {
    let shares = Shares::new(endpoints.iter().map(|endpoint| endpoint.weight));
    let candidate = |index: usize| {
        let endpoint: &Endpoint = &endpoints[index];
        Candidate {
            load: &endpoint.load,
            breaker: &endpoint.breaker,
            usable: !endpoint.unusable,
            tried: endpoint.tried,
        }
    };
    choose_by(NOW, rng, endpoints.len(), &shares, candidate, mechanisms)
}

/// How often each of `endpoints` is picked in 3000 picks; an open breaker is a failure.
fn counts(endpoints: &[Endpoint], mechanisms: Mechanisms) -> Vec<u32> {
    let mut rng = rng();
    let mut counts = vec![0; endpoints.len()];
    for _ in 0..3000 {
        counts[pick(endpoints, &mut rng, mechanisms).expect("some are eligible")] += 1;
    }
    counts
}

fn fresh(count: usize) -> Vec<Endpoint> {
    (0..count).map(|_| Endpoint::default()).collect()
}

#[test]
fn equal_endpoints_get_equal_shares() {
    for count in [1, 2, 3, 10, 64, 65, 300] {
        let counts = counts(&fresh(count), ALL);

        let fair = 3000 / u32::try_from(count).expect("small");
        for got in counts {
            assert!(got > 0 && got < fair * 4 + 20, "{got} of {fair} among {count}");
        }
    }
}

#[test]
fn of_two_the_faster_gets_everything_and_of_three_the_slowest_nothing() {
    assert_eq!(counts(&[Endpoint::measured(5000), Endpoint::measured(7000)], ALL), [3000, 0]);

    let three = counts(&[Endpoint::measured(7000), Endpoint::measured(6000), Endpoint::measured(5000)], ALL);
    assert_eq!(three[0], 0);
    assert!((850..1150).contains(&three[1]), "{three:?}");
}

#[test]
fn without_latency_everybody_gets_the_same() {
    let endpoints = [Endpoint::measured(5000), Endpoint::measured(500_000), Endpoint::measured(7000)];

    let counts = counts(&endpoints, ALL.without(Mechanism::Latency));

    assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
}

#[test]
fn without_failover_refusals_silence_and_earlier_tries_do_not_matter() {
    let endpoints = [Endpoint::refused(1000), Endpoint::unusable(), Endpoint::tried()];

    let counts = counts(&endpoints, ALL.without(Mechanism::Failover));

    assert!(counts.iter().all(|n| *n > 0), "{counts:?}");
    assert_eq!(pick(&[], &mut rng(), ALL.without(Mechanism::Failover)), Err(Unavailable::NoEndpoint));
}

#[test]
fn an_endpoint_whose_back_off_is_over_gets_the_next_pick_and_only_that() {
    for others in [1, 20, 63] {
        let mut endpoints = fresh(others);
        endpoints.push(Endpoint::refused(150_000));

        let picks: Vec<_> = (0..50)
            .map(|seed| {
                pick(&endpoints, &mut fastrand::Rng::with_seed(seed), ALL).expect("some are eligible")
            })
            .collect();

        assert_eq!(picks[0], others, "the probe comes first");
        assert!(picks[1..].iter().all(|index| *index != others), "and alone");
    }
}

#[test]
fn among_very_many_a_due_probe_is_taken_once_some_pick_meets_it() {
    let mut endpoints = fresh(999);
    endpoints.push(Endpoint::refused(150_000));
    let mut rng = rng();

    let probes = (0..20_000).filter(|_| pick(&endpoints, &mut rng, ALL) == Ok(999)).count();

    assert_eq!(probes, 1);
}

#[test]
fn without_probation_an_endpoint_that_refused_is_never_picked_again() {
    let mechanisms = ALL.without(Mechanism::Probation);

    assert_eq!(counts(&[Endpoint::default(), Endpoint::refused(9_000_000)], mechanisms), [3000, 0]);
    assert_eq!(pick(&[Endpoint::refused(9_000_000)], &mut rng(), mechanisms), Err(Unavailable::AllOpen));
}

#[test]
fn an_endpoint_that_is_unusable_or_tried_is_not_probed() {
    let mut unusable = Endpoint::refused(150_000);
    unusable.unusable = true;
    let mut tried = Endpoint::refused(150_000);
    tried.tried = true;
    let endpoints = [unusable, tried];

    assert_eq!(pick(&endpoints, &mut rng(), ALL), Err(Unavailable::NoneUsable));

    assert!(endpoints.iter().all(|e| e.breaker.state(NOW) == BreakerState::Open));
}

#[test]
fn the_reason_nearest_to_being_over_is_told() {
    let why = |endpoints: &[Endpoint]| pick(endpoints, &mut rng(), ALL).expect_err("nobody is eligible");
    let open = || Endpoint::refused(1000);

    assert_eq!(why(&[]), Unavailable::NoEndpoint);
    assert_eq!(why(&[Endpoint::tried()]), Unavailable::AllTried);
    assert_eq!(why(&[Endpoint::tried(), Endpoint::unusable()]), Unavailable::NoneUsable);
    assert_eq!(why(&[Endpoint::tried(), Endpoint::unusable(), open()]), Unavailable::AllOpen);
    assert!(!why(&[Endpoint::tried()]).can_wait());
    assert!(why(&[open()]).can_wait() && why(&[Endpoint::unusable()]).can_wait() && why(&[]).can_wait());
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let sample = prop::option::of(1u64..100_000);
    (sample, 0u32..4, prop::option::of(0u64..300_000), any::<bool>(), any::<bool>()).prop_map(
        |(sample, in_flight, refused, unusable, tried)| {
            let endpoint = refused.map_or_else(Endpoint::default, Endpoint::refused);
            sample.into_iter().for_each(|us| endpoint.load.on_latency(NOW, us));
            (0..in_flight).for_each(|_| endpoint.load.on_open());
            Endpoint { unusable, tried, ..endpoint }
        },
    )
}

proptest! {
    #[test]
    fn whoever_is_picked_was_eligible_and_nobody_is_picked_only_if_nobody_was(
        seed: u64,
        endpoints in prop_oneof![
            prop::collection::vec(endpoint(), 0..6),
            prop::collection::vec(endpoint(), 60..200),
        ],
    ) {
        let eligible: Vec<bool> = endpoints
            .iter()
            .map(|e| !e.unusable && !e.tried && (e.breaker.is_closed() || e.breaker.is_due(NOW)))
            .collect();

        match pick(&endpoints, &mut fastrand::Rng::with_seed(seed), ALL) {
            Ok(index) => prop_assert!(eligible[index]),
            Err(_) => prop_assert!(!eligible.contains(&true)),
        }
    }

    #[test]
    fn without_an_own_view_shares_are_what_weights_say_among_those_that_are_eligible(
        seed: u64,
        weights in prop_oneof![
            prop::collection::vec((1..=WEIGHT_MAX, any::<bool>()), 2..8),
            prop::collection::vec((1..=WEIGHT_MAX, any::<bool>()), 65..100),
        ],
    ) {
        let endpoints: Vec<_> = weights
            .iter()
            .map(|(weight, out)| Endpoint { unusable: *out, ..Endpoint::weighing(*weight) })
            .collect();
        let all: u32 = weights.iter().filter(|(_, out)| !out).map(|(weight, _)| u32::from(*weight)).sum();
        prop_assume!(all > 0);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut counts = vec![0_u32; weights.len()];

        for _ in 0..2000 {
            counts[pick(&endpoints, &mut rng, ALL.without(Mechanism::Latency)).expect("some are eligible")] += 1;
        }

        for (count, (weight, out)) in counts.into_iter().zip(weights) {
            let expected = if out { 0.0 } else { 2000.0 * f64::from(weight) / f64::from(all) };
            prop_assert!((f64::from(count) - expected).abs() <= 6.0 * expected.sqrt() + 1.0, "{count} {expected}");
        }
    }
}

#[test]
fn where_nothing_was_measured_shares_are_what_weights_say_also_between_two() {
    let counts = counts(&[Endpoint::weighing(WEIGHT_MAX), Endpoint::weighing(WEIGHT_MAX / 10)], ALL);

    assert!((200..350).contains(&counts[1]), "an eleventh: {counts:?}");
}

#[test]
fn the_own_view_overrides_a_weight_by_as_much_as_the_weight_stands_for() {
    let lighter = |latency_us| Endpoint { weight: WEIGHT_MAX / 10, ..Endpoint::measured(latency_us) };

    let nine_times = counts(&[Endpoint::measured(9000), lighter(1000)], ALL);
    let eleven_times = counts(&[Endpoint::measured(11_000), lighter(1000)], ALL);

    assert!(nine_times[0] > 2600, "{nine_times:?}");
    assert_eq!(eleven_times, [0, 3000]);
}

#[test]
fn an_endpoint_of_weight_0_is_taken_only_when_no_other_is_eligible() {
    for others in [1, 10, 100] {
        let mut endpoints = fresh(others);
        endpoints.push(Endpoint { weight: 0, ..Endpoint::measured(1) });
        assert_eq!(counts(&endpoints, ALL)[others], 0, "{others}");

        endpoints[..others].iter_mut().for_each(|endpoint| endpoint.unusable = true);
        assert_eq!(counts(&endpoints, ALL)[others], 3000, "{others}");
    }
}

#[test]
fn without_weights_draws_are_even() {
    let endpoints = [Endpoint::weighing(WEIGHT_MAX), Endpoint::weighing(1), Endpoint::weighing(0)];

    let counts = counts(&endpoints, ALL.without(Mechanism::Weights));

    assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
}

#[test]
fn a_pick_looks_at_a_bounded_number_of_candidates_while_some_can_be_drawn() {
    for weights in [[1, WEIGHT_MAX], [WEIGHT_MAX, WEIGHT_MAX]] {
        let endpoints: Vec<_> =
            (0..10_000).map(|n| Endpoint::weighing(weights[usize::from(n > 0)])).collect();
        let shares = Shares::new(endpoints.iter().map(|endpoint| endpoint.weight));
        let looks = std::cell::Cell::new(0);
        let candidate = |index: usize| {
            looks.set(looks.get() + 1);
            let Endpoint { load, breaker, .. } = &endpoints[index];
            // Every other one is out.
            Candidate { load, breaker, usable: index.is_multiple_of(2), tried: false }
        };
        for seed in 0..1000 {
            looks.set(0);
            let mut rng = fastrand::Rng::with_seed(seed);

            choose_by(NOW, &mut rng, endpoints.len(), &shares, candidate, ALL).expect("some are eligible");

            assert!(looks.get() <= DRAWS_MAX + 2, "{} looks", looks.get());
        }
    }
}
