//! The API's description, OpenAPI 3.1: of all routes, from the handlers and the types of their bodies.
//!
//! What [`super::guard`] and [`super::in_time`] answer for every route is added here, once. So is what the types
//! cannot say themselves: their comments are written for Rust's documentation, and read here by others.

use axum::Json;
use serde_json::{Map, Value, json};
use sinew_api::apply::MESSAGE_MAX;
use sinew_api::hosting::CAPACITY_DEFAULT;
use sinew_api::snapshot::WEIGHT_MAX;
use sinew_api::status::API_VERSION;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sinew controller",
        version = "v1",
        description = "What the command line does, for programs. Every call but the probes carries the admin token \
                       of the controller's state directory. The API is on the controller's own machine: calls for \
                       another `Host`, or from a page of another `Origin`, are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact(),
    ),
    servers((url = "http://127.0.0.1:7402", description = "Unless `api` in controller.toml says otherwise")),
    tags(
        (name = "mesh", description = "The mesh as it is"),
        (name = "resources", description = "What an operator declares"),
        (name = "tokens", description = "How nodes join"),
        (name = "probes", description = "For whoever watches the process; without a token"),
        (name = "api", description = "The API itself"),
    ),
)]
struct Description;

/// The OpenAPI 3.1 document of the API, which `GET /v1/openapi.json` serves.
#[must_use]
pub fn document() -> Value {
    let (public, private) = (super::public().into_openapi(), super::private().into_openapi());
    let secured: Vec<_> = private.paths.paths.keys().cloned().collect();
    let mut whole = Description::openapi();
    whole.merge(public);
    whole.merge(private);
    let mut document = serde_json::to_value(whole).expect("a document of text and numbers is JSON");
    document["components"]["securitySchemes"] = json!({ "bearer": {
        "type": "http", "scheme": "bearer", "description": "The text in the controller's admin.token."
    }});
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let responses = &mut operation["responses"];
            responses["403"] = refusal("The call is for another `Host`, or from a page of another `Origin`");
            responses["408"] = refusal("The call took too long; its body did not come");
            if secured.contains(path) {
                responses["401"] = refusal("The call carries no admin token, or another one");
                operation["security"] = json!([{ "bearer": [] }]);
            }
        }
    }
    let mut parts = Vec::new();
    clean(&mut document, &mut parts);
    // What is part of a whole cannot be closed: the whole has keys beside those of its part.
    for part in parts {
        if let Some(schema) = document["components"]["schemas"][part].as_object_mut() {
            schema.remove("additionalProperties");
        }
    }
    document
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", tag = "api", responses(
    (status = 200, description = "OpenAPI 3.1", body = serde_json::Value)
))]
pub(super) async fn openapi() -> Json<Value> {
    Json(document())
}

fn refusal(description: &str) -> Value {
    let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    json!({ "description": description, "content": { "application/json": problem } })
}

/// Makes descriptions readable outside of Rust, pins `apiVersion`, and names the schemas that are part of others.
fn clean(value: &mut Value, parts: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| clean(value, parts)),
        Value::Object(map) => {
            if let Some(Value::String(description)) = map.get_mut("description") {
                *description = plain(description);
            }
            if let Some(version) = map.get_mut("apiVersion").filter(|schema| schema.get("type").is_some()) {
                *version = json!({ "type": "string", "const": API_VERSION, "description": "Of the API." });
            }
            for part in map.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                let name = part["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
                parts.extend(name.map(str::to_owned));
            }
            map.values_mut().for_each(|value| clean(value, parts));
        }
        _ => {}
    }
}

/// A comment in Rust without its links: constants by their value, everything else by its own name.
fn plain(comment: &str) -> String {
    let (mut text, mut rest) = (String::new(), comment);
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((path, after)) = link.split_once("`]") else { break };
        text.push_str(before);
        match path.rsplit("::").next().unwrap_or(path) {
            "WEIGHT_MAX" => text.push_str(&WEIGHT_MAX.to_string()),
            "MESSAGE_MAX" => text.push_str(&MESSAGE_MAX.to_string()),
            "CAPACITY_DEFAULT" => text.push_str(&CAPACITY_DEFAULT.to_string()),
            name => text.push_str(&format!("`{name}`")),
        }
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    text.push_str(rest);
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_reads_without_rust() {
        assert_eq!(
            plain("As in [`crate::hosting::Serve`],\nof [`Apply`](super::Apply)."),
            "As in `Serve`, of `Apply`."
        );
        assert_eq!(plain("0 to [`WEIGHT_MAX`](crate::snapshot::WEIGHT_MAX)."), "0 to 1000.");
        assert_eq!(plain("a [`b"), "a [`b");
    }
}
