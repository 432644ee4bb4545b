//! The formula: what is known of a service's endpoints, seen from one caller → how much each should get.
//!
//! `weight = capacity × 1 / turn × success × zone`, scaled so that the best gets [`WEIGHT_MAX`].
//!
//! **Turn** to the first power: an endpoint that takes twice as long gets half. A higher power would prefer
//! the fastest more, and make weights and load chase each other.
//!
//! **Zone** is 1 for endpoints in the caller's zone. The others get what spills, the largest of:
//! - [`TRICKLE`], so that somebody knows how they are when they are needed;
//! - *loaded*: the callers of the zone have more of the service's connections than [`HEADROOM`] times their
//!   zone's part of its capacity. Demand is counted where it comes from, not where it goes to: what spills does
//!   not change it, so nothing swings. A zone in which endpoints have about one connection at a time
//!   ([`LIGHT`]) is not loaded, whatever its part;
//! - *slow*, for each far endpoint by itself: it answers this caller, its link included, in less than half
//!   ([`SLOW_TOLERANCE`]) of what the best near one takes.
//!
//! All of it is continuous: a small change of anything makes a small change of all shares. A slower endpoint
//! never gets more, and more capacity never gets less; for the last, spilling by slowness looks at single
//! endpoints and never at the mean of a zone, which a slow giant could spoil.

use sinew_api::snapshot::WEIGHT_MAX;

/// What always leaves a zone that has endpoints of its own.
pub(super) const TRICKLE: f64 = 0.01;

/// The most that leaves it.
const SPILL_MAX: f64 = 0.99;

/// How many times its part of the demand a zone takes before it spills. Envoy's overprovisioning factor.
pub(super) const HEADROOM: f64 = 1.4;

/// Connections at a time at each near endpoint, up to which their zone is not loaded.
pub(super) const LIGHT: f64 = 1.0;

/// The same, from which on it is judged by its part alone.
pub(super) const BUSY: f64 = 4.0;

/// How many times as long as a far endpoint the best near one may take before its callers leave.
pub(super) const SLOW_TOLERANCE: f64 = 2.0;

/// The least weight of a near endpoint, 0.2 % of the best one's: also the slowest is measured now and then.
pub(super) const WEIGHT_FLOOR: u16 = 2;

/// One endpoint, seen from one caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Input {
    /// At least 1.
    pub(super) capacity: f64,
    /// What a turn takes, link included; above 0.
    pub(super) turn_us: f64,
    /// What failing leaves of it, above 0, at most 1.
    pub(super) success: f64,
    /// Whether it is in the caller's zone.
    pub(super) near: bool,
}

/// What the callers of one zone ask of the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Demand {
    /// Connections in progress.
    pub(super) in_flight: f64,
    /// Their part of all callers', 0 to 1.
    pub(super) share: f64,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighed {
    /// By endpoint, as they came: the factor of its zone, and its weight.
    pub(super) endpoints: Vec<(f64, u16)>,
    /// The near ones' part of the capacity.
    pub(super) capacity_share: f64,
    /// What leaves the zone because it is loaded.
    pub(super) spill: f64,
}

/// Weighs a service's endpoints for one caller.
pub(super) fn weigh(inputs: &[Input], demand: Demand) -> Weighed {
    let zones = Zones::of(inputs, demand);
    let raw = |input: &Input| {
        let zone = zones.factor(input);
        (zone, input.capacity / input.turn_us * input.success * zone)
    };
    let raws: Vec<_> = inputs.iter().map(raw).collect();
    let best = raws.iter().map(|(_, raw)| *raw).fold(f64::MIN_POSITIVE, f64::max);
    let weight = |(input, (zone, raw)): (&Input, (f64, f64))| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1, scaled")]
        let weight = (raw / best * f64::from(WEIGHT_MAX)).round() as u16;
        let floor = if zones.prefers(input) { WEIGHT_FLOOR } else { 0 };
        (zone, weight.max(floor))
    };
    let endpoints = inputs.iter().zip(raws).map(weight).collect();
    Weighed { endpoints, capacity_share: zones.capacity_share, spill: zones.loaded }
}

/// What all endpoints say about the near ones.
struct Zones {
    /// Whether there are both near and far ones; otherwise no zone is preferred.
    split: bool,
    /// Near capacity, far capacity.
    capacity: (f64, f64),
    capacity_share: f64,
    loaded: f64,
    /// What the best near one takes, failures included.
    near_turn_us: f64,
}

impl Zones {
    fn of(inputs: &[Input], demand: Demand) -> Self {
        let near = || inputs.iter().filter(|input| input.near);
        let near_capacity: f64 = near().map(|input| input.capacity).sum();
        let all: f64 = inputs.iter().map(|input| input.capacity).sum();
        let count = near().count();
        let split = count > 0 && count < inputs.len();
        let capacity_share = if all > 0.0 { near_capacity / all } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "at most ten thousand")]
        let concurrency = demand.in_flight / count.max(1) as f64;
        let busy = ((concurrency - LIGHT) / (BUSY - LIGHT)).clamp(0.0, 1.0);
        let over = (1.0 - HEADROOM * capacity_share / demand.share.max(f64::MIN_POSITIVE)).max(0.0);
        Self {
            split,
            capacity: (near_capacity, all - near_capacity),
            capacity_share,
            loaded: if split { busy * over } else { 0.0 },
            near_turn_us: near().map(|input| input.turn_us / input.success).fold(f64::INFINITY, f64::min),
        }
    }

    fn prefers(&self, input: &Input) -> bool {
        input.near || !self.split
    }

    /// What is left of an endpoint for where it is.
    fn factor(&self, input: &Input) -> f64 {
        if self.prefers(input) {
            return 1.0;
        }
        let slow = 1.0 - (SLOW_TOLERANCE * input.turn_us / input.success / self.near_turn_us).min(1.0);
        let spill = self.loaded.max(slow).clamp(TRICKLE, SPILL_MAX);
        // Where all else is equal, so much of the whole goes to the far ones.
        spill / (1.0 - spill) * self.capacity.0 / self.capacity.1
    }
}

#[cfg(test)]
mod tests;
