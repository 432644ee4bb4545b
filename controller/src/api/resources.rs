//! Resources over HTTP: apply, delete, read, and how far a change has got.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sinew_api::apply::{Applied, Apply, Delete, Effective, History, Refused, ResourceList, Rollout};
use sinew_api::status::{API_VERSION, Problem};
use sinew_controller_core::resources::FILE_MAX;
use sinew_transport_core::ids::{NodeName, Revision};
use tokio::time::{Instant, timeout_at};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, malformed, problem};
use crate::declare::NotDeclared;

/// The largest body of an apply: files, as JSON strings.
const APPLY_MAX: usize = 2 * FILE_MAX;

/// How long a caller may wait for a rollout in one call; it asks again as long as it likes.
const WAIT_MAX: Duration = Duration::from_secs(8);

pub(super) fn routes() -> OpenApiRouter<Api> {
    let apply = OpenApiRouter::new().routes(routes!(apply)).layer(DefaultBodyLimit::max(APPLY_MAX));
    OpenApiRouter::new()
        .merge(apply)
        .routes(routes!(resources, delete))
        .routes(routes!(history))
        .routes(routes!(rollout))
        .routes(routes!(effective))
}

/// Puts files into force together, or says what they would change
#[utoipa::path(post, path = "/v1/apply", tag = "resources", request_body = Apply, responses(
    (status = 200, description = "What changed, or would", body = Applied),
    (status = 400, description = "The body is not what is taken, or the message is too long", body = Problem),
    (status = 413, description = "The body is longer than 8 MiB", body = Problem),
    (status = 415, description = "`Content-Type` is not `application/json`", body = Problem),
    (status = 422, description = "There are mistakes in the files: all of them", body = Refused),
    (status = 500, description = "It could not be written to disk", body = Problem),
))]
async fn apply(
    State(api): State<Api>,
    body: Result<Json<Apply>, JsonRejection>,
) -> Result<Json<Applied>, Response> {
    let Json(apply) = body.map_err(|error| unread("applying", &error))?;
    api.hub.apply(apply).await.map(Json).map_err(refused)
}

/// Takes resources out together, or says what that would change
#[utoipa::path(delete, path = "/v1/resources", tag = "resources", request_body = Delete, responses(
    (status = 200, description = "What changed, or would", body = Applied),
    (status = 400, description = "The body is not what is taken, or the message is too long", body = Problem),
    (status = 404, description = "Some of them are not declared", body = Problem),
    (status = 409, description = "Others that stay need some of them", body = Problem),
    (status = 413, description = "The body is longer than 64 KiB", body = Problem),
    (status = 415, description = "`Content-Type` is not `application/json`", body = Problem),
    (status = 500, description = "It could not be written to disk", body = Problem),
))]
async fn delete(
    State(api): State<Api>,
    body: Result<Json<Delete>, JsonRejection>,
) -> Result<Json<Applied>, Response> {
    let Json(delete) = body.map_err(|error| unread("deleting", &error))?;
    api.hub.delete(delete).await.map(Json).map_err(refused)
}

/// A body that could not be read. 422 is kept for mistakes in files, which have an answer of their own.
fn unread(doing: &str, error: &JsonRejection) -> Response {
    let status = match error.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    malformed(doing, status, &error.body_text())
}

fn refused(error: NotDeclared) -> Response {
    let status = match &error {
        NotDeclared::Mistakes(refused) => {
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(refused)).into_response();
        }
        NotDeclared::Missing(_) => StatusCode::NOT_FOUND,
        NotDeclared::Needed(_) => StatusCode::CONFLICT,
        NotDeclared::Message => StatusCode::BAD_REQUEST,
        NotDeclared::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &format!("nothing was changed: {error}"))
}

/// Everything that is declared
#[utoipa::path(get, path = "/v1/resources", tag = "resources", responses(
    (status = 200, description = "The resources, by key", body = ResourceList),
    (status = 500, description = "The disk failed before; restart the controller", body = Problem),
))]
async fn resources(State(api): State<Api>) -> Result<Json<ResourceList>, Response> {
    let ledger = api.hub.ledger().await.map_err(|error| refused(error.into()))?;
    let (resources, revision) = (ledger.resources().clone(), api.hub.mesh(|mesh| mesh.revision()));
    Ok(Json(ResourceList { api_version: API_VERSION.to_owned(), revision, resources }))
}

/// The changes of the past, the newest first
#[utoipa::path(get, path = "/v1/history", tag = "resources", responses(
    (status = 200, description = "The newest thousand", body = History),
    (status = 500, description = "The disk failed before; restart the controller", body = Problem),
))]
async fn history(State(api): State<Api>) -> Result<Json<History>, Response> {
    let ledger = api.hub.ledger().await.map_err(|error| refused(error.into()))?;
    Ok(Json(History { api_version: API_VERSION.to_owned(), changes: ledger.history().cloned().collect() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// For how many milliseconds to wait until every node has acknowledged; 0 to answer at once.
    #[serde(default)]
    wait: u64,
}

/// How far a revision has got
///
/// It may be waited for; a caller that wants to wait longer asks again.
#[utoipa::path(get, path = "/v1/rollouts/{revision}", tag = "resources",
    params(
        ("revision" = Revision, Path, description = "The revision"),
        ("wait" = Option<u64>, Query,
            description = "For how many milliseconds to wait until every node has acknowledged it; at most 8000 \
                           are waited"),
    ),
    responses(
        (status = 200, description = "Whom it concerns, and who lags", body = Rollout),
        (status = 400, description = "That is no revision, or no such question", body = Problem),
    )
)]
async fn rollout(
    State(api): State<Api>,
    revision: Result<Path<u64>, PathRejection>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Rollout>, Response> {
    const DOING: &str = "asking how far a revision has got";
    let Path(revision) = revision.map_err(|e| malformed(DOING, e.status(), &e.body_text()))?;
    let Query(Wait { wait }) = wait.map_err(|e| malformed(DOING, e.status(), &e.body_text()))?;
    let deadline = Instant::now() + Duration::from_millis(wait).min(WAIT_MAX);
    let mut answers = api.hub.watch_answers();
    let revision = Revision(revision);
    loop {
        answers.mark_unchanged();
        // Asked after every answer of a node; who lags is told once.
        let done = api.hub.mesh(|mesh| mesh.is_rolled_out(revision));
        if done || !matches!(timeout_at(deadline, answers.changed()).await, Ok(Ok(()))) {
            return Ok(Json(api.hub.mesh(|mesh| mesh.rollout(revision))));
        }
    }
}

/// What a node is told
#[utoipa::path(get, path = "/v1/nodes/{node}/effective", tag = "mesh",
    params(("node" = NodeName, Path, description = "The node")),
    responses(
        (status = 200, description = "Its whole configuration", body = Effective),
        (status = 400, description = "That is no name of a node", body = Problem),
        (status = 404, description = "No such node is registered", body = Problem),
    )
)]
async fn effective(
    State(api): State<Api>,
    node: Result<Path<String>, PathRejection>,
) -> Result<Json<Effective>, Response> {
    let Path(node) = node.map_err(|e| malformed("showing a node", e.status(), &e.body_text()))?;
    let node = NodeName::new(&node).map_err(|e| problem(StatusCode::BAD_REQUEST, &e.to_string()))?;
    let effective = api.hub.effective(&node);
    effective.map(Json).ok_or_else(|| {
        let error = format!(
            "node `{node}` is not registered; `sinew status` shows those that are. Is its agent running?"
        );
        problem(StatusCode::NOT_FOUND, &error)
    })
}
