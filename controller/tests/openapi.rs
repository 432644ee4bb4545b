//! The API is what its description says: every route, every answer, and who is refused everywhere.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::node::Node;
use support::{Controller, schema};

/// One call, and the status that it is answered with.
struct Call {
    method: &'static str,
    /// As in the document.
    route: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
}

fn call(method: &'static str, route: &'static str, path: &'static str, body: Value, status: u16) -> Call {
    Call { method, route, path, body, status }
}

/// What is answered as asked, at least once for each route, in an order in which it can be.
fn granted() -> Vec<Call> {
    let text = "[mesh]\ndefault_policy = \"allow\"\n[[service]]\nname = \"orders\"\nport = 8080\n\
                [[node]]\nname = \"n1\"\nzone = \"eu-1\"\nlabels = { version = \"v2\" }\n\
                [[endpoint]]\nnode = \"n1\"\nservice = \"orders\"\naddress = \"127.0.0.1:9001\"\n\
                [[listener]]\nnode = \"n1\"\nservice = \"orders\"\nas = \"web\"\naddress = \"127.0.0.1:5001\"\n";
    let file = |text: &str| json!({ "documents": [{ "name": "mesh.toml", "text": text }], "message": "why" });
    let changed = "[[service]]\nname = \"orders\"\nport = 8081\n";
    vec![
        call("GET", "/livez", "/livez", Value::Null, 200),
        call("GET", "/readyz", "/readyz", Value::Null, 200),
        call("GET", "/metrics", "/metrics", Value::Null, 200),
        call("GET", "/v1/openapi.json", "/v1/openapi.json", Value::Null, 200),
        call("GET", "/v1/status", "/v1/status", Value::Null, 200),
        call(
            "POST",
            "/v1/tokens",
            "/v1/tokens",
            json!({ "node": "n9", "services": ["web"], "ttlSeconds": 60 }),
            201,
        ),
        call("POST", "/v1/apply", "/v1/apply", file(text), 200),
        call("POST", "/v1/apply", "/v1/apply", file(changed), 200),
        call("GET", "/v1/resources", "/v1/resources", Value::Null, 200),
        call("GET", "/v1/history", "/v1/history", Value::Null, 200),
        call("GET", "/v1/rollouts/{revision}", "/v1/rollouts/1000000?wait=1", Value::Null, 200),
        call("GET", "/v1/nodes/{node}/effective", "/v1/nodes/n1/effective", Value::Null, 200),
        call("GET", "/v1/weights/{service}", "/v1/weights/orders", Value::Null, 200),
        call(
            "DELETE",
            "/v1/resources",
            "/v1/resources",
            json!({ "keys": ["listener/n1/127.0.0.1:5001"] }),
            200,
        ),
    ]
}

/// What is refused, for each route that can refuse more than a caller.
fn refused() -> Vec<Call> {
    let mistake = json!({ "documents": [{ "name": "mesh.toml", "text": "[[service]]\nport = 0\n" }] });
    let long = json!({ "documents": [], "message": "x".repeat(501) });
    vec![
        call(
            "POST",
            "/v1/tokens",
            "/v1/tokens",
            json!({ "node": "n9", "services": [], "ttlSeconds": 60 }),
            400,
        ),
        call("POST", "/v1/tokens", "/v1/tokens", json!({ "node": "N 9" }), 422),
        call("POST", "/v1/apply", "/v1/apply", mistake, 422),
        call("POST", "/v1/apply", "/v1/apply", long, 400),
        call("POST", "/v1/apply", "/v1/apply", json!({ "files": [] }), 400),
        call("DELETE", "/v1/resources", "/v1/resources", json!({ "keys": ["service/nowhere"] }), 404),
        call("DELETE", "/v1/resources", "/v1/resources", json!({ "keys": ["nothing"] }), 400),
        call("GET", "/v1/rollouts/{revision}", "/v1/rollouts/x", Value::Null, 400),
        call("GET", "/v1/rollouts/{revision}", "/v1/rollouts/1?weight=1", Value::Null, 400),
        call("GET", "/v1/nodes/{node}/effective", "/v1/nodes/nobody/effective", Value::Null, 404),
        call("GET", "/v1/nodes/{node}/effective", "/v1/nodes/%FF/effective", Value::Null, 400),
        call("GET", "/v1/weights/{service}", "/v1/weights/nobody", Value::Null, 404),
        call("GET", "/v1/weights/{service}", "/v1/weights/No", Value::Null, 400),
    ]
}

async fn ask(controller: &Controller, call: &Call, headers: &[&str]) -> (u16, String) {
    let body = if call.body.is_null() { String::new() } else { call.body.to_string() };
    let mut headers = headers.to_vec();
    if !body.is_empty() {
        headers.push("Content-Type: application/json");
    }
    controller.call(call.method, call.path, &headers, &body).await
}

/// Asks with the token, and holds the answer against the document.
async fn holds(controller: &Controller, document: &Value, call: &Call) {
    let bearer = format!("Authorization: Bearer {}", controller.admin_token());
    let (status, answer) = ask(controller, call, &[&controller.host(), &bearer]).await;
    let context = format!("{} {}", call.method, call.path);

    assert_eq!(status, call.status, "{context}: {answer}");
    let operation = &document["paths"][call.route][call.method.to_lowercase()];
    let content = operation["responses"][status.to_string()]["content"].as_object();
    let content = content.unwrap_or_else(|| panic!("{context}: {status} is not described"));
    if let Some(json) = content.get("application/json") {
        let answer =
            serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{context}: {answer:?} is no JSON"));
        let wrong = schema::wrong(document, &json["schema"], &answer);
        assert!(wrong.is_empty(), "{context}: {wrong:#?} in {answer:#}");
    }
    if (200..300).contains(&status) && !call.body.is_null() {
        let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
        let wrong = schema::wrong(document, taken, &call.body);
        assert!(wrong.is_empty(), "{context}: it took what the document refuses: {wrong:#?}");
    }
}

