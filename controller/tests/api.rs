//! Stories of the HTTP API: who may call, what it answers, and what it says when it does not.

mod support;

use serde_json::Value;
use support::Controller;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn a_caller_without_the_admin_token_is_refused() {
    let controller = Controller::start().await;
    let host = controller.host();
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    let basic = format!("Authorization: Basic {}", controller.admin_token());
    let cut = format!("Authorization: Bearer {}", &controller.admin_token()[..63]);

    for headers in [vec![&*host], vec![&host, &wrong], vec![&host, &basic], vec![&host, &cut]] {
        for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/tokens")] {
            let (status, body) = controller.call(method, path, &headers, "").await;

            assert_eq!(status, 401, "{headers:?}");
            assert_eq!(json(&body)["apiVersion"], "sinew/v1");
            assert!(json(&body)["error"].as_str().is_some_and(|e| e.contains("admin.token")), "{body}");
        }
    }
    assert_eq!(controller.metric("sinew_controller_api_refused_total{reason=\"credential\"}").await, 8);
}

#[tokio::test]
async fn a_call_that_is_addressed_to_another_name_is_refused_even_with_the_token() {
    let controller = Controller::start().await;
    let bearer = format!("Authorization: Bearer {}", controller.admin_token());

    for path in ["/v1/status", "/metrics", "/livez", "/nonsense"] {
        let (status, body) = controller.call("GET", path, &["Host: evil.example", &bearer], "").await;

        assert_eq!(status, 403, "{path}");
        assert!(json(&body)["error"].as_str().is_some_and(|e| e.contains("127.0.0.1")), "{body}");
    }
    assert_eq!(controller.metric("sinew_controller_api_refused_total{reason=\"host\"}").await, 4);
}

#[tokio::test]
async fn the_host_in_the_request_line_counts_before_the_header() {
    let controller = Controller::start().await;
    let (host, bearer) = (controller.host(), format!("Authorization: Bearer {}", controller.admin_token()));

    let call = |path: String| {
        let (controller, headers) = (&controller, [&*host, &*bearer]);
        async move { controller.call("GET", &path, &headers, "").await.0 }
    };

    assert_eq!(call("http://evil.example/v1/status".into()).await, 403);
    assert_eq!(call(format!("http://{}/v1/status", controller.ports.api)).await, 200);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_even_with_the_token() {
    let controller = Controller::start().await;
    let bearer = format!("Authorization: Bearer {}", controller.admin_token());
    let own = format!("Origin: http://{}", controller.ports.api);
    let host = controller.host();
    let call = |origin: String| {
        let (controller, headers) = (&controller, [host.clone(), bearer.clone(), origin]);
        async move {
            let headers = headers.each_ref().map(String::as_str);
            controller.call("GET", "/v1/status", &headers, "").await.0
        }
    };

    assert_eq!(call("Origin: http://evil.example".into()).await, 403);
    assert_eq!(call("Origin: null".into()).await, 403);
    assert_eq!(call("Origin: http://127.0.0.1:1".into()).await, 403, "another port is another program");
    assert_eq!(call(own).await, 200);
    assert_eq!(controller.metric("sinew_controller_api_refused_total{reason=\"origin\"}").await, 3);
}

#[tokio::test]
async fn a_new_mesh_is_empty_and_ready() {
    let controller = Controller::start().await;

    let status = controller.status().await;

    assert_eq!((status.api_version.as_str(), status.trust_domain.as_str()), ("sinew/v1", "mesh.local"));
    assert_eq!((status.controller.as_str(), status.revision.0), ("c1", 0));
    assert!(status.nodes.is_empty() && status.services.is_empty());
    for path in ["/livez", "/readyz"] {
        assert_eq!(controller.call("GET", path, &[&controller.host()], "").await.0, 200);
    }
}

#[tokio::test]
async fn a_token_is_made_as_asked_and_its_secret_is_not_kept() {
    let controller = Controller::start().await;

    let token = controller.token("n1", &["web", "orders.shop"]).await;

    assert_eq!(token.node.as_str(), "n1");
    assert_eq!(token.services.iter().map(|s| s.as_str()).collect::<Vec<_>>(), ["orders.shop", "web"]);
    assert_eq!(token.controllers, [controller.ports.control]);
    assert_eq!(controller.metric("sinew_controller_tokens_outstanding").await, 1);
    for file in std::fs::read_dir(controller.state.path()).expect("there") {
        let path = file.expect("there").path();
        // Some hold keys, which are no text.
        let bytes = std::fs::read(&path).expect("readable");
        let secret = token.secret.expose().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
    }
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_refused_with_what_to_do() {
    let controller = Controller::start().await;
    let many = (0..700).map(|n| format!("\"service-{n}\"")).collect::<Vec<_>>().join(",");

    for (body, status, expected) in [
        (r#"{"node":"n1","services":["web"],"ttlSeconds":0}"#.to_owned(), 400, "--ttl"),
        (r#"{"node":"n1","services":["web"],"ttlSeconds":9999999}"#.to_owned(), 400, "7 days"),
        (r#"{"node":"n1","services":[],"ttlSeconds":60}"#.to_owned(), 400, "--service"),
        (format!(r#"{{"node":"n1","services":[{many}],"ttlSeconds":60}}"#), 400, "fewer services"),
        (r#"{"node":"N 1","services":["web"],"ttlSeconds":60}"#.to_owned(), 422, "not a valid node name"),
        (r#"{"node":"n1","services":["web"],"ttlSeconds":60,"x":1}"#.to_owned(), 422, "unknown field"),
        ("{".to_owned(), 400, "creating a token"),
        (format!("\"{}\"", "x".repeat(65 * 1024)), 413, "creating a token"),
    ] {
        let (seen, answer) = controller.post("/v1/tokens", &body).await;

        let error = json(&answer)["error"].as_str().expect("a problem").to_owned();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
        assert_eq!(seen, status, "{error}");
    }
    assert_eq!(controller.metric("sinew_controller_tokens_outstanding").await, 0);
}

#[tokio::test]
async fn weights_of_what_is_no_service_or_is_not_there_are_a_problem() {
    let controller = Controller::start().await;

    let (wrong, why) = controller.get("/v1/weights/No%20Service").await;
    let (absent, where_to_look) = controller.get("/v1/weights/orders").await;

    assert_eq!((wrong, absent), (400, 404), "{why} {where_to_look}");
    assert!(where_to_look.contains("sinew status"), "{where_to_look}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let controller = Controller::start().await;

    let (lost, lost_body) = controller.get("/v1/nothing").await;
    let (method, method_body) = controller.post("/v1/status", "{}").await;

    assert_eq!((lost, method), (404, 405));
    for body in [lost_body, method_body] {
        assert_eq!(json(&body)["apiVersion"], "sinew/v1");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics_with_the_build() {
    let controller = Controller::start().await;

    let (status, text) = controller.call("GET", "/metrics", &[&controller.host()], "").await;

    assert_eq!(status, 200);
    assert!(
        text.contains(&format!("sinew_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn the_files_with_secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let controller = Controller::start().await;

    for file in ["admin.token", "ca.key.pem", "controller.key.pem"] {
        let path = controller.state.path().join(file);
        let mode = std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
