//! Who may call: the three questions of [`sinew_transport::http`], with each refusal counted and answered.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sinew_transport::http::{Uncalled, check_browser, check_credential};

use super::{Api, problem};
use crate::metrics::Metrics;

/// Lets through what is addressed to this machine and does not come from a foreign page.
pub(super) async fn browser(State(api): State<Api>, request: Request, next: Next) -> Response {
    match check_browser(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => refuse(&api, why, StatusCode::FORBIDDEN, &why.to_string()),
    }
}

/// Lets through who holds the admin token.
pub(super) async fn credential(State(api): State<Api>, request: Request, next: Next) -> Response {
    if let Err(why) = check_credential(request.headers(), api.admin_token.expose()) {
        let given =
            if is_given(request.headers()) { "this token is not the one" } else { "it needs a token" };
        let help = format!(
            "{given} in the controller's admin.token; send `Authorization: Bearer …`, or use `sinew --state`"
        );
        return refuse(&api, why, StatusCode::UNAUTHORIZED, &help);
    }
    next.run(request).await
}

fn is_given(headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.is_some_and(|text| text.starts_with("Bearer "))
}

fn refuse(api: &Api, why: Uncalled, status: StatusCode, help: &str) -> Response {
    let reason = why.name();
    Metrics::count_reason(&api.hub.metrics.api_refused, reason);
    if let Some(withheld) = api.hub.api_refusals.admit() {
        tracing::warn!(reason, withheld, "call of the API refused");
    }
    problem(status, &format!("the API refuses this call: {help}"))
}