/// Every method and path of the document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().expect("methods").keys().map(|m| m.to_uppercase()).collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

/// A mesh in which `orders` is hosted and called.
async fn mesh() -> (Controller, Node, Node) {
    let controller = Controller::start().await;
    let (host, _) = Node::up(&controller, "n1", &["orders"], &[]).await;
    let (caller, _) = Node::up(&controller, "n2", &[], &["orders"]).await;
    (controller, host, caller)
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let (controller, _host, _caller) = mesh().await;
    let document = sinew_controller::api_document();

    for call in granted() {
        holds(&controller, &document, &call).await;
    }
    for call in refused() {
        holds(&controller, &document, &call).await;
    }
}

#[tokio::test]
async fn every_route_is_described_and_tried_here_and_nothing_else_is_described() {
    let document = sinew_controller::api_document();
    let tried: BTreeSet<_> = granted().iter().map(|call| (call.method.into(), call.route.into())).collect();

    // A path of the document that leads nowhere would fail where it is tried.
    assert_eq!(operations(&document), tried);
    // Routes are made by `routes!` from what is described; these would be made beside it.
    for source in [include_str!("../src/api.rs"), include_str!("../src/api/resources.rs")] {
        for word in [".route(", ".nest(", ".route_service(", ".fallback_service("] {
            assert!(!source.contains(word), "a route by {word} is in no document; use routes!");
        }
    }
}

#[tokio::test]
async fn methods_that_are_not_described_are_refused() {
    let controller = Controller::start().await;
    let described = operations(&sinew_controller::api_document());
    let bearer = format!("Authorization: Bearer {}", controller.admin_token());

    for call in granted() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if described.contains(&(method.to_owned(), call.route.to_owned())) {
                continue;
            }
            let (status, answer) =
                controller.call(method, call.path, &[&controller.host(), &bearer], "").await;
            assert_eq!(status, 405, "{method} {}: {answer}", call.path);
        }
    }
}

#[tokio::test]
async fn whoever_may_not_call_is_refused_on_every_route_as_described() {
    let controller = Controller::start().await;
    let document = sinew_controller::api_document();
    let (host, bearer) = (controller.host(), format!("Authorization: Bearer {}", controller.admin_token()));
    let problem = &document["components"]["schemas"]["Problem"];

    for call in granted() {
        let secured = document["paths"][call.route][call.method.to_lowercase()]["security"].is_array();
        assert_eq!(secured, call.path.starts_with("/v1/"), "{}", call.path);
        let mut refusals = vec![
            (vec!["Host: evil.example", &bearer], 403),
            (vec![&host, &bearer, "Origin: http://evil.example"], 403),
            (vec![&host, &bearer, "Origin: null"], 403),
        ];
        if secured {
            refusals.push((vec![&host], 401));
            refusals.push((vec![&host, "Authorization: Bearer wrong"], 401));
        }
        for (headers, expected) in refusals {
            let (status, answer) = ask(&controller, &call, &headers).await;

            assert_eq!(status, expected, "{} {} {headers:?}: {answer}", call.method, call.path);
            let described = &document["paths"][call.route][call.method.to_lowercase()]["responses"];
            assert!(described[status.to_string()].is_object(), "{} {status}", call.path);
            let answer = serde_json::from_str(&answer).expect("a problem");
            assert_eq!(schema::wrong(&document, problem, &answer), [""; 0]);
        }
    }
    assert!(controller.status().await.nodes.is_empty(), "nothing was done");
}

#[tokio::test]
async fn the_document_is_served_as_it_is_published() {
    let controller = Controller::start().await;

    let (status, answer) = controller.get("/v1/openapi.json").await;

    let served: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((status, served["openapi"].as_str()), (200, Some("3.1.0")));
    assert_eq!(served, sinew_controller::api_document());
    // Links of Rust's documentation lead nowhere here.
    assert!(!answer.contains("[`") && !answer.contains("crate::"), "{answer}");
}

#[test]
fn an_answer_that_is_not_what_the_document_says_is_found() {
    let document = sinew_controller::api_document();
    let list = |resource: Value| {
        let answer = json!({ "apiVersion": "sinew/v1", "revision": 1, "resources": [resource] });
        schema::wrong(&document, &document["components"]["schemas"]["ResourceList"], &answer).len()
    };

    assert_eq!(list(json!({ "kind": "service", "name": "orders", "protocol": "tcp" })), 0);
    assert_eq!(list(json!({ "kind": "service", "protocol": "tcp" })), 1, "no name");
    assert_eq!(list(json!({ "kind": "gateway", "name": "orders" })), 1, "no such kind");
    assert_eq!(list(json!({ "kind": "service", "name": "orders", "port": "80" })), 1, "no number");
    assert_eq!(list(json!({ "kind": "service", "name": "orders", "colour": "red" })), 1, "an unknown key");
    assert_eq!(list(json!({ "kind": "service", "name": "orders", "health": { "x": 1 } })), 1, "one inside");
}
