//! Secrets stay where they belong: no key and no token is in what anybody prints, logs, shows or is started with.
//!
//! A mesh in which everybody logs every word lives through what touches secrets: joining, calling, renewing,
//! registering, a token that is used twice, a directory that is copied. Then all that anybody could read is searched
//! for all that nobody should.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::{Mesh, NodePlan, Service, http_get, unpack, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a key by which it is found: nobody else has them by chance.
const PIECE: usize = 12;

/// Fewer of them, and the story did not find the files.
const SECRETS_MIN: usize = 20;

/// Fewer files in a report, and it did not find what there is.
const REPORTED_MIN: usize = 20;

/// A secret as it might be printed.
struct Secret {
    whose: String,
    spelled: Vec<String>,
}

impl Secret {
    /// A text that is secret as it is.
    fn text(whose: &str, text: &str) -> Self {
        Self { whose: whose.to_owned(), spelled: vec![text.to_owned()] }
    }

    /// Bytes: in hexadecimal, in base64 as PEM has it, and as Rust prints a list.
    fn bytes(whose: &str, bytes: &[u8]) -> Self {
        let piece = &bytes[..PIECE];
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = piece.iter().map(u8::to_string).collect();
        let spelled = vec![hex.to_uppercase(), hex, STANDARD.encode(piece), list.join(", ")];
        Self { whose: whose.to_owned(), spelled }
    }
}

/// Every secret in a directory, by the files that hold one.
fn secrets_in(dir: &Path, found: &mut Vec<Secret>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let whose = path.display().to_string();
        match path.file_name().unwrap().to_str().unwrap() {
            _ if path.is_dir() => secrets_in(&path, found),
            "token" | "admin.token" => {
                let text = fs::read_to_string(&path).unwrap();
                if !text.trim().is_empty() {
                    found.push(Secret::text(&whose, text.trim()));
                }
            }
            "identity.pem" | "ca.key.pem" | "controller.key.pem" => {
                found.extend(private_keys(&fs::read_to_string(&path).unwrap(), &whose));
            }
            "keys.json" => {
                let keys: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                texts(&keys, &mut |text| {
                    if text.len() >= 32 {
                        found.push(Secret::text(&whose, text));
                    }
                });
            }
            _ => {}
        }
    }
}

/// The secret scalars of the private keys in a PEM file: they follow the tag of the octet string that holds them.
fn private_keys(pem: &str, whose: &str) -> Vec<Secret> {
    let mut keys = Vec::new();
    for part in pem.split("-----BEGIN ").filter(|part| part.contains("PRIVATE KEY-----")) {
        let body = part.split("-----").nth(1).unwrap();
        let der = STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap();
        // RFC 5915: an ECPrivateKey begins with INTEGER 1, then OCTET STRING of 32 bytes.
        let marks = [2, 1, 1, 4, 32];
        let at = der.windows(marks.len()).position(|window| window == marks).expect("a P-256 key");
        keys.push(Secret::bytes(whose, &der[at + marks.len()..]));
        keys.extend(
            body.split_whitespace().filter(|line| line.len() > 40).map(|line| Secret::text(whose, line)),
        );
    }
    keys
}

fn texts(value: &serde_json::Value, tell: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(text) => tell(text),
        serde_json::Value::Array(values) => values.iter().for_each(|value| texts(value, tell)),
        serde_json::Value::Object(values) => values.values().for_each(|value| texts(value, tell)),
        _ => {}
    }
}

