//! What holds for weights whatever went into them.

use proptest::prelude::*;

use super::*;

fn input() -> impl Strategy<Value = Input> {
    (1..10_000_u32, 1000.0..1e7_f64, 0.001..=1.0_f64, any::<bool>()).prop_map(
        |(capacity, turn_us, success, near)| Input { capacity: f64::from(capacity), turn_us, success, near },
    )
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    prop::collection::vec(input(), 1..12)
}

fn demand() -> impl Strategy<Value = Demand> {
    (0.0..100.0_f64, 0.0..=1.0_f64).prop_map(|(in_flight, share)| Demand { in_flight, share })
}

fn weights(inputs: &[Input], demand: Demand) -> Vec<u16> {
    weigh(inputs, demand).endpoints.into_iter().map(|(_, weight)| weight).collect()
}

/// Shares without the rounding of weights.
fn shares(inputs: &[Input], demand: Demand) -> Vec<f64> {
    let zones = weigh(inputs, demand).endpoints;
    let raw: Vec<_> =
        inputs.iter().zip(zones).map(|(i, (zone, _))| i.capacity / i.turn_us * i.success * zone).collect();
    let all: f64 = raw.iter().sum();
    raw.into_iter().map(|raw| raw / all).collect()
}

proptest! {
    #[test]
    fn weights_are_bounded_and_the_best_has_the_most(inputs in inputs(), demand in demand()) {
        let weights = weights(&inputs, demand);

        prop_assert_eq!(weights.iter().max(), Some(&WEIGHT_MAX));
    }

    #[test]
    fn a_slower_endpoint_never_gets_more(inputs in inputs(), demand in demand(), at: prop::sample::Index, by in 1.0..100.0_f64) {
        let at = at.index(inputs.len());
        let before = weights(&inputs, demand)[at];
        let mut slower = inputs.clone();
        slower[at].turn_us *= by;

        prop_assert!(weights(&slower, demand)[at] <= before);
        prop_assert!(shares(&slower, demand)[at] <= shares(&inputs, demand)[at] * 1.000_001);
    }

    #[test]
    fn an_endpoint_that_fails_more_never_gets_more(inputs in inputs(), demand in demand(), at: prop::sample::Index, left in 0.01..=1.0_f64) {
        let at = at.index(inputs.len());
        let before = weights(&inputs, demand)[at];
        let mut failing = inputs.clone();
        failing[at].success *= left;

        prop_assert!(weights(&failing, demand)[at] <= before);
    }

    #[test]
    fn more_capacity_never_gets_less(inputs in inputs(), demand in demand(), at: prop::sample::Index, by in 1.0..100.0_f64) {
        let at = at.index(inputs.len());
        let before = weights(&inputs, demand)[at];
        let mut more = inputs.clone();
        more[at].capacity *= by;

        prop_assert!(weights(&more, demand)[at] >= before);
        prop_assert!(shares(&more, demand)[at] >= shares(&inputs, demand)[at] * 0.999_999);
    }

    #[test]
    fn there_is_no_cliff(
        inputs in inputs(),
        demand in demand(),
        changes in prop::collection::vec((0.99..1.01_f64, 0.99..1.01_f64, 0.995..=1.0_f64), 12),
        load in (0.99..1.01_f64, 0.99..1.01_f64),
    ) {
        let changed: Vec<_> = inputs.iter().zip(changes).map(|(input, (capacity, turn, success))| Input {
            capacity: input.capacity * capacity,
            turn_us: input.turn_us * turn,
            success: input.success * success,
            near: input.near,
        }).collect();
        let more = Demand { in_flight: demand.in_flight * load.0, share: (demand.share * load.1).min(1.0) };

        // Everything has moved by a percent at most.
        for (before, after) in shares(&inputs, demand).into_iter().zip(shares(&changed, more)) {
            prop_assert!((before - after).abs() < 0.06, "{before} {after}");
        }
    }

    #[test]
    fn the_more_a_zone_is_loaded_the_more_spills(inputs in inputs(), demand in demand(), by in 1.0..10.0_f64) {
        let more = Demand { in_flight: demand.in_flight * by, share: (demand.share * by).min(1.0) };

        prop_assert!(weigh(&inputs, more).spill >= weigh(&inputs, demand).spill);
    }
}

fn at(near: bool, turn_us: f64) -> Input {
    Input { capacity: 100.0, turn_us, success: 1.0, near }
}

fn near_share(inputs: &[Input], demand: Demand) -> f64 {
    shares(inputs, demand).iter().zip(inputs).filter(|(_, input)| input.near).map(|(share, _)| share).sum()
}

const QUIET: Demand = Demand { in_flight: 0.5, share: 1.0 };

#[test]
fn a_zone_that_is_not_loaded_keeps_nearly_everything_however_small_its_part() {
    let inputs = [at(true, 2000.0), at(false, 2000.0), at(false, 2000.0), at(false, 2000.0)];

    let near = near_share(&inputs, QUIET);

    assert!((0.985..1.0).contains(&near), "{near}");
}

#[test]
fn a_loaded_zone_keeps_its_capacitys_part_and_the_headroom_and_the_rest_spills() {
    let inputs = [at(true, 2000.0), at(false, 2000.0), at(false, 2000.0), at(false, 2000.0)];
    let loaded = Demand { in_flight: 50.0, share: 1.0 };

    let near = near_share(&inputs, loaded);

    // A quarter of the capacity, and 40 % more.
    assert!((near - 0.35).abs() < 0.001, "{near}");
}

#[test]
fn zones_that_are_loaded_alike_keep_their_own() {
    let inputs = [at(true, 2000.0), at(false, 2000.0)];
    let half = Demand { in_flight: 50.0, share: 0.5 };

    assert!(near_share(&inputs, half) > 0.98);
}

#[test]
fn spilling_begins_where_the_headroom_ends_and_grows_from_nothing() {
    let inputs = [at(true, 2000.0), at(false, 2000.0)];
    let spill =
        |percent: u32| weigh(&inputs, Demand { in_flight: 50.0, share: f64::from(percent) / 100.0 }).spill;

    let spills: Vec<_> = (0..=100).map(spill).collect();

    assert_eq!(spills[70], 0.0, "1.4 times half of the capacity");
    assert!(spills.windows(2).all(|pair| (0.0..0.015).contains(&(pair[1] - pair[0]))), "{spills:?}");
    assert!(spills[100] > 0.29, "{}", spills[100]);
}

#[test]
fn a_near_endpoint_that_is_alone_and_slow_is_left_and_one_that_is_a_little_slower_is_not() {
    let shares = |near_us| near_share(&[at(true, near_us), at(false, 2000.0)], QUIET);

    assert!(shares(3900.0) > 0.97, "{}", shares(3900.0));
    assert!(shares(100_000.0) < 0.01, "{}", shares(100_000.0));
}

#[test]
fn where_no_endpoint_is_near_zones_do_not_matter() {
    assert_eq!(weights(&[at(false, 2000.0), at(false, 4000.0)], QUIET), [WEIGHT_MAX, WEIGHT_MAX / 2]);
}

#[test]
fn a_near_endpoint_keeps_a_weight_however_slow_it_is() {
    let weights = weights(&[at(true, 1000.0), at(true, 1e9)], Demand { in_flight: 1.0, share: 1.0 });

    assert_eq!(weights, [WEIGHT_MAX, WEIGHT_FLOOR], "else nobody would see it recover");
}
