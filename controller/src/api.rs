//! The HTTP API: for the CLI, for probes, for whoever scrapes metrics.
//!
//! `/v1/…` answers versioned JSON to callers with the admin token; `/livez`, `/readyz` and `/metrics`
//! answer anyone on this machine. Before either, [`guard`] turns away what a foreign web page could make
//! a browser send. Every error is a [`Problem`] that says what to do.
//!
//! A route is declared together with its description, so that [`document`] knows all of them and their bodies.

mod document;
mod guard;
mod resources;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use sinew_api::Secret;
use sinew_api::status::{API_VERSION, CreatedToken, NewToken, Problem, Status};
use sinew_api::weights::ServiceWeights;
use sinew_controller_core::tokens::TokenError;
use sinew_transport::http::HttpListener;
use sinew_transport::session::SessionListener;
use sinew_transport_core::ids::ServiceName;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::hub::{Hub, NoToken};
use crate::ledger::CreateError;
use crate::metrics::Metrics;

pub use document::document;

/// The largest body that is read: a token with some hundred services takes 32 KiB.
const BODY_MAX: usize = 64 * 1024;
/// How long a call may take. All of them answer from memory, or after one small write to disk.
const CALL_TIME: Duration = Duration::from_secs(10);
/// How long calls in progress may go on when the controller stops.
const STOP_TIME: Duration = Duration::from_secs(2);

/// What the handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    hub: Arc<Hub>,
    sessions: Arc<SessionListener>,
    admin_token: Secret,
}

impl Api {
    pub(crate) fn new(hub: &Arc<Hub>, sessions: &Arc<SessionListener>, admin_token: Secret) -> Self {
        Self { hub: Arc::clone(hub), sessions: Arc::clone(sessions), admin_token }
    }
}

/// Serves the API until `stop`.
pub(crate) async fn serve(listener: HttpListener, api: Api, stop: CancellationToken) {
    let stopped = stop.clone().cancelled_owned();
    let serving = axum::serve(listener, router(api)).with_graceful_shutdown(stopped).into_future();
    let last_calls = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIME).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(%error, "the API ended");
            }
        }
        () = last_calls => tracing::debug!("calls of the API were cut"),
    }
}

/// What anyone on this machine may ask.
fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// What takes the admin token.
fn private() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(weights))
        .routes(routes!(create_token))
        .routes(routes!(document::openapi))
        .merge(resources::routes())
}

fn router(api: Api) -> Router {
    let (public, private) = (Router::from(public()), Router::from(private()));
    public
        .merge(private.layer(middleware::from_fn_with_state(api.clone(), guard::credential)))
        .fallback(async || {
            problem(StatusCode::NOT_FOUND, "no such path; see `sinew --help` for what there is")
        })
        .method_not_allowed_fallback(async || {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path takes another method: GET what is read, POST what is made",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(api.clone(), guard::browser))
        .with_state(api)
}

/// The process runs
#[utoipa::path(get, path = "/livez", tag = "probes", responses(
    (status = 200, description = "It does", body = str, content_type = "text/plain")
))]
async fn livez() -> &'static str {
    "alive\n"
}

/// It can serve nodes
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, description = "It can", body = str, content_type = "text/plain")
))]
async fn readyz() -> &'static str {
    "ready\n"
}

/// The mesh as this controller sees it
#[utoipa::path(get, path = "/v1/status", tag = "mesh", responses(
    (status = 200, description = "Its nodes and services", body = Status)
))]
async fn status(State(api): State<Api>) -> Json<Status> {
    Json(api.hub.status())
}

/// The weights of a service's endpoints for each caller, and why
#[utoipa::path(get, path = "/v1/weights/{service}", tag = "mesh",
    params(("service" = ServiceName, Path, description = "The service")),
    responses(
        (status = 200, description = "Every factor of every weight", body = ServiceWeights),
        (status = 400, description = "That is no name of a service", body = Problem),
        (status = 404, description = "Nobody hosts or calls it", body = Problem),
    )
)]
async fn weights(
    State(api): State<Api>,
    service: Result<Path<String>, PathRejection>,
) -> Result<Json<ServiceWeights>, Response> {
    let Path(service) = service.map_err(|e| malformed("showing weights", e.status(), &e.body_text()))?;
    let asked = ServiceName::new(&service)
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("showing weights: {error}")))?;
    let unknown = || {
        let why =
            format!("showing weights: nobody hosts or calls `{asked}`; `sinew status` lists what there is");
        problem(StatusCode::NOT_FOUND, &why)
    };
    api.hub.mesh(|mesh| mesh.why_weights(&asked)).map(Json).ok_or_else(unknown)
}

/// Makes a token
///
/// Its text is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = NewToken, responses(
    (status = 201, description = "The token", body = CreatedToken),
    (status = 400, description = "The body is no JSON, or such a token makes no sense", body = Problem),
    (status = 409, description = "There are as many nodes as there may be", body = Problem),
    (status = 413, description = "The body is longer than 64 KiB", body = Problem),
    (status = 415, description = "`Content-Type` is not `application/json`", body = Problem),
    (status = 422, description = "The body is JSON, but not what is taken", body = Problem),
    (status = 429, description = "There are as many tokens as there may be", body = Problem),
    (status = 500, description = "It could not be written to disk", body = Problem),
))]
async fn create_token(
    State(api): State<Api>,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Result<(StatusCode, Json<CreatedToken>), Response> {
    let Json(new) = body.map_err(|e| malformed("creating a token", e.status(), &e.body_text()))?;
    let created = api.hub.create_token(new).await.map_err(|error| {
        let status = match &error {
            NoToken::Create(CreateError::Refused(TokenError::TooMany)) => StatusCode::TOO_MANY_REQUESTS,
            NoToken::Create(CreateError::Refused(_)) | NoToken::TooLong => StatusCode::BAD_REQUEST,
            NoToken::Create(CreateError::Store(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            NoToken::Full(_) => StatusCode::CONFLICT,
        };
        problem(status, &format!("creating a token: {error}"))
    })?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// What the controller counts, as OpenMetrics
#[utoipa::path(get, path = "/metrics", tag = "probes", responses(
    (status = 200, description = "OpenMetrics 1.0.0", body = str, content_type = "application/openmetrics-text"),
    (status = 500, description = "They could not be written", body = Problem),
))]
async fn metrics(State(api): State<Api>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    api.hub.measure();
    api.hub.metrics.handshakes_retried.inner().store(api.sessions.retried(), Relaxed);
    for (reason, count) in api.sessions.refused() {
        Metrics::set_reason(&api.hub.metrics.refused, reason, count);
    }
    match api.hub.metrics.to_text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// No call takes longer than [`CALL_TIME`], however slowly its body comes.
async fn in_time(request: Request, next: Next) -> Response {
    timeout(CALL_TIME, next.run(request)).await.unwrap_or_else(|_| {
        problem(StatusCode::REQUEST_TIMEOUT, "the call took too long; send its body at once, and try again")
    })
}

/// What was asked could not be read.
fn malformed(doing: &str, status: StatusCode, why: &str) -> Response {
    problem(status, &format!("{doing}: {why}"))
}

/// An error, for the next person.
fn problem(status: StatusCode, error: &str) -> Response {
    let problem = Problem { api_version: API_VERSION.to_owned(), error: error.to_owned() };
    let mut response = (status, Json(problem)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
