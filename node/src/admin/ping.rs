//! `/v1/ping`: one echo of another node, over the link that this node has with it.
//!
//! Nothing is dialled for it: whether there is a link, and why not, is a part of what is asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::Response;
use sinew_api::admin::{PING_TIMEOUT_MS, PING_TIMEOUT_MS_MAX, Pinged, Pinging};
use sinew_api::status::API_VERSION;
use sinew_transport::peers::Peer;
use sinew_transport::{Link, Reach};
use sinew_transport_core::ids::NodeName;
use tokio::time::Duration;

use super::Admin;
use super::endpoints::{problem, unread};
use crate::plane::Plane;

/// Other nodes that are named to whoever asked for one that is not known.
const NAMED_MAX: usize = 8;

/// `POST /v1/ping`.
pub(super) async fn ping(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Pinging>, JsonRejection>,
) -> Result<Json<Pinged>, Response> {
    let plane = &admin.plane;
    let Json(Pinging { node, timeout_ms }) = body.map_err(|error| unread("pinging", &error))?;
    let timeout_ms = timeout_ms.unwrap_or(PING_TIMEOUT_MS);
    if !(1..=PING_TIMEOUT_MS_MAX).contains(&timeout_ms) {
        let why = format!("`timeoutMs` is {timeout_ms}, not from 1 to {PING_TIMEOUT_MS_MAX}");
        return Err(problem(StatusCode::BAD_REQUEST, &why));
    }
    let link = link(plane, &node).map_err(|(status, why)| problem(status, &why))?;
    let took = link.echo(Duration::from_millis(timeout_ms.into())).await;
    Ok(Json(Pinged {
        api_version: API_VERSION.to_owned(),
        from: plane.me.clone(),
        node,
        version: link.version().to_owned(),
        address: link.remote(),
        lane: link.lane(),
        round_trip_us: took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
    }))
}

/// The link to ask over, or why there is none and what to do.
fn link(plane: &Plane, node: &NodeName) -> Result<Arc<Link>, (StatusCode, String)> {
    let me = &plane.me;
    if node == me {
        return Err((StatusCode::BAD_REQUEST, format!("`{me}` is this node itself; name another")));
    }
    let Some(peer) = plane.peers.get(node) else {
        return Err((StatusCode::NOT_FOUND, unknown(plane, node)));
    };
    let Some(link) = peer.best_link() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, unlinked(me, &peer)));
    };
    if !link.echoes() {
        let version = link.version();
        let why = format!("`{node}` runs sinew {version}, which does not answer pings; update it");
        return Err((StatusCode::NOT_IMPLEMENTED, why));
    }
    Ok(link)
}

fn unknown(plane: &Plane, node: &NodeName) -> String {
    let me = &plane.me;
    if plane.revision().borrow().is_none() {
        return format!(
            "`{me}` knows no other node yet: it has no snapshot. Is a controller reachable? Its log says what it tries"
        );
    }
    let peers = plane.peers.all();
    let mut known: Vec<_> = peers.iter().map(|peer| peer.name().as_str()).collect();
    let more = known.len().saturating_sub(NAMED_MAX);
    known.truncate(NAMED_MAX);
    let known = match (known.as_slice(), more) {
        ([], _) => "it knows none".to_owned(),
        (known, 0) => format!("it knows {}", known.join(", ")),
        (known, more) => format!("it knows {} and {more} more", known.join(", ")),
    };
    format!(
        "`{me}` does not know a node `{node}`; {known}. A node knows those whose services it calls, and those that \
         call its own; `sinew status` at the controller shows all"
    )
}

/// Why there is no link.
fn unlinked(me: &NodeName, peer: &Peer) -> String {
    let name = peer.name();
    match (peer.reach(), peer.unreached()) {
        (Reach::Idle, _) => format!(
            "`{me}` has no link with `{name}` and wants none: it calls no service there. `{name}` makes one when it \
             calls a service here; ping from there, or declare a listener here for a service of `{name}`"
        ),
        (_, Some(last)) => format!(
            "`{me}` has no link with `{name}`: the last dial to {} failed ({}), {} in a row so far. Does the node \
             run (`sinew status` at the controller), and does UDP to that address pass every firewall between?",
            last.address, last.reason, last.dials
        ),
        (_, None) => match peer.addresses().first() {
            Some(address) => {
                format!("`{me}` is still connecting to `{name}` at {address}; ask again in a moment")
            }
            None => format!(
                "`{me}` does not know where `{name}` is reached: it told the controller no address. Set `advertise` \
                 in its node.toml"
            ),
        },
    }
}
