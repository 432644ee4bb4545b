//! `/v1/links`: this node's way to its controller and to other nodes, for whoever wants to know why something can't
//! be reached.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sinew_api::admin::{NodeLinks, NodePeer};
use sinew_api::status::API_VERSION;
use sinew_transport::peers::Peer;

use super::Admin;
use crate::control::state_of;

/// `GET /v1/links`.
pub(super) async fn links(State(admin): State<Arc<Admin>>) -> Json<NodeLinks> {
    let plane = &admin.plane;
    Json(NodeLinks {
        api_version: API_VERSION.to_owned(),
        node: plane.me.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: *plane.revision().borrow(),
        draining: plane.is_leaving(),
        session: plane.metrics.session.get() == 1,
        peers: plane.peers.all().iter().map(|peer| shown(peer)).collect(),
    })
}

fn shown(peer: &Peer) -> NodePeer {
    let link = peer.best_link();
    let unreached = peer.unreached();
    let dialled = unreached.as_ref().map(|last| last.address).or_else(|| peer.addresses().first().copied());
    let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    NodePeer {
        node: peer.name().clone(),
        state: state_of(peer),
        wanted: peer.wanted(),
        version: link.as_ref().map(|link| link.version().to_owned()),
        address: link.as_ref().map(|link| link.remote()).or(dialled),
        round_trip_us: link.as_ref().map(|link| us(link.round_trip())),
        error: unreached.map(|last| last.reason).unwrap_or_default(),
    }
}
