//! Who may call.
//!
//! The API listens on loopback, where every program of every user reaches it, and every web page that a
//! browser on this machine shows. So three questions, in this order: is the call addressed to this
//! machine ([`browser`]: `Host`; a page that rebinds its DNS name to 127.0.0.1 says another), does it
//! come from a page of another origin (`Origin`), and does the caller hold the admin token
//! ([`credential`]).

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{Api, problem};
use crate::metrics::Metrics;

/// Lets through what is addressed to this machine and does not come from a foreign page.
pub(super) async fn browser(State(api): State<Api>, request: Request, next: Next) -> Response {
    // HTTP/1.1 may carry the host in the request line instead, and that wins (RFC 9112 section 3.2.2).
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text(request.headers(), header::HOST));
    let Some(host) = host.filter(|host| is_loopback(host)) else {
        return refuse(&api, "host", StatusCode::FORBIDDEN, "call it by 127.0.0.1, [::1] or localhost");
    };
    if request.headers().contains_key(header::ORIGIN) {
        let origin = text(request.headers(), header::ORIGIN).and_then(|o| o.strip_prefix("http://"));
        if origin != Some(host) {
            return refuse(&api, "origin", StatusCode::FORBIDDEN, "pages of other origins may not call it");
        }
    }
    next.run(request).await
}

/// Lets through who holds the admin token.
pub(super) async fn credential(State(api): State<Api>, request: Request, next: Next) -> Response {
    let bearer = text(request.headers(), header::AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer "));
    let known = api.admin_token.expose().as_bytes();
    match bearer {
        Some(given) if verify_slices_are_equal(given.as_bytes(), known).is_ok() => next.run(request).await,
        given => {
            let given = if given.is_some() { "this token is not the one" } else { "it needs a token" };
            let help = format!(
                "{given} in the controller's admin.token; send `Authorization: Bearer …`, or use `sinew --state`"
            );
            refuse(&api, "credential", StatusCode::UNAUTHORIZED, &help)
        }
    }
}

fn refuse(api: &Api, reason: &'static str, status: StatusCode, help: &str) -> Response {
    Metrics::count_reason(&api.hub.metrics.api_refused, reason);
    tracing::warn!(reason, "call of the API refused");
    problem(status, &format!("the API refuses this call: {help}"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether `host` or `host:port` names this machine and nothing that DNS could rebind.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in
            ["127.0.0.1", "127.0.0.1:7402", "localhost", "LocalHost:80", "[::1]:7402", "[::1]", "127.9.9.9:1"]
        {
            assert!(is_loopback(host), "{host} is this machine");
        }
        for host in [
            "",
            ":",
            ":80",
            "evil.example",
            "evil.example:7402",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7402",
            "0.0.0.0:7402",
            "10.0.0.1",
            "[::]:7402",
            "127.0.0.1:7402:7402",
            "127.0.0.1:x",
            "localhost:",
        ] {
            assert!(!is_loopback(host), "{host} is not this machine");
        }
    }
}
