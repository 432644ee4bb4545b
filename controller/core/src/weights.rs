//! How much of each node's traffic each endpoint should get: reports in, weights out.
//!
//! A node that has just started knows nobody's latency; one that calls rarely learns it too late. The
//! controller hears what all callers see, and tells each caller a weight for every endpoint, 0 to
//! [`WEIGHT_MAX`], before its first pick. The caller draws by these weights and corrects them by its own,
//! fresher view.
//!
//! A report's way: [`Weights::on_report`] adds it up → [`Weights::fold`], about once a second, damps it
//! ([`damped`]) into the work and the failures of each endpoint ([`quality`]) and the cost of each link
//! ([`links`]) → [`Weights::publish`] makes a caller's weights of it ([`formula`]) and notes those that moved
//! far enough to be told.
//!
//! **The rule of publishing:** a weight is told anew only when it left [`MOVED`] around the one that was told,
//! so that noise costs nobody a push; and each weight that a node holds is within that factor of the truth.
//!
//! **What is not known is not held against anybody.** An endpoint that nobody measured counts as the best of
//! its service, so that a new one has its share at once; a link that nobody measured, as what other nodes of
//! the caller's zone see of that host. Before the first report only capacity and zones count.
//!
//! What it does not do: it knows no policy, no subsets, and nothing of breakers or silence, which each caller
//! judges by itself and much faster.

mod damped;
mod explain;
mod formula;
mod links;
mod quality;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sinew_api::control::Report;
use sinew_api::snapshot::WEIGHT_MAX;
use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName, Zone};

use damped::part;
use links::Links;
use quality::Quality;
use stage::Stage;

/// By how much a weight must have moved to be told anew. Reports that stay within 10 % of a mean never do it.
pub const MOVED: f64 = 1.25;

/// Added to both weights before they are compared by [`MOVED`]: 1 % of the best one's, below which a share is
/// small whatever its factor.
const MOVED_GRAIN: f64 = 10.0;

/// The time in which 63 % of a change of connections in progress is taken over: one sample a second of
/// something that lasts milliseconds says little.
const DEMAND_OVER: Duration = Duration::from_secs(5);

/// The most endpoints of one report that are read: half of what fits into a control frame.
const REPORTED_MAX: usize = 5000;

/// Where a service runs and who calls it, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scene {
    /// Its endpoints that are up, with what they can take.
    pub endpoints: Vec<Candidate>,
    /// The nodes that call it.
    pub callers: BTreeMap<NodeName, Option<Zone>>,
}

/// An endpoint that may be weighed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which one.
    pub id: EndpointId,
    /// Where it is.
    pub zone: Option<Zone>,
    /// What it can take beside the others.
    pub capacity: u32,
}

impl Scene {
    /// Whether nothing distinguishes its endpoints but what may be measured.
    fn is_even(&self) -> bool {
        let Some(first) = self.endpoints.first() else { return true };
        self.endpoints.iter().all(|other| (&other.zone, other.capacity) == (&first.zone, first.capacity))
    }
}

/// What is known, and what was told. See the module's text.
#[derive(Debug, Default)]
pub struct Weights {
    links: Links,
    qualities: BTreeMap<ServiceName, BTreeMap<EndpointId, Quality>>,
    demands: BTreeMap<ServiceName, BTreeMap<NodeName, InFlight>>,
    /// What each caller was told, in place of [`WEIGHT_MAX`].
    told: BTreeMap<ServiceName, BTreeMap<NodeName, BTreeMap<EndpointId, u16>>>,
    /// How many weights were told anew, ever.
    moved: u64,
    folded: Duration,
}

/// Connections in progress from one caller to one service.
#[derive(Debug, Clone, Copy, Default)]
struct InFlight {
    /// As the last report had it.
    reported: f64,
    damped: f64,
}

impl Weights {
    /// Takes what a node saw. `hosts` tells whether an endpoint is one that the node may speak of: what it says
    /// of others is not read.
    pub fn on_report(
        &mut self,
        node: &NodeName,
        report: &Report,
        hosts: impl Fn(&ServiceName, &EndpointId) -> bool,
    ) {
        self.links.on_report(node, &report.links);
        let now: BTreeMap<_, _> = report.links.iter().map(|link| (&link.node, link)).collect();
        let mut in_flight: BTreeMap<&ServiceName, f64> = BTreeMap::new();
        let known = report.endpoints.iter().filter(|seen| hosts(&seen.service, &seen.endpoint));
        for seen in known.take(REPORTED_MAX) {
            *in_flight.entry(&seen.service).or_default() += f64::from(seen.in_flight);
            // The round trip of the same moment is in the latency; an older one is better than none.
            let link_us = match now.get(&seen.endpoint.node).and_then(|link| links::cost_us(link)) {
                Some(us) => Some(us),
                None => self.links.cost_us(node, &seen.endpoint.node),
            };
            let qualities = self.qualities.entry(seen.service.clone()).or_default();
            qualities.entry(seen.endpoint.clone()).or_default().on_report(seen, link_us);
        }
        for (service, demands) in &mut self.demands {
            if let Some(demand) = demands.get_mut(node) {
                demand.reported = in_flight.remove(service).unwrap_or(0.0);
            }
        }
        for (service, reported) in in_flight {
            let demand = InFlight { reported, damped: 0.0 };
            self.demands.entry(service.clone()).or_default().insert(node.clone(), demand);
        }
    }

