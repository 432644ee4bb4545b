//! What an operator's tools ask a node over HTTP: `/livez`, `/readyz`, `/metrics`, [`endpoints`],
//! [`links`] and [`ping`].
//!
//! Loopback only. What only shows how the node is asks for no credential; ready means: listening, and a snapshot in
//! use. What is under `/v1/` wants the admin token, and what changes something is a POST. Nothing answers pages of
//! other origins.

pub(crate) mod endpoints;
mod links;
mod ping;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use sinew_api::Secret;
use sinew_api::hosting::Health;
use sinew_transport::http::HttpListener;
use sinew_transport::verify::Refusals;
use sinew_transport::{AppListener, Reach, Trust};

use tokio::time::{Duration, timeout};

use crate::hosting::RegisteredFile;
use crate::plane::Plane;

/// The largest body that is read: an endpoint with all its labels has some 3 KiB.
const BODY_MAX: usize = 16 * 1024;
/// How long a call may take. They answer from memory, after one small write to disk, or after one echo.
const CALL_TIME: Duration = Duration::from_secs(10);

struct Admin {
    plane: Arc<Plane>,
    registry: Registry,
    refusals: Arc<Refusals>,
    token: Secret,
    registered: RegisteredFile,
    trust: Arc<Trust>,
}

/// Serves until dropped.
pub(crate) async fn serve(
    listener: Box<dyn AppListener>,
    plane: Arc<Plane>,
    refusals: Arc<Refusals>,
    trust: Arc<Trust>,
    token: Secret,
    registered: RegisteredFile,
) {
    let registry = plane.metrics.registry();
    plane.metrics.runtimes.add_current();
    let admin = Arc::new(Admin { plane, registry, refusals, token, registered, trust });
    let private = Router::new()
        .route("/v1/endpoints", get(endpoints::endpoints))
        .route("/v1/register", post(endpoints::register))
        .route("/v1/deregister", post(endpoints::deregister))
        .route("/v1/links", get(links::links))
        .route("/v1/ping", post(ping::ping))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), endpoints::credential));
    let app = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(private)
        .method_not_allowed_fallback(async || {
            let help =
                "this path takes another method: endpoints and links GET; register, deregister and ping POST";
            endpoints::problem(StatusCode::METHOD_NOT_ALLOWED, help)
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn(endpoints::browser))
        .with_state(admin);
    if let Err(error) = axum::serve(HttpListener::new(listener), app).await {
        tracing::error!(%error, "the admin pages are gone");
    }
}

/// No call takes longer than [`CALL_TIME`], however slowly its body comes.
async fn in_time(request: Request, next: Next) -> Response {
    timeout(CALL_TIME, next.run(request)).await.unwrap_or_else(|_| {
        endpoints::problem(StatusCode::REQUEST_TIMEOUT, "the call took too long; send its body at once")
    })
}

async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    if admin.plane.is_leaving() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining: the node stops\n".to_owned());
    }
    match *admin.plane.revision().borrow() {
        Some(revision) => (StatusCode::OK, format!("ok: revision {revision} in use\n")),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet: is a controller reachable?\n".to_owned()),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let mut text = String::new();
    admin.plane.metrics.measure();
    if prometheus_client::encoding::text::encode_registry(&mut text, &admin.registry).is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be written\n").into_response();
    }
    write_refusals(&mut text, &admin.refusals);
    write_graced(&mut text, &admin.trust);
    write_links(&mut text, &admin.plane);
    write_endpoints(&mut text, &admin.plane);
    text.push_str("# EOF\n");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn write_refusals(text: &mut String, refusals: &Refusals) {
    text.push_str("# HELP sinew_peers_refused Connections of or to other nodes that were refused.\n");
    text.push_str("# TYPE sinew_peers_refused counter\n");
    for (reason, count) in refusals.all() {
        let _ = writeln!(text, "sinew_peers_refused_total{{reason=\"{}\"}} {count}", reason.name());
    }
    text.push_str("# HELP sinew_handshakes_retried Handshakes that had to prove their address first.\n");
    text.push_str("# TYPE sinew_handshakes_retried counter\n");
    let _ = writeln!(text, "sinew_handshakes_retried_total {}", refusals.retried());
}

/// Gauges of endpoints are read from their table when asked.
fn write_endpoints(text: &mut String, plane: &Plane) {
    text.push_str("# HELP sinew_endpoint_up 1 when an endpoint of this node takes new connections.\n");
    text.push_str("# TYPE sinew_endpoint_up gauge\n");
    for endpoint in plane.hosting.endpoints() {
        let (service, slot, up) = (endpoint.service, endpoint.slot, u8::from(endpoint.health == Health::Up));
        let _ = writeln!(text, "sinew_endpoint_up{{service=\"{service}\",slot=\"{slot}\"}} {up}");
    }
}

fn write_graced(text: &mut String, trust: &Trust) {
    text.push_str("# HELP sinew_expired_certificates_accepted Handshakes with a certificate in its grace.\n");
    text.push_str("# TYPE sinew_expired_certificates_accepted counter\n");
    let _ = writeln!(text, "sinew_expired_certificates_accepted_total {}", trust.graced());
}

/// Gauges of links are read from the links when asked, not kept twice.
fn write_links(text: &mut String, plane: &Plane) {
    let peers = plane.peers.all();
    text.push_str("# HELP sinew_peer_up 1 when the peer may be picked.\n# TYPE sinew_peer_up gauge\n");
    for peer in &peers {
        let up = u8::from(peer.reach() == Reach::Up);
        let _ = writeln!(text, "sinew_peer_up{{peer=\"{}\"}} {up}", peer.name());
    }
    const EXPIRY: &str = "sinew_peer_certificate_expiration_timestamp_seconds";
    let _ = writeln!(text, "# HELP {EXPIRY} First end of the certificates behind its connections.");
    let _ = writeln!(text, "# TYPE {EXPIRY} gauge\n# UNIT {EXPIRY} seconds");
    for peer in &peers {
        if let Some(until) = peer.links().iter().map(|link| link.vouched_until()).min() {
            let _ = writeln!(text, "{EXPIRY}{{peer=\"{}\"}} {until}", peer.name());
        }
    }
    text.push_str("# HELP sinew_quic_rtt_seconds Smoothed round trip of the best connection.\n");
    text.push_str("# TYPE sinew_quic_rtt_seconds gauge\n# UNIT sinew_quic_rtt_seconds seconds\n");
    for peer in &peers {
        if let Some(rtt) = peer.links().iter().map(|link| link.round_trip()).min() {
            let _ =
                writeln!(text, "sinew_quic_rtt_seconds{{peer=\"{}\"}} {}", peer.name(), rtt.as_secs_f64());
        }
    }
}
