//! The answer of `GET /v1/weights/{service}`: the weight of each endpoint for each caller, and everything
//! that it was made from.
//!
//! A weight is the product of four factors, as the controller's own words have it (`controller/core`,
//! `weights`): capacity, speed (work and link), success, zone. The best of a caller's endpoints gets
//! [`WEIGHT_MAX`](crate::snapshot::WEIGHT_MAX), the others in proportion.

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};
use utoipa::ToSchema;

/// The weights of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceWeights {
    /// [`API_VERSION`](crate::status::API_VERSION).
    pub api_version: String,
    /// The service.
    pub service: ServiceName,
    /// Each node that calls it, by name.
    pub sources: Vec<SourceWeights>,
    /// How many callers there are beyond those in `sources`.
    pub more_sources: usize,
}

/// What one caller was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceWeights {
    /// The calling node.
    pub node: NodeName,
    /// Where it is.
    pub zone: Option<Zone>,
    /// Connections of this service in progress in all of the caller's zone.
    pub zone_in_flight: f64,
    /// The part of the service's demand that comes from the caller's zone, 0 to 1.
    pub demand_share: f64,
    /// The part of the service's capacity that is in the caller's zone, 0 to 1.
    pub capacity_share: f64,
    /// The part of its connections that leaves the zone because the zone is loaded, 0 to 1.
    pub spill: f64,
    /// The service's endpoints that are up, by node and slot.
    pub endpoints: Vec<EndpointWeight>,
}

/// One endpoint as one caller should see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointWeight {
    /// The hosting node.
    pub node: NodeName,
    /// The place on that node.
    pub slot: u16,
    /// Where it is.
    pub zone: Option<Zone>,
    /// What the caller was told, 0 to [`WEIGHT_MAX`](crate::snapshot::WEIGHT_MAX).
    pub weight: u16,
    /// What it would be told now; told only when it has moved far enough from `weight`.
    pub target: u16,
    /// What went into it.
    pub factors: WeightFactors,
}

/// What a weight is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightFactors {
    /// The declared capacity.
    pub capacity: u32,
    /// How long a turn takes at the endpoint itself, damped, in microseconds: what callers see, minus their links.
    pub work_us: u64,
    /// How well `work_us` is known.
    pub measured: Measured,
    /// What the caller's link adds, in microseconds: the round trip, and what loss costs.
    pub link_us: u64,
    /// Whether the caller itself measured its link; otherwise it is what its neighbours measured.
    pub link_measured: bool,
    /// The part of connections that fail, 0 to 1, as evidence has it: one failure is no proof.
    pub errors: f64,
    /// What remains for errors: 1 without any.
    pub success: f64,
    /// Where it is, seen from the caller.
    pub place: Place,
    /// What remains for being elsewhere: 1 for near endpoints.
    pub zone: f64,
}

/// How well an endpoint's work is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measured {
    /// Some caller measured it a moment ago.
    Fresh,
    /// Nobody did lately: it drifts toward what the others of its service take.
    Stale,
    /// Nobody ever did: it counts as the best of its service.
    Never,
}

/// Where an endpoint is, seen from a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the caller's zone; or no zone is preferred.
    Near,
    /// In another zone, while there are endpoints in the caller's own.
    Far,
}
