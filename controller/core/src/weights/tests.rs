//! What weights do over time: reports in, weights out, once a second.

use sinew_api::control::{EndpointReport, LinkReport, LinkState};
use sinew_api::weights::Measured;

use super::*;

const MS: u64 = 1000;

/// Seconds of a story, with what each caller says in each.
struct Story {
    weights: Weights,
    scene: Scene,
    second: u64,
    told: usize,
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn orders() -> ServiceName {
    ServiceName::new("orders").expect("valid")
}

fn zone(name: &str) -> Option<Zone> {
    (!name.is_empty()).then(|| name.parse().expect("valid"))
}

fn id(name: &str) -> EndpointId {
    EndpointId { node: node(name), slot: 0 }
}

fn link(to: &str, rtt_us: u64) -> LinkReport {
    LinkReport { node: node(to), state: LinkState::Up, rtt_us, loss_ppm: 0 }
}

/// Of `to`: 50 turns of `latency_us`, all well.
fn seen(to: &str, latency_us: u64) -> EndpointReport {
    EndpointReport {
        service: orders(),
        endpoint: id(to),
        latency_us,
        turns: 50,
        in_flight: 1,
        successes: 50,
        errors: 0,
    }
}

fn report(links: Vec<LinkReport>, endpoints: Vec<EndpointReport>) -> Report {
    Report { certificate_expiry: 0, certificate_issued: 0, clock_ms: 0, links, endpoints, ext: Vec::new() }
}

impl Story {
    /// Endpoints of orders and its callers, each with a zone, or none when that is empty.
    fn new(endpoints: &[(&str, &str)], callers: &[(&str, &str)]) -> Self {
        let candidate = |(name, at): &(&str, &str)| Candidate { id: id(name), zone: zone(at), capacity: 100 };
        let scene = Scene {
            endpoints: endpoints.iter().map(candidate).collect(),
            callers: callers.iter().map(|(name, at)| (node(name), zone(at))).collect(),
        };
        let mut weights = Weights::default();
        weights.fill(&orders(), &scene);
        Self { weights, scene, second: 0, told: 0 }
    }

    fn says(&mut self, caller: &str, links: Vec<LinkReport>, endpoints: Vec<EndpointReport>) {
        self.weights.on_report(&node(caller), &report(links, endpoints), |_, _| true);
    }

    /// The second is over.
    fn tick(&mut self) {
        self.second += 1;
        self.weights.fold(Duration::from_secs(self.second));
        self.told += self.weights.publish(&orders(), &self.scene).len();
    }

    fn weight(&self, caller: &str, endpoint: &str) -> u16 {
        self.weights.told(&orders(), &node(caller), &id(endpoint))
    }

    fn weights(&self, caller: &str) -> Vec<u16> {
        self.scene.endpoints.iter().map(|c| self.weights.told(&orders(), &node(caller), &c.id)).collect()
    }

    /// The part of a caller's connections that an endpoint gets by weight alone.
    fn share(&self, caller: &str, endpoint: &str) -> f64 {
        let all: u32 = self.weights(caller).into_iter().map(u32::from).sum();
        f64::from(self.weight(caller, endpoint)) / f64::from(all)
    }
}

#[test]
fn as_long_as_nothing_was_measured_all_are_equal_and_nobody_is_told_anything() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("caller", "")]);

    (0..10).for_each(|_| story.tick());

    assert_eq!(story.weights("caller"), [WEIGHT_MAX, WEIGHT_MAX]);
    assert_eq!(story.told, 0);
}

#[test]
fn an_endpoint_that_slows_by_100_ms_is_left_with_under_a_tenth_after_two_reports() {
    let mut story = Story::new(&[("n1", ""), ("n2", ""), ("n3", "")], &[("caller", "")]);
    let fast = |to| seen(to, 2 * MS);
    for _ in 0..30 {
        story.says("caller", vec![], vec![fast("n1"), fast("n2"), fast("n3")]);
        story.tick();
    }
    assert_eq!(story.told, 0, "equal ones stay as they are");

    let mut shares = Vec::new();
    for _ in 0..5 {
        let all = ["n1", "n2", "n3"].map(|to| link(to, 200)).to_vec();
        story.says("caller", all, vec![seen("n1", 102 * MS), fast("n2"), fast("n3")]);
        story.tick();
        shares.push(story.share("caller", "n1"));
    }

    assert!(shares[1] < 0.10, "{shares:?}");
    assert!(shares[4] < 0.03, "{shares:?}");
    assert!(story.weight("caller", "n1") >= formula::WEIGHT_FLOOR);
}

