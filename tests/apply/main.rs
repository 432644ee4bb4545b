//! Stories about what an operator declares: applied by the command, kept over deaths, and in force on the nodes.
//!
//! Real processes on loopback. This file: what a declaration does. [`deaths`]: a controller that is killed while
//! it is given one after the other.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod deaths;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::Output;

use support::{Mesh, NodePlan, Service, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed; what it printed.
async fn sinew(mesh: &Mesh, arguments: &[&str]) -> String {
    let output = mesh.sinew(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Applies a text, with more arguments.
async fn apply(mesh: &Mesh, resources: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), resources).unwrap();
    let path = file.path().display().to_string();
    mesh.sinew(&[&["apply", "-f", &path], arguments].concat()).await
}

/// An address that was free a moment ago.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// `host` may host orders and `caller` may call; neither has it in its configuration.
async fn mesh() -> Mesh {
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").grant("orders")).await;
    mesh.add(NodePlan::new("caller").grant("web")).await;
    mesh.settled().await;
    mesh
}

fn declaration(endpoint: SocketAddr, listener: SocketAddr) -> String {
    format!(
        r#"
        [[service]]
        name = "orders"
        [[service]]
        name = "web"
        [[endpoint]]
        node = "host"
        service = "orders"
        address = "{endpoint}"
        [[listener]]
        node = "caller"
        service = "orders"
        as = "web"
        address = "{listener}"
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_and_a_listener_that_were_declared_carry_bytes_and_go_when_they_are_deleted() {
    let service = Service::start(|mut stream| async move { stream.write_all(b"220 here").await }).await;
    let mesh = mesh().await;
    let listener = free_address().await;

    let applied = apply(&mesh, &declaration(service.address(), listener), &["--wait"]).await;

    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert_eq!(text(&applied.stdout).lines().count(), 4, "{}", text(&applied.stdout));
    let greeting = until("the listener to lead to the endpoint", || async move { greeting(listener).await });
    assert_eq!(greeting.await.unwrap_or_else(|why| panic!("{why}\n{}", mesh.log("caller"))), "220 here");

    sinew(&mesh, &["delete", &format!("listener/caller/{listener}")]).await;

    let closed = until("the listener to be closed", || async move {
        match TcpStream::connect(listener).await {
            Ok(_) => Err("it still listens".to_owned()),
            Err(_) => Ok(()),
        }
    });
    closed.await.unwrap();
}

/// The first bytes of a connection, as far as the name in them.
async fn greeting(address: SocketAddr) -> Result<String, String> {
    let mut greeting = [0; 8];
    let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    stream.read_exact(&mut greeting).await.map_err(|e| e.to_string())?;
    Ok(text(&greeting))
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_the_same_again_changes_nothing() {
    let mesh = mesh().await;
    let declaration = declaration(free_address().await, free_address().await);
    apply(&mesh, &declaration, &[]).await;
    let before = sinew(&mesh, &["history", "-o", "json"]).await;

    let again = apply(&mesh, &declaration, &[]).await;

    assert!(again.status.success() && again.stdout.is_empty(), "{}", text(&again.stdout));
    assert_eq!(sinew(&mesh, &["history", "-o", "json"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_shown() {
    let mesh = mesh().await;
    let mistakes = "[[service]]\nname = \"Orders\"\nprt = 1\n\
        [[endpoint]]\nnode = \"nobody\"\nservice = \"web\"\naddress = \"127.0.0.1:80\"\n";

    let refused = apply(&mesh, mistakes, &[]).await;

    assert_eq!(refused.status.code(), Some(1));
    let shown = text(&refused.stderr);
    for expected in ["not a valid service name", "`prt` is not a key", "did you mean `port`", "`nobody`"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(sinew(&mesh, &["get"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_names_who_lags_behind_and_ends_when_nobody_does() {
    let mut mesh = mesh().await;
    let declaration = declaration(free_address().await, free_address().await);
    mesh.pause("host").await;

    let late = apply(&mesh, &declaration, &["--wait", "--timeout", "1s"]).await;
    let told = sinew(&mesh, &["effective", "host"]).await;
    mesh.resume("host");
    let done = apply(&mesh, &declaration.replace("\"orders\"", "\"orders\" "), &["--wait"]).await;

    let named = text(&late.stderr);
    assert_eq!(late.status.code(), Some(1), "{named}");
    assert!(named.contains("host: it has not answered yet") && !named.contains("caller:"), "{named}");
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(told.contains(", not acknowledged yet"), "{told}");
    // What the host found out about its endpoint since may be on its way to it.
    let acknowledged = until("the host to have it", || async {
        let told = sinew(&mesh, &["effective", "host"]).await;
        if told.contains(", acknowledged") { Ok(()) } else { Err(told) }
    });
    acknowledged.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_declared_reads_back_as_a_file_and_what_differs_is_shown() {
    let mesh = mesh().await;
    let declaration = declaration(free_address().await, free_address().await);
    apply(&mesh, &declaration, &["-m", "the first"]).await;

    let file = sinew(&mesh, &["get", "-o", "toml"]).await;
    let same = apply(&mesh, &file, &["--prune"]).await;
    let changed = apply(&mesh, "[mesh]\ndefault_policy = \"deny\"\n", &["--dry-run", "--prune"]).await;

    assert!(same.stdout.is_empty(), "{}", text(&same.stdout));
    let lines = text(&changed.stdout);
    assert_eq!(lines.lines().filter(|line| line.starts_with("- ")).count(), 4, "{lines}");
    assert!(lines.contains("+ mesh"), "{lines}");
    assert_eq!(sinew(&mesh, &["get", "mesh"]).await, "", "a dry run changes nothing");
    let history = sinew(&mesh, &["history"]).await;
    assert!(history.contains("the first") && history.lines().count() == 2, "{history}");
    let effective = sinew(&mesh, &["effective", "caller"]).await;
    assert!(effective.contains("to orders as web"), "{effective}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_need_is_not_deleted() {
    let mesh = mesh().await;
    let spare = "[[service]]\nname = \"orders\"\nport = 80\n[[node]]\nname = \"spare\"\ngrants = [\"orders\"]\n\
        [[endpoint]]\nnode = \"spare\"\nservice = \"orders\"\n";
    assert!(apply(&mesh, spare, &[]).await.status.success());

    let refused = mesh.sinew(&["delete", "node/spare"]).await;
    let missing = mesh.sinew(&["delete", "service/nothing"]).await;

    let told = text(&refused.stderr);
    assert!(told.contains("endpoint/spare/orders/127.0.0.1:80"), "{told}");
    assert!(text(&missing.stderr).contains("there is no service/nothing"), "{}", text(&missing.stderr));
    assert!(sinew(&mesh, &["get", "node"]).await.contains("node/spare"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_ends_with_79_when_asked_to_and_the_history_with_its_limit() {
    let mesh = mesh().await;
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), "[[service]]\nname = \"orders\"\n").unwrap();
    let path = file.path().display().to_string();
    let code = async |arguments: &[&str]| {
        mesh.sinew(&[&["diff", "-f", &path], arguments].concat()).await.status.code()
    };

    assert_eq!((code(&["--exit-code"]).await, code(&[]).await), (Some(79), Some(0)));
    sinew(&mesh, &["apply", "-f", &path, "-m", "older"]).await;
    assert_eq!(code(&["--exit-code"]).await, Some(0), "nothing differs");

    sinew(&mesh, &["delete", "service/orders", "-m", "newer"]).await;
    let newest = sinew(&mesh, &["history", "--limit", "1"]).await;
    assert!(newest.contains("newer") && !newest.contains("older"), "{newest}");
}