    /// Folds in what was reported since the last time. About once a second.
    pub fn fold(&mut self, now: Duration) {
        let dt = now.saturating_sub(self.folded);
        self.folded = now;
        for qualities in self.qualities.values_mut() {
            for quality in qualities.values_mut() {
                quality.fold(now, dt);
            }
            let logs: Vec<f64> = qualities.values().filter_map(Quality::work_log).collect();
            for quality in qualities.values_mut() {
                let Some(own) = quality.work_log() else { continue };
                if let Some(others) = mean_without(&logs, own) {
                    quality.drift(now, dt, others);
                }
            }
        }
        for demand in self.demands.values_mut().flat_map(BTreeMap::values_mut) {
            demand.damped += part(dt, DEMAND_OVER) * (demand.reported - demand.damped);
        }
    }

    /// The services that may have weights to tell; of the others nothing is known and nothing differs.
    #[must_use]
    pub fn services(&self) -> BTreeSet<ServiceName> {
        self.qualities.keys().chain(self.told.keys()).cloned().collect()
    }

    /// Whether there is any such service.
    #[must_use]
    pub fn knows_any(&self) -> bool {
        !self.qualities.is_empty() || !self.told.is_empty()
    }

    /// How many weights were told anew because they moved.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Notes which weights of a service must be told anew; the callers that they are for.
    pub fn publish(&mut self, service: &ServiceName, scene: &Scene) -> BTreeSet<NodeName> {
        let mut concerned = BTreeSet::new();
        if scene.callers.is_empty() || scene.endpoints.is_empty() {
            // Nothing to tell, and nobody who could measure it.
            self.qualities.remove(service);
            self.demands.remove(service);
            self.told.remove(service);
            return concerned;
        }
        let stage = Stage::of(self, service, scene);
        let weighed: Vec<_> = scene.callers.keys().map(|caller| (caller, stage.weigh(caller))).collect();
        for (caller, weighed) in weighed {
            let told = self.told.entry(service.clone()).or_default().entry(caller.clone()).or_default();
            for (candidate, (_, weight)) in scene.endpoints.iter().zip(weighed.endpoints) {
                let old = told.entry(candidate.id.clone()).or_insert(WEIGHT_MAX);
                if has_moved(*old, weight) {
                    *old = weight;
                    self.moved += 1;
                    concerned.insert(caller.clone());
                }
            }
        }
        concerned
    }

    /// Gives weights to callers and endpoints that are new in a service, and forgets those that went; the
    /// callers whose weights are others now.
    pub fn fill(&mut self, service: &ServiceName, scene: &Scene) -> BTreeSet<NodeName> {
        let mut concerned = BTreeSet::new();
        if !self.qualities.contains_key(service) && scene.is_even() {
            self.told.remove(service);
            return concerned;
        }
        let here: BTreeSet<_> = scene.endpoints.iter().map(|candidate| &candidate.id).collect();
        let mut told = self.told.remove(service).unwrap_or_default();
        told.retain(|caller, _| scene.callers.contains_key(caller));
        let stage = Stage::of(self, service, scene);
        for caller in scene.callers.keys() {
            let told = told.entry(caller.clone()).or_default();
            told.retain(|id, _| here.contains(id));
            if told.len() == here.len() {
                continue;
            }
            let weighed = stage.weigh(caller);
            for (candidate, (_, weight)) in scene.endpoints.iter().zip(weighed.endpoints) {
                if !told.contains_key(&candidate.id) {
                    told.insert(candidate.id.clone(), weight);
                    if weight != WEIGHT_MAX {
                        concerned.insert(caller.clone());
                    }
                }
            }
        }
        if !told.is_empty() {
            self.told.insert(service.clone(), told);
        }
        concerned
    }

    /// What a caller was told of an endpoint.
    #[must_use]
    pub fn told(&self, service: &ServiceName, caller: &NodeName, endpoint: &EndpointId) -> u16 {
        let told = self.told.get(service).and_then(|callers| callers.get(caller));
        told.and_then(|endpoints| endpoints.get(endpoint)).copied().unwrap_or(WEIGHT_MAX)
    }

    /// Forgets a node that is gone: what it hosted, called and measured.
    pub fn forget(&mut self, node: &NodeName) {
        self.links.forget(node);
        for demands in self.demands.values_mut() {
            demands.remove(node);
        }
        for callers in self.told.values_mut() {
            callers.remove(node);
            for told in callers.values_mut() {
                told.retain(|id, _| id.node != *node);
            }
        }
        for qualities in self.qualities.values_mut() {
            qualities.retain(|id, _| id.node != *node);
        }
        self.demands.retain(|_, demands| !demands.is_empty());
        self.told.retain(|_, callers| !callers.is_empty());
        self.qualities.retain(|_, qualities| !qualities.is_empty());
    }

    fn quality(&self, service: &ServiceName, id: &EndpointId) -> Option<&Quality> {
        self.qualities.get(service)?.get(id)
    }
}

fn has_moved(told: u16, weight: u16) -> bool {
    let (told, weight) = (f64::from(told) + MOVED_GRAIN, f64::from(weight) + MOVED_GRAIN);
    weight > told * MOVED || told > weight * MOVED
}

/// The mean of all but one of the values, which is `own`.
fn mean_without(values: &[f64], own: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let count = values.len().saturating_sub(1) as f64;
    (count > 0.0).then(|| (values.iter().sum::<f64>() - own) / count)
}

#[cfg(test)]
mod tests;
