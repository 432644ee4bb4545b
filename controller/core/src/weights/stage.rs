//! One service at one moment, made ready for weighing its endpoints for many callers: what is the same for all of
//! them is looked up once.

use std::collections::BTreeMap;

use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

use super::damped::{GRAIN_US, log_of, us_of};
use super::formula::{Demand, Input, Weighed, weigh};
use super::quality::Quality;
use super::{Scene, Weights};

/// Nodes whose link to a host is looked at, at most, for a caller that does not know its own.
const NEIGHBOURS_MAX: usize = 64;

/// See the module's text.
pub(super) struct Stage<'a> {
    weights: &'a Weights,
    scene: &'a Scene,
    /// Of each endpoint: what it works on a turn, and what failing leaves of it.
    known: Vec<(f64, f64)>,
    /// Connections in progress from the callers of each zone.
    demands: BTreeMap<Option<&'a Zone>, f64>,
}

impl<'a> Stage<'a> {
    pub(super) fn of(weights: &'a Weights, service: &ServiceName, scene: &'a Scene) -> Self {
        let qualities = || weights.qualities.get(service).into_iter().flatten();
        // An endpoint of which nothing is known is taken to be as good as the best.
        let best = qualities().filter_map(|(_, quality)| quality.work_log()).reduce(f64::min);
        let best = best.unwrap_or_else(|| log_of(0.0));
        let known = scene.endpoints.iter().map(|candidate| {
            let quality = weights.quality(service, &candidate.id);
            let work_us = us_of(quality.and_then(Quality::work_log).unwrap_or(best));
            (work_us, quality.map_or(1.0, Quality::success))
        });
        let mut demands = BTreeMap::new();
        for (caller, demand) in weights.demands.get(service).into_iter().flatten() {
            if let Some(zone) = scene.callers.get(caller) {
                *demands.entry(zone.as_ref()).or_default() += demand.damped;
            }
        }
        Self { weights, scene, known: known.collect(), demands }
    }

    /// The weights of one caller.
    pub(super) fn weigh(&self, caller: &NodeName) -> Weighed {
        let zone = self.zone(caller);
        let inputs: Vec<_> = (self.scene.endpoints.iter().zip(&self.known))
            .map(|(candidate, (work_us, success))| Input {
                capacity: f64::from(candidate.capacity.max(1)),
                turn_us: work_us + GRAIN_US + self.link_us(caller, &candidate.id.node).0,
                success: *success,
                near: is_near(zone, candidate.zone.as_ref()),
            })
            .collect();
        weigh(&inputs, self.demand(zone))
    }

    /// What an endpoint works on a turn, in microseconds.
    pub(super) fn work_us(&self, endpoint: usize) -> f64 {
        self.known[endpoint].0
    }

    /// What the callers of a zone ask for.
    pub(super) fn demand(&self, zone: Option<&Zone>) -> Demand {
        let all: f64 = self.demands.values().sum();
        let own = self.demands.get(&zone).copied().unwrap_or(0.0);
        Demand { in_flight: own, share: if all > 0.0 { own / all } else { 0.0 } }
    }

    /// What the link from a caller to a host adds to a turn, and whether either of the two measured it.
    /// Otherwise it is the mean of what other callers see of that host, those in the same zone if there are any.
    pub(super) fn link_us(&self, caller: &NodeName, host: &NodeName) -> (f64, bool) {
        let links = &self.weights.links;
        if let Some(us) = links.cost_us(caller, host) {
            return (us, true);
        }
        let zone = self.zone(caller);
        let mut near = Mean::default();
        let mut all = Mean::default();
        for (other, us) in links.to(host).take(NEIGHBOURS_MAX) {
            let Some(at) = self.scene.callers.get(other) else { continue };
            all.add(us);
            if zone.is_none() || at.as_ref() == zone {
                near.add(us);
            }
        }
        (near.value().or_else(|| all.value()).unwrap_or(0.0), false)
    }

    /// Where a caller is.
    pub(super) fn zone(&self, caller: &NodeName) -> Option<&'a Zone> {
        self.scene.callers.get(caller).and_then(Option::as_ref)
    }
}

/// A caller that does not say where it is prefers nobody.
pub(super) fn is_near(from: Option<&Zone>, to: Option<&Zone>) -> bool {
    from.is_none() || from == to
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
