//! The mesh's side of weights: who may speak of what, and whom a weight that moved concerns.
//!
//! Once a second ([`WEIGH_EVERY`]) everything reported since is folded in, and exactly the callers whose weights
//! moved far enough are marked as concerned. A caller or an endpoint that is new gets its weights with the
//! change that brings it, so that a first snapshot has them.

use std::collections::BTreeSet;
use std::time::Duration;

use sinew_api::control::Report;
use sinew_api::weights::ServiceWeights;
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::Mesh;
use crate::registration::Registration;
use crate::weights::{Candidate, Scene};

/// How often weights are made: as often as nodes report.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// Weights that are made in a second, at most: beyond it they are made more rarely. One takes about a quarter of
/// a microsecond; so many hold the mesh for 25 ms.
const WEIGHED_PER_SECOND: usize = 100_000;

impl Mesh {
    /// Takes what a node saw of its links and of the endpoints that it calls; `clock_ms` is our own clock,
    /// milliseconds since 1970. False when the session is not the node's.
    pub fn on_report(
        &mut self,
        clock_ms: u64,
        name: &NodeName,
        session: super::SessionId,
        report: Report,
    ) -> bool {
        let Some(node) = self.nodes.get(name).filter(|node| node.session() == Some(session)) else {
            return false;
        };
        let called = node.registration.called();
        let nodes = &self.nodes;
        self.weights.on_report(name, &report, |service, endpoint| {
            let hosted = || nodes.get(&endpoint.node)?.registration.serves().get(&endpoint.slot);
            called.contains(service) && hosted().is_some_and(|hosted| hosted.service == *service)
        });
        self.here(name, session).map(|node| node.on_report(clock_ms, report)).is_some()
    }

    /// Whether weights are made from time to time: once anything is known to make them from. When a report
    /// changes that, [`Mesh::poll_timeout`] has a new answer.
    #[must_use]
    pub fn weighs(&self) -> bool {
        self.weights.knows_any()
    }

    /// How many weights were told anew because they moved, ever.
    #[must_use]
    pub fn weights_moved(&self) -> u64 {
        self.weights.moved()
    }

    pub(super) fn weigh_at(&self) -> Option<Duration> {
        self.weighs().then_some(self.weigh_at)
    }

    /// Makes weights anew; true when somebody must hear of it.
    pub(super) fn weigh(&mut self, now: Duration) -> bool {
        self.weights.fold(now);
        let (mut concerned, mut weighed) = (BTreeSet::new(), 0);
        for service in self.weights.services() {
            let scene = self.scene(&service);
            weighed += scene.endpoints.len() * scene.callers.len();
            concerned.append(&mut self.weights.publish(&service, &scene));
        }
        let rarer = u32::try_from(weighed / WEIGHED_PER_SECOND).unwrap_or(u32::MAX).saturating_add(1);
        self.weigh_at = now + WEIGH_EVERY * rarer;
        if concerned.is_empty() {
            return false;
        }
        self.on_change(concerned);
        true
    }

    /// Gives weights to what is new in these services; the callers who hold others now.
    pub(super) fn fill_weights(&mut self, services: BTreeSet<ServiceName>) -> BTreeSet<NodeName> {
        let mut concerned = BTreeSet::new();
        for service in services {
            let scene = self.scene(&service);
            concerned.append(&mut self.weights.fill(&service, &scene));
        }
        concerned
    }

    /// Why each caller of a service was told the weights that it was told; none when nobody hosts or calls it.
    #[must_use]
    pub fn why_weights(&self, service: &ServiceName) -> Option<ServiceWeights> {
        let known = self.index.services().contains(service);
        known.then(|| self.weights.explain(service, &self.scene(service)))
    }

    /// Where a service runs and who calls it.
    fn scene(&self, service: &ServiceName) -> Scene {
        let zone = |name: &NodeName| self.nodes.get(name).and_then(|node| node.registration.zone().cloned());
        let up = self.index.endpoints(service).filter_map(|id| Some((id, self.hosted_up(id)?)));
        Scene {
            endpoints: up
                .map(|(id, hosted)| Candidate {
                    id: id.clone(),
                    zone: zone(&id.node),
                    capacity: hosted.capacity,
                })
                .collect(),
            callers: self.index.callers(service).map(|name| (name.clone(), zone(name))).collect(),
        }
    }
}

/// The services that a node has to do with.
pub(super) fn services_of<'r>(
    registrations: impl IntoIterator<Item = &'r Registration>,
) -> BTreeSet<ServiceName> {
    let both = |r: &'r Registration| r.hosted().into_iter().chain(r.called());
    registrations.into_iter().flat_map(both).cloned().collect()
}

#[cfg(test)]
mod tests;