#[test]
fn an_endpoint_that_its_callers_left_at_its_first_slow_answers_is_left_by_weights_too() {
    let mut story = Story::new(&[("n1", ""), ("n2", ""), ("n3", "")], &[("caller", "")]);
    let links = || ["n1", "n2", "n3"].map(|to| link(to, 200)).to_vec();
    let fast = |to| seen(to, 12 * MS);
    for _ in 0..10 {
        story.says("caller", links(), vec![fast("n1"), fast("n2"), fast("n3")]);
        story.tick();
    }

    // What was in flight when it slowed is all that is ever measured: the caller's own view leaves it at once.
    let last = EndpointReport { turns: 10, ..seen("n1", 412 * MS) };
    story.says("caller", links(), vec![last, fast("n2"), fast("n3")]);
    story.tick();
    for _ in 0..4 {
        story.says("caller", links(), vec![fast("n2"), fast("n3")]);
        story.tick();
    }

    // Within a factor of two of the truth, 13 of 413.
    assert!(story.weight("caller", "n1") < 2 * 13 * WEIGHT_MAX / 413 + 10, "{:?}", story.weights("caller"));
}

#[test]
fn a_node_that_never_called_an_endpoint_expects_what_others_see_minus_their_link_plus_its_own() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("near", ""), ("fresh", "")]);
    // n1 works 5 ms and is 1 ms away from `near`; n2 works 20 ms, and is as far.
    for _ in 0..5 {
        let endpoints = vec![seen("n1", 6 * MS), seen("n2", 21 * MS)];
        story.says("near", vec![link("n1", MS), link("n2", MS)], endpoints);
        story.says("fresh", vec![link("n1", 100 * MS), link("n2", MS)], vec![]);
        story.tick();
    }

    // A grain of 1 ms on both sides: 7 of 22 for `near`, 22 of 106 for `fresh`.
    assert!(story.weight("near", "n1") == WEIGHT_MAX && story.weight("fresh", "n2") == WEIGHT_MAX);
    assert!(story.weight("near", "n2").abs_diff(318) <= 70, "{}", story.weight("near", "n2"));
    assert!(story.weight("fresh", "n1").abs_diff(208) <= 50, "{}", story.weight("fresh", "n1"));
}

#[test]
fn a_caller_or_an_endpoint_that_is_new_has_weights_before_its_first_pick() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("caller", "")]);
    for _ in 0..5 {
        story.says(
            "caller",
            vec![link("n1", MS), link("n2", MS)],
            vec![seen("n1", 100 * MS), seen("n2", 2 * MS)],
        );
        story.tick();
    }

    story.scene.callers.insert(node("late"), None);
    story.scene.endpoints.push(Candidate { id: id("n3"), zone: None, capacity: 100 });
    let concerned = story.weights.fill(&orders(), &story.scene);

    assert_eq!(concerned, [node("late")].into(), "the others hold what is right for a new endpoint");
    assert!(story.share("late", "n1") < 0.05, "{:?}", story.weights("late"));
    assert_eq!((story.weight("late", "n3"), story.weight("caller", "n3")), (WEIGHT_MAX, WEIGHT_MAX));
}

#[test]
fn an_endpoint_that_was_slow_and_that_nobody_calls_comes_back_and_counts_in_full_when_measured() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("caller", "")]);
    for _ in 0..5 {
        story.says(
            "caller",
            vec![link("n1", MS), link("n2", MS)],
            vec![seen("n1", 1000 * MS), seen("n2", 2 * MS)],
        );
        story.tick();
    }
    assert!(story.weight("caller", "n1") < 10);

    let mut back_after = None;
    for second in 0..180 {
        story.says("caller", vec![link("n1", MS), link("n2", MS)], vec![seen("n2", 2 * MS)]);
        story.tick();
        if back_after.is_none() && story.weight("caller", "n1") > WEIGHT_MAX / 4 {
            back_after = Some(second);
        }
    }
    let back_after = back_after.expect("comes back");
    assert!((30..120).contains(&back_after), "after {back_after} s");

    // Still slow: it is left again at once.
    story.says(
        "caller",
        vec![link("n1", MS), link("n2", MS)],
        vec![seen("n1", 1000 * MS), seen("n2", 2 * MS)],
    );
    story.tick();
    assert!(story.weight("caller", "n1") < 10, "{:?}", story.weights("caller"));
}

#[test]
fn one_failure_is_no_proof_and_failing_always_is() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("caller", "")]);
    let failing = |errors| EndpointReport { successes: 0, errors, ..seen("n1", 2 * MS) };
    let links = || vec![link("n1", MS), link("n2", MS)];

    story.says("caller", links(), vec![failing(1), seen("n2", 2 * MS)]);
    story.tick();
    let after_one = story.weight("caller", "n1");
    for _ in 0..3 {
        story.says("caller", links(), vec![failing(20), seen("n2", 2 * MS)]);
        story.tick();
    }

    assert!(after_one > WEIGHT_MAX / 3, "{after_one}");
    assert!(story.weight("caller", "n1") < 10, "{:?}", story.weights("caller"));
}

