//! What people and their programs write: files, tokens, calls of the APIs.

use std::fs;
use std::path::Path;

use sinew_api::Secret;
use sinew_api::join::Token;
use sinew_fuzz::snapshots::bases;

use crate::{name, seed};

/// Configurations, scenarios, resources.
pub(crate) fn files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("it is in the repository");
    seed("node_config", "example", sinew_node_core::Config::example());
    seed("node_config", "least", "[node]\nstate = \"/s\"\n");
    let mistakes =
        "[node]\nstat = 1\nshards = 99\n[[listen]]\nservice = \"Orders\"\naddress = \"x:1\"\nlabels = {}\n";
    seed("node_config", "mistakes", mistakes);
    for (seed_name, more) in [
        ("admin", "admin = \"0.0.0.0:7403\"\n"),
        ("capacity", "[[serve]]\nservice = \"a\"\naddress = \"127.0.0.1:80\"\ncapacity = 0\n"),
        ("shards", "shards = 65\n"),
        ("dead-after", "dead_after = \"26s\"\n"),
        ("drain", "drain_timeout = \"61m\"\n"),
    ] {
        seed("node_config", seed_name, format!("[node]\nstate = \"/s\"\n{more}"));
    }
    seed("controller_config", "api", "[controller]\nstate = \"/s\"\napi = \"192.0.2.1:7402\"\n");
    seed("node_config", "syntax", "[node\nstate = \"/s\n");
    let steered =
        steering(&["state", "zone", "data", "advertise", "shards", "admin", "expiry_grace", "\"\\u001b\""]);
    let nested = r#"[[serve]]
service = "a\u001b"
address = "1\n:2\u0007"
labels = { "\u001b" = "x", y = "\n" }
health = { interval = "\u001b", probe = "\n", "\r" = 1 }
"#;
    seed("node_config", "steered", format!("[node]\n{steered}controllers = [\"\\u001b:1\"]\n{nested}"));
    seed("controller_config", "example", read("controller/src/config/example.toml"));
    seed("controller_config", "least", "[controller]\nstate = \"/s\"\n");
    seed("controller_config", "mistakes", "[controller]\napi = \"0.0.0.0:1\"\ncertificate_ttl = \"1s\"\n");
    let steered =
        steering(&["state", "trust_domain", "name", "listen", "api", "default_policy", "certificate_ttl"]);
    seed("controller_config", "steered", format!("[controller]\n{steered}\"\\u001b\" = 1\n"));
    seed("scenario", "quickstart", read("scenarios/quickstart.toml"));
    seed("scenario", "mistakes", "name = \"x\"\n[[node]]\nname = \"N\"\n");
    let example = sinew_controller_core::resources::EXAMPLE;
    seed("resources", "example", example);
    seed("resources", "again", format!("{example}\n---\n{example}"));
    let node = steering(&["name", "zone", "labels.\"\\u0007\""]);
    let endpoint =
        steering(&["node", "service", "address", "capacity", "labels.x", "health.interval", "health.probe"]);
    let steered = format!(
        "[mesh]\ndefault_policy = \"\\n\"\n[[node]]\n{node}grants = [\"\\n\"]\n[[endpoint]]\n{endpoint}"
    );
    seed("resources", "steered", steered);
    let scenario = "[scenario]\nname = \"\\u001b\"\n[[node]]\nname = \"\\n\"\nzone = \"\\n\"\n[[service]]\nname = \"\\u0007\"\n[expect.\"a\\nb\"]\n";
    seed("scenario", "steered", scenario);
    let mistakes = "[[service]]\nname = \"a\"\nport = 0\n[[endpoint]]\nnode = \"n1\"\nservice = \"b\"\n";
    seed("resources", "mistakes", mistakes);
    seed("resources", "quoted", "[[node]]\nname = \"n\"\nlabels.\"a.\\\"b\\\\\" = \"'=\\\"\"\n");
}

/// Each key with a text that would steer a terminal.
fn steering(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("{key} = \"a\\u001b[2J\\n\"\n")).collect()
}

/// Tokens, JSON, heads of HTTP.
pub(crate) fn texts() {
    let token = Token {
        trust_domain: name("mesh.local"),
        root_pin: [0xab; 32],
        controllers: vec![name("127.0.0.1:7401"), name("[::1]:7401")],
        node: name("n1"),
        services: vec![name("web"), name("orders.shop")],
        secret: Secret::new("5ec4e7".into()),
    };
    let text = token.to_text().expose().to_owned();
    seed("token", "whole", format!(" {text}\n"));
    seed("token", "cut", &text[..text.len() - 9]);
    seed("token", "other", "sinew2.abcd");

    let [_, full] = bases();
    let snapshot = serde_json::to_string(&full).expect("plain data");
    let apply = r#"{"documents":[{"name":"m","text":"[mesh]"}],"prune":true,"dryRun":false,"message":"why"}"#;
    for (seed_name, body) in [
        ("apply", format!("a{apply}")),
        ("delete", r#"d{"keys":["node/n1","endpoint/n1/orders/127.0.0.1:8080","mesh"]}"#.into()),
        ("new-token", r#"t{"node":"n1","services":["web"],"ttlSeconds":900}"#.into()),
        (
            "register",
            r#"r{"service":"orders","address":"127.0.0.1:80","labels":{"a":"b"},"capacity":3}"#.into(),
        ),
        ("deregister", r#"u{"service":"orders","address":null,"drain":true}"#.into()),
        ("snapshot", format!("S{snapshot}")),
        (
            "resources",
            r#"R[{"kind":"service","name":"orders","port":80},{"kind":"node","name":"n1"}]"#.into(),
        ),
        (
            "past",
            r#"P{"revision":1,"at":2,"message":"m","change":{"created":["mesh"],"updated":[],"deleted":[],"unchanged":0}}"#.into(),
        ),
        ("mistake", r#"M[{"message":"m","help":"h","line":1,"column":1,"span":{"start":0,"end":1}}]"#.into()),
        (
            "token-record",
            format!(r#"T{{"sha256":"{}","node":"n1","services":["web"],"expires":1,"used":false}}"#, "AB".repeat(32)),
        ),
        ("name", "norders.shop".into()),
        ("name-capital", "nOrders".into()),
        ("name-dash", "n-orders".into()),
        ("name-long", format!("n{}", "a".repeat(64))),
        ("key", "nlistener/n1/[::1]:5001".into()),
        ("identity", "nspiffe://mesh.local/node/n1".into()),
        ("unknown", r#"d{"keys":[],"more":1}"#.into()),
    ] {
        seed("api", seed_name, body);
    }
    let bearer = "authorization: Bearer 0123456789abcdef0123456789abcdef";
    for (seed_name, head) in [
        ("plain", format!("/metrics\nhost: 127.0.0.1:7403\n{bearer}")),
        ("browser", "/v1/status\nhost: localhost:80\norigin: http://localhost:80".into()),
        ("foreign", "/v1/status\nhost: 127.0.0.1:80\norigin: http://evil.example".into()),
        ("rebound", "/v1/status\nhost: evil.example:80".into()),
        ("absolute", "http://[::1]:80/v1/status\nhost: evil.example".into()),
        ("user", "http://127.0.0.1@evil.example/\nhost: 127.0.0.1".into()),
    ] {
        seed("http", seed_name, head);
    }
}
