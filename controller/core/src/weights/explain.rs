//! The weights of one service with everything that went into them, as the API shows them.

use sinew_api::status::API_VERSION;
use sinew_api::weights::{EndpointWeight, Measured, Place, ServiceWeights, SourceWeights, WeightFactors};
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::damped::us_of;
use super::quality::Quality;
use super::{Candidate, Scene, Weights};

/// The most callers that one answer explains: what a person can read, and some MiB of a service with a thousand
/// endpoints.
const SOURCES_MAX: usize = 100;

impl Weights {
    /// Why each caller of a service was told what it was told.
    #[must_use]
    pub fn explain(&self, service: &ServiceName, scene: &Scene) -> ServiceWeights {
        let sources = scene.callers.keys().take(SOURCES_MAX);
        ServiceWeights {
            api_version: API_VERSION.to_owned(),
            service: service.clone(),
            sources: sources.map(|caller| self.explain_source(service, scene, caller)).collect(),
            more_sources: scene.callers.len().saturating_sub(SOURCES_MAX),
        }
    }

    fn explain_source(&self, service: &ServiceName, scene: &Scene, caller: &NodeName) -> SourceWeights {
        let zone = scene.callers.get(caller).and_then(Option::as_ref);
        let weighed = self.weigh_for(service, scene, caller);
        let demand = self.demand_of(service, scene, zone);
        let endpoints = scene.endpoints.iter().zip(&weighed.endpoints).map(|(candidate, (zone, target))| {
            EndpointWeight {
                node: candidate.id.node.clone(),
                slot: candidate.id.slot,
                zone: candidate.zone.clone(),
                weight: self.told(service, caller, &candidate.id),
                target: *target,
                factors: self.factors(service, scene, caller, candidate, *zone),
            }
        });
        SourceWeights {
            node: caller.clone(),
            zone: zone.cloned(),
            zone_in_flight: demand.in_flight,
            demand_share: demand.share,
            capacity_share: weighed.capacity_share,
            spill: weighed.spill,
            endpoints: endpoints.collect(),
        }
    }

    fn factors(
        &self,
        service: &ServiceName,
        scene: &Scene,
        caller: &NodeName,
        candidate: &Candidate,
        zone: f64,
    ) -> WeightFactors {
        let quality = self.quality(service, &candidate.id);
        let work_log = quality.and_then(Quality::work_log);
        let (link_us, link_measured) = self.link_us(scene, caller, &candidate.id.node);
        let from = scene.callers.get(caller).and_then(Option::as_ref);
        let near = from.is_none() || from == candidate.zone.as_ref();
        let measured = match (work_log, quality) {
            (Some(_), Some(quality)) if quality.is_stale(self.folded) => Measured::Stale,
            (Some(_), _) => Measured::Fresh,
            (None, _) => Measured::Never,
        };
        WeightFactors {
            capacity: candidate.capacity,
            work_us: whole(us_of(work_log.unwrap_or_else(|| self.best_work_log(service)))),
            measured,
            link_us: whole(link_us),
            link_measured,
            errors: quality.map_or(0.0, Quality::errors),
            success: quality.map_or(1.0, Quality::success),
            place: if near { Place::Near } else { Place::Far },
            zone,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration, saturating")]
fn whole(us: f64) -> u64 {
    us.round() as u64
}