#[test]
fn reports_that_differ_by_10_percent_cause_no_push_at_all() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut story = Story::new(&[("n1", ""), ("n2", ""), ("n3", "")], &[("a", ""), ("b", "")]);
        for _ in 0..300 {
            for caller in ["a", "b"] {
                let mut noisy = |to| seen(to, rng.u64(9 * MS..11 * MS));
                let endpoints = vec![noisy("n1"), noisy("n2"), noisy("n3")];
                let links = ["n1", "n2", "n3"].map(|to| link(to, rng.u64(900..1100)));
                story.says(caller, links.to_vec(), endpoints);
            }
            story.tick();
        }

        assert_eq!(story.told, 0, "seed {seed}");
    }
}

#[test]
fn heavy_noise_is_told_rarely_and_weights_do_not_swing() {
    let mut told = 0;
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut story = Story::new(&[("n1", ""), ("n2", ""), ("n3", "")], &[("a", "")]);
        for second in 0..300 {
            // Anything between half and twice 10 ms.
            let mut noisy = |to| seen(to, (10_000.0 * 2_f64.powf(rng.f64() * 2.0 - 1.0)) as u64);
            let endpoints = vec![noisy("n1"), noisy("n2"), noisy("n3")];
            story.says("a", ["n1", "n2", "n3"].map(|to| link(to, MS)).to_vec(), endpoints);
            story.tick();
            if second > 30 {
                let least = story.weights("a").into_iter().min().expect("three");
                assert!(least > WEIGHT_MAX / 2, "seed {seed}, second {second}: {:?}", story.weights("a"));
            }
        }
        told += story.told;
    }

    // 100 minutes in all.
    assert!(told <= 600, "{told} pushes in 20 times 5 minutes: more than 6 a minute");
}

#[test]
fn load_that_makes_endpoints_slow_is_shared_and_settles() {
    // The latency of n1 and n2 depends on what they get; n1 has half the cores.
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("a", "")]);
    let latency = |used: f64| (2_000.0 / (1.0 - used.min(0.98))) as u64;
    let mut shares = Vec::new();
    for _ in 0..200 {
        let share = story.share("a", "n1");
        let endpoints = vec![seen("n1", latency(share * 1.8)), seen("n2", latency((1.0 - share) * 0.9))];
        story.says("a", vec![link("n1", MS), link("n2", MS)], endpoints);
        story.tick();
        shares.push(story.share("a", "n1"));
    }

    let last = &shares[100..];
    let (least, most) = last.iter().fold((1.0_f64, 0.0_f64), |(a, b), s| (a.min(*s), b.max(*s)));
    assert!(most - least < 0.10, "between {least} and {most}");
    assert!((0.25..0.45).contains(&least), "{least}");
}

#[test]
fn every_weight_is_explained_by_what_it_was_made_from() {
    let mut story = Story::new(&[("n1", "eu"), ("n2", "us")], &[("caller", "eu"), ("late", "eu")]);
    for _ in 0..5 {
        let links = vec![link("n1", MS), LinkReport { loss_ppm: 10_000, ..link("n2", 80 * MS) }];
        story.says("caller", links, vec![seen("n1", 5 * MS)]);
        story.tick();
    }

    let why = story.weights.explain(&orders(), &story.scene);

    let [caller, late] = &why.sources[..] else { panic!("two callers: {why:?}") };
    let [n1, n2] = &caller.endpoints[..] else { panic!("two endpoints: {why:?}") };
    assert_eq!((n1.weight, n1.target, n1.factors.measured), (WEIGHT_MAX, WEIGHT_MAX, Measured::Fresh));
    assert!(n1.factors.work_us.abs_diff(4 * MS) < 100 && n1.factors.link_us.abs_diff(MS) < 50, "{n1:?}");
    assert_eq!(n2.factors.measured, Measured::Never);
    // 80 ms and two packets of which 1 % are lost, each for 185 ms.
    assert!(n2.factors.link_us.abs_diff(83_700) < 500, "{n2:?}");
    assert!(n2.weight < WEIGHT_MAX / 100 && n2.factors.zone < 0.02, "{n2:?}");
    assert!(caller.endpoints[0].factors.link_measured && !late.endpoints[0].factors.link_measured);
    assert_eq!(late.endpoints[0].factors.link_us, n1.factors.link_us, "as its neighbour sees it");
}

#[test]
fn what_a_node_may_not_speak_of_is_not_read_and_a_node_that_is_gone_is_forgotten() {
    let mut story = Story::new(&[("n1", ""), ("n2", "")], &[("caller", "")]);
    let slander = report(vec![link("n1", MS), link("n2", MS)], vec![seen("n1", 9000 * MS), seen("n2", MS)]);
    story.weights.on_report(&node("stranger"), &slander, |_, _| false);
    story.tick();
    assert_eq!(story.weights("caller"), [WEIGHT_MAX, WEIGHT_MAX]);

    story.says("caller", slander.links, slander.endpoints);
    story.tick();
    for gone in ["n1", "n2", "caller", "stranger"] {
        story.weights.forget(&node(gone));
    }

    assert!(story.weights.services().is_empty());
    assert_eq!(story.weights("caller"), [WEIGHT_MAX, WEIGHT_MAX]);
}
