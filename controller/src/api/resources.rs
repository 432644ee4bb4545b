//! Resources over HTTP: apply, delete, read, and how far a change has got.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use sinew_api::apply::{Applied, Apply, Delete, Effective, History, ResourceList, Rollout};
use sinew_api::status::API_VERSION;
use sinew_controller_core::resources::FILE_MAX;
use sinew_transport_core::ids::{NodeName, Revision};
use tokio::time::{Instant, timeout_at};

use super::{Api, problem};
use crate::declare::NotDeclared;

/// The largest body of an apply: files, as JSON strings.
const APPLY_MAX: usize = 2 * FILE_MAX;

/// How long a caller may wait for a rollout in one call; it asks again as long as it likes.
const WAIT_MAX: Duration = Duration::from_secs(8);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/apply", post(apply).layer(DefaultBodyLimit::max(APPLY_MAX)))
        .route("/v1/resources", get(resources).delete(delete))
        .route("/v1/history", get(history))
        .route("/v1/rollouts/{revision}", get(rollout))
        .route("/v1/nodes/{node}/effective", get(effective))
}

/// `POST /v1/apply`: puts files into force together, or says what they would change.
async fn apply(
    State(api): State<Api>,
    body: Result<Json<Apply>, JsonRejection>,
) -> Result<Json<Applied>, Response> {
    let Json(apply) = body.map_err(|e| problem(e.status(), &format!("applying: {}", e.body_text())))?;
    api.hub.apply(apply).await.map(Json).map_err(refused)
}

/// `DELETE /v1/resources`: takes resources out together, or says what that would change.
async fn delete(
    State(api): State<Api>,
    body: Result<Json<Delete>, JsonRejection>,
) -> Result<Json<Applied>, Response> {
    let Json(delete) = body.map_err(|e| problem(e.status(), &format!("deleting: {}", e.body_text())))?;
    api.hub.delete(delete).await.map(Json).map_err(refused)
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

/// `GET /v1/resources`: everything that is declared.
async fn resources(State(api): State<Api>) -> Result<Json<ResourceList>, Response> {
    let ledger = api.hub.ledger().await.map_err(|error| refused(error.into()))?;
    let (resources, revision) = (ledger.resources().clone(), api.hub.mesh(|mesh| mesh.revision()));
    Ok(Json(ResourceList { api_version: API_VERSION.to_owned(), revision, resources }))
}

/// `GET /v1/history`: the changes of the past, the newest first.
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

/// `GET /v1/rollouts/{revision}?wait=MS`: how far a revision has got.
async fn rollout(
    State(api): State<Api>,
    Path(revision): Path<u64>,
    Query(Wait { wait }): Query<Wait>,
) -> Json<Rollout> {
    let deadline = Instant::now() + Duration::from_millis(wait).min(WAIT_MAX);
    let mut answers = api.hub.watch_answers();
    loop {
        answers.mark_unchanged();
        let rollout = api.hub.mesh(|mesh| mesh.rollout(Revision(revision)));
        if rollout.laggards.is_empty() {
            return Json(rollout);
        }
        if !matches!(timeout_at(deadline, answers.changed()).await, Ok(Ok(()))) {
            return Json(rollout);
        }
    }
}

/// `GET /v1/nodes/{node}/effective`: what a node is told.
async fn effective(State(api): State<Api>, Path(node): Path<String>) -> Result<Json<Effective>, Response> {
    let node = NodeName::new(&node).map_err(|e| problem(StatusCode::BAD_REQUEST, &e.to_string()))?;
    let effective = api.hub.effective(&node);
    effective.map(Json).ok_or_else(|| {
        let error = format!(
            "node `{node}` is not registered; `sinew status` shows those that are. Is its agent running?"
        );
        problem(StatusCode::NOT_FOUND, &error)
    })
}
