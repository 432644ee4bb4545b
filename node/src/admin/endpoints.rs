//! `/v1/endpoints`, `/v1/register`, `/v1/deregister`: what stands behind this node, and the word of whoever holds
//! the admin token about it.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sinew_api::Secret;
use sinew_api::admin::{Deregistered, Deregistering, NodeEndpoints, Registered, Registering};
use sinew_api::join::{from_hex32, to_hex};
use sinew_api::status::{API_VERSION, Problem};
use sinew_transport::http::{Uncalled, check_browser, check_credential, token_bytes};
use sinew_transport::{Access, Runtime};

use super::Admin;
use crate::hosting::Untaken;
use crate::state::StateError;

/// Where the command line looks for the token.
const TOKEN_FILE: &str = "admin.token";

/// Reads the admin token of the state directory, or makes one.
///
/// # Errors
/// [`StateError`] when the file can't be used.
pub(crate) fn admin_token(runtime: &Arc<dyn Runtime>, state: &Path) -> Result<Secret, StateError> {
    let path = state.join(TOKEN_FILE);
    match runtime.read_file(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            if from_hex32(&text).is_some() {
                return Ok(Secret::new(text));
            }
            let reason = "it is not 64 hex digits".to_owned();
            Err(StateError::Damaged { path, reason, loss: "a new one is made" })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = to_hex(&token_bytes());
            let written = runtime.write_file(&path, format!("{token}\n").as_bytes(), Access::Private);
            written.map_err(|source| StateError::File { path, source })?;
            Ok(Secret::new(token))
        }
        Err(source) => Err(StateError::File { path, source }),
    }
}

/// Lets through what is addressed to this machine and does not come from a foreign page.
pub(super) async fn browser(request: Request, next: Next) -> Response {
    match check_browser(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => refuse(StatusCode::FORBIDDEN, why),
    }
}

/// Lets through who holds the admin token.
pub(super) async fn credential(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match check_credential(request.headers(), admin.token.expose()) {
        Ok(()) => next.run(request).await,
        Err(why) => refuse(StatusCode::UNAUTHORIZED, why),
    }
}

fn refuse(status: StatusCode, why: Uncalled) -> Response {
    tracing::warn!(reason = why.name(), "call of the admin listener refused");
    problem(status, &format!("the node refuses this call: {why}"))
}

/// `GET /v1/endpoints`.
pub(super) async fn endpoints(State(admin): State<Arc<Admin>>) -> Json<NodeEndpoints> {
    let plane = &admin.plane;
    Json(NodeEndpoints {
        api_version: API_VERSION.to_owned(),
        node: plane.me.clone(),
        granted: plane.view().granted.iter().cloned().collect(),
        endpoints: plane.hosting.endpoints(),
        listeners: plane.listeners.shown(),
    })
}

/// `POST /v1/register`.
pub(super) async fn register(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Registering>, JsonRejection>,
) -> Result<Json<Registered>, Response> {
    let plane = &admin.plane;
    let Json(new) = body.map_err(|error| unread("registering", &error))?;
    let service = new.service.clone();
    let view = plane.view();
    let granted = plane.revision().borrow().is_some().then_some(&view.granted);
    let endpoint = plane.hosting.register(&admin.registered, granted, new);
    let endpoint = endpoint.map_err(|why| untaken(&format!("registering `{service}`"), &why))?;
    tracing::info!(%service, slot = endpoint.slot, address = %endpoint.address, "endpoint registered");
    Ok(Json(Registered { api_version: API_VERSION.to_owned(), node: plane.me.clone(), endpoint }))
}

/// `POST /v1/deregister`.
pub(super) async fn deregister(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Deregistering>, JsonRejection>,
) -> Result<Json<Deregistered>, Response> {
    let plane = &admin.plane;
    let Json(gone) = body.map_err(|error| unread("deregistering", &error))?;
    let endpoints = plane.hosting.deregister(&admin.registered, &gone);
    let endpoints = endpoints.map_err(|why| untaken(&format!("deregistering `{}`", gone.service), &why))?;
    for endpoint in &endpoints {
        let (service, slot, drain) = (&endpoint.service, endpoint.slot, gone.drain);
        tracing::info!(%service, slot, drain, "endpoint deregistered");
    }
    Ok(Json(Deregistered { api_version: API_VERSION.to_owned(), node: plane.me.clone(), endpoints }))
}

/// The answer to a body that can't be read.
pub(super) fn unread(doing: &str, error: &JsonRejection) -> Response {
    problem(error.status(), &format!("{doing}: {}", error.body_text()))
}

fn untaken(doing: &str, why: &Untaken) -> Response {
    let status = match why {
        Untaken::NotGranted { .. } => StatusCode::FORBIDDEN,
        Untaken::NoSnapshot => StatusCode::SERVICE_UNAVAILABLE,
        Untaken::NotHosted(_) => StatusCode::CONFLICT,
        Untaken::Wrong(_) => StatusCode::BAD_REQUEST,
        Untaken::NotThere { .. } => StatusCode::NOT_FOUND,
        Untaken::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &format!("{doing}: {why}"))
}

/// An error, for the next person.
pub(super) fn problem(status: StatusCode, error: &str) -> Response {
    let problem = Problem { api_version: API_VERSION.to_owned(), error: error.to_owned() };
    let mut response = (status, Json(problem)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
