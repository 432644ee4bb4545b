//! A resource field by field, as a file writes it. What is compared and what is rendered come from here, so that
//! no field can be forgotten in one of them.

use std::fmt::Write as _;

use serde_json::Value;
use sinew_api::hosting::Probe;
use sinew_api::resource::{HealthSettings, Protocol, Resource, Resources, time};
use sinew_api::snapshot::{DefaultPolicy, Labels};

/// A field's name in a file, and its value: text, a whole number, or a list of texts.
pub(super) type Field = (String, Value);

/// A set of resources as a file: reading it gives the same set.
#[must_use]
pub fn render(resources: &Resources) -> String {
    let mut text = String::new();
    for (key, resource) in resources.iter() {
        let newline = if text.is_empty() { "" } else { "\n" };
        let header = match resource {
            Resource::Mesh(_) => "[mesh]".to_owned(),
            _ => format!("[[{}]]", key.kind()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{newline}{header}");
        for (name, value) in fields(resource) {
            let _ = writeln!(text, "{name} = {}", written(&value));
        }
    }
    text
}

/// Every field that is written, in the order of a file.
pub(super) fn fields(resource: &Resource) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add =
        |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
    match resource {
        Resource::Mesh(mesh) => {
            let word = |policy| match policy {
                DefaultPolicy::Allow => "allow",
                DefaultPolicy::Deny => "deny",
            };
            add("default_policy", mesh.default_policy.map(|policy| word(policy).into()));
        }
        Resource::Service(service) => {
            add("name", Some(service.name.as_str().into()));
            let Protocol::Tcp = service.protocol;
            add("protocol", Some("tcp".into()));
            add("port", service.port.map(Value::from));
            fields.extend(health(&service.health));
        }
        Resource::Node(node) => {
            add("name", Some(node.name.as_str().into()));
            add("zone", node.zone.as_ref().map(|zone| zone.as_str().into()));
            let grants = node.grants.as_ref();
            add("grants", grants.map(|grants| grants.iter().map(|service| service.as_str()).collect()));
            fields.extend(labels(&node.labels));
        }
        Resource::Endpoint(endpoint) => {
            add("node", Some(endpoint.node.as_str().into()));
            add("service", Some(endpoint.service.as_str().into()));
            add("address", Some(endpoint.address.to_string().into()));
            add("capacity", endpoint.capacity.map(Value::from));
            fields.extend(labels(&endpoint.labels));
            fields.extend(health(&endpoint.health));
        }
        Resource::Listener(listener) => {
            add("node", Some(listener.node.as_str().into()));
            add("address", Some(listener.address.to_string().into()));
            add("service", Some(listener.service.as_str().into()));
            add("as", listener.source.as_ref().map(|source| source.as_str().into()));
        }
    }
    fields
}

fn labels(labels: &Labels) -> impl Iterator<Item = Field> {
    let bare = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let quoted = move |name: &str| if bare(name) { name.to_owned() } else { Value::from(name).to_string() };
    labels.iter().map(move |(name, value)| (format!("labels.{}", quoted(name)), value.as_str().into()))
}

fn health(health: &HealthSettings) -> impl Iterator<Item = Field> {
    let probe = |probe| match probe {
        Probe::Answer => "answer",
        Probe::Connect => "connect",
    };
    let fields: [(&str, Option<Value>); 5] = [
        ("health.interval", health.interval_ms.map(|ms| time(ms).into())),
        ("health.timeout", health.timeout_ms.map(|ms| time(ms).into())),
        ("health.rise", health.rise.map(Value::from)),
        ("health.fall", health.fall.map(Value::from)),
        ("health.probe", health.probe.map(|way| probe(way).into())),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// A value in TOML. Texts and numbers are written as in JSON: no name, label or time has a character in which
/// the two differ.
fn written(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}