/// What anybody may read: logs, command lines, metrics, and what commands print.
async fn shown(mesh: &Mesh) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    logs_in(mesh.dir(), &mut shown);
    for pid in mesh.pids() {
        let path = format!("/proc/{pid}/cmdline");
        shown.push((path.clone(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
    }
    for address in [mesh.api_address(), mesh.ports("n1").admin.unwrap(), mesh.ports("caller").admin.unwrap()]
    {
        shown.push((format!("{address}/metrics"), http_get(address, "/metrics", None).await.unwrap().1));
    }
    for command in [
        &["status"][..],
        &["status", "-o", "json"],
        &["get", "-o", "json"],
        &["history", "-o", "json"],
        &["effective", "n1", "-o", "json"],
        &["status", "-vv"],
    ] {
        let output = mesh.sinew(command).await;
        let text = [output.stdout, output.stderr].concat();
        shown.push((format!("sinew {}", command.join(" ")), String::from_utf8_lossy(&text).into_owned()));
    }
    for node in ["n1", "caller"] {
        shown.extend(reported(mesh, node).await);
    }
    shown
}

/// What `sinew bugreport` gathers on the machine of a node and its controller, when somebody has pasted tokens where
/// they do not belong.
async fn reported(mesh: &Mesh, node: &str) -> Vec<(String, String)> {
    let dir = mesh.node_dir(node);
    let (file, report) = (dir.join("pasted.toml"), dir.join("report.tar.gz"));
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let pasted = format!("{}# {} and {}", read("node.toml"), read("token"), read("state/admin.token"));
    fs::write(&file, pasted).unwrap();
    let (controller, log) = (mesh.dir().join("controller/controller.toml"), dir.join("node.log"));
    let [file, output, controller, log] =
        [&file, &report, &controller, &log].map(|path| path.to_str().unwrap());
    let args = ["bugreport", "-o", output, "-c", file, "-c", controller, "--log", log];
    let told = mesh.sinew(&args).await;
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let files = unpack(&report);
    assert!(files.len() >= REPORTED_MIN, "{:?}", files.keys());
    assert!(files["logs/node.log"].contains("TRACE"), "it has the log of who logs every word");
    assert!(files["node/node.toml"].contains("[redacted] and [redacted]"), "{}", files["node/node.toml"]);
    files.into_iter().map(|(name, text)| (format!("{name} of a report of {node}"), text)).collect()
}

fn logs_in(dir: &Path, shown: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logs_in(&path, shown);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            shown.push((path.display().to_string(), text));
        }
    }
}

/// What touches secrets, once each.
async fn life() -> (Mesh, Service) {
    let service = Service::echo().await;
    let mut mesh = Mesh::start_traced("certificate_ttl = \"10s\"").await;
    mesh.add(NodePlan::new("n1").serve("orders", service.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web").grant("stock")).await;
    mesh.settled().await;
    call(mesh.listener("caller", "orders")).await;

    // A token that was used, by a node of another name.
    let used = mesh.node_dir("n1").join("token");
    let config = mesh.dir().join("thief.toml");
    let state = mesh.dir().join("thief");
    fs::write(&config, format!("[node]\nstate = {state:?}\ndata = \"127.0.0.1:0\"\nadmin = \"\"\n")).unwrap();
    let (config, used) = (config.display().to_string(), used.display().to_string());
    let refused = mesh.sinew(&["node", "-vv", "--config", &config, "--token-file", &used]).await;
    assert!(!refused.status.success());
    fs::write(mesh.dir().join("thief.log"), [refused.stdout, refused.stderr].concat()).unwrap();

    let registered =
        mesh.sinew(&["register", "stock", "127.0.0.1:9", "--state", &state_of(&mesh, "caller")]).await;
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    mesh.add_copy("caller", "copy").await;
    let renewed = until("a renewal", || async {
        let log = mesh.log("n1");
        if log.contains("certificate renewed") { Ok(()) } else { Err("not renewed yet".to_owned()) }
    });
    renewed.await.unwrap();
    (mesh, service)
}

fn state_of(mesh: &Mesh, node: &str) -> String {
    mesh.node_dir(node).join("state").display().to_string()
}

async fn call(listener: std::net::SocketAddr) {
    let mut app = TcpStream::connect(listener).await.unwrap();
    app.write_all(b"hello").await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = Vec::new();
    app.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_token_is_in_anything_that_is_logged_or_shown() {
    let (mesh, _service) = life().await;
    let mut secrets = Vec::new();
    secrets_in(mesh.dir(), &mut secrets);
    let shown = shown(&mesh).await;

    assert!(secrets.len() >= SECRETS_MIN, "{} secrets", secrets.len());
    let log = shown.iter().find(|(name, _)| name.ends_with("caller/node.log")).expect("it has a log");
    assert!(log.1.contains("TRACE"), "everybody logs every word");
    let spelled =
        secrets.iter().flat_map(|secret| secret.spelled.iter().map(move |text| (text, &secret.whose)));
    let (spelled, whose): (Vec<_>, Vec<_>) = spelled.unzip();
    let search = AhoCorasick::new(spelled).unwrap();
    for (name, text) in &shown {
        let found = search.find(text).map(|found| whose[found.pattern().as_usize()]);
        assert!(found.is_none(), "the secret in {} is in {name}", found.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_that_holds_keys_leaves_a_core_dump() {
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").grant("orders")).await;

    for pid in mesh.pids() {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(values, ["0", "0"], "{pid}: {core}");
    }
}
