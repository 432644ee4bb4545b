//! The weights of one service with everything that went into them, as the API shows them.

use sinew_api::status::API_VERSION;
use sinew_api::weights::{EndpointWeight, Measured, Place, ServiceWeights, SourceWeights, WeightFactors};
use sinew_transport_core::ids::{NodeName, ServiceName};

use super::quality::Quality;
use super::stage::{Stage, is_near};
use super::{Candidate, Scene, Weights};

/// The most callers that one answer explains: what a person can read, and some MiB of a service with a thousand
/// endpoints.
const SOURCES_MAX: usize = 100;

impl Weights {
    /// Why each caller of a service was told what it was told.
    #[must_use]
    pub fn explain(&self, service: &ServiceName, scene: &Scene) -> ServiceWeights {
        let stage = Stage::of(self, service, scene);
        let sources = scene.callers.keys().take(SOURCES_MAX);
        ServiceWeights {
            api_version: API_VERSION.to_owned(),
            service: service.clone(),
            sources: sources.map(|caller| self.explain_source(service, scene, &stage, caller)).collect(),
            more_sources: scene.callers.len().saturating_sub(SOURCES_MAX),
        }
    }

    fn explain_source(
        &self,
        service: &ServiceName,
        scene: &Scene,
        stage: &Stage<'_>,
        caller: &NodeName,
    ) -> SourceWeights {
        let zone = stage.zone(caller);
        let weighed = stage.weigh(caller);
        let demand = stage.demand(zone);
        let endpoint = |(index, candidate): (usize, &Candidate)| {
            let (zone_factor, target) = weighed.endpoints[index];
            let quality = self.quality(service, &candidate.id);
            let (link_us, link_measured) = stage.link_us(caller, &candidate.id.node);
            EndpointWeight {
                node: candidate.id.node.clone(),
                slot: candidate.id.slot,
                zone: candidate.zone.clone(),
                weight: self.told(service, caller, &candidate.id),
                target,
                factors: WeightFactors {
                    capacity: candidate.capacity,
                    work_us: whole(stage.work_us(index)),
                    measured: self.measured(quality),
                    link_us: whole(link_us),
                    link_measured,
                    errors: quality.map_or(0.0, Quality::errors),
                    success: quality.map_or(1.0, Quality::success),
                    place: if is_near(zone, candidate.zone.as_ref()) { Place::Near } else { Place::Far },
                    zone: zone_factor,
                },
            }
        };
        SourceWeights {
            node: caller.clone(),
            zone: zone.cloned(),
            zone_in_flight: demand.in_flight,
            demand_share: demand.share,
            capacity_share: weighed.capacity_share,
            spill: weighed.spill,
            endpoints: scene.endpoints.iter().enumerate().map(endpoint).collect(),
        }
    }

    fn measured(&self, quality: Option<&Quality>) -> Measured {
        match quality.filter(|quality| quality.work_log().is_some()) {
            Some(quality) if quality.is_stale(self.folded) => Measured::Stale,
            Some(_) => Measured::Fresh,
            None => Measured::Never,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration, saturating")]
fn whole(us: f64) -> u64 {
    us.round() as u64
}
