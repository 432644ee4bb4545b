//! A node's state directory: what is wrong about it is told, or harms nothing.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::place::{Backup, Harm, Place, give_away, refused, take_back};
use crate::support::{Mesh, NodePlan, Service, http_call, until};

/// The bearer token of a node's admin pages.
pub(crate) fn admin_token(mesh: &Mesh, node: &str) -> String {
    fs::read_to_string(mesh.node_dir(node).join("state/admin.token")).unwrap().trim().to_owned()
}

/// Registers an endpoint at a node, as `sinew register` does.
pub(crate) async fn register(mesh: &Mesh, node: &str, service: &str, address: &str) -> (u16, String) {
    let admin = mesh.ports(node).admin.unwrap();
    let body = format!(r#"{{"service":"{service}","address":"{address}"}}"#);
    let token = admin_token(mesh, node);
    http_call("POST", admin, "/v1/register", Some(&token), &body).await.unwrap()
}

/// The greeting of whoever answers.
pub(crate) async fn greeting(mesh: &Mesh) -> String {
    let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    app.shutdown().await.unwrap();
    let mut greeting = String::new();
    app.read_to_string(&mut greeting).await.unwrap_or_else(|error| panic!("{error}\n{}", mesh.log("caller")));
    greeting.trim_end().to_owned()
}

/// A mesh in which n1 serves `orders`, has another endpoint registered, and stopped.
async fn stopped() -> (Mesh, Service, PathBuf) {
    let greeter = Service::greeter("n1").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", greeter.address()).grant("mail")).await;
    mesh.settled().await;
    let (code, said) = register(&mesh, "n1", "mail", "127.0.0.1:9").await;
    assert_eq!(code, 200, "{said}");
    mesh.stop("n1").await;
    let state = mesh.node_dir("n1").join("state");
    (mesh, greeter, state)
}

/// A node that has a token and a configuration, and has not joined; yields its directory and the token.
pub(crate) async fn unjoined(mesh: &Mesh, name: &str) -> (PathBuf, String) {
    let token = mesh.token(name, &["orders"]).await;
    let dir = mesh.dir().join(name);
    let state = dir.join("state");
    fs::create_dir_all(&state).unwrap();
    fs::write(dir.join("token"), &token).unwrap();
    let config = format!(
        "[node]\nstate = {state:?}\ntoken_file = {:?}\ndata = \"127.0.0.1:0\"\nadmin = \"\"\n",
        dir.join("token")
    );
    fs::write(dir.join("node.toml"), config).unwrap();
    (dir, token)
}

pub(crate) async fn node_refused(place: Place, dir: &Path) -> crate::place::Refusal {
    let config = dir.join("node.toml");
    refused(place, &dir.join("state"), &["node", "--config", config.to_str().unwrap()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_missing_or_newer_is_named_with_a_remedy_and_left_as_it_is() {
    let (mut mesh, _greeter, state) = stopped().await;
    let whole = Backup::of(&state);
    let dir = state.parent().unwrap();

    for (file, harm, words) in [
        ("identity.pem", Harm::Half, ["identity.pem", "Restore it from a backup"]),
        ("identity.pem", Harm::Empty, ["identity.pem", "Restore it from a backup"]),
        ("root.cert.pem", Harm::Half, ["root.cert.pem", "Restore it from a backup"]),
        ("root.cert.pem", Harm::Gone, ["root.cert.pem", "is missing"]),
        ("keys.json", Harm::Half, ["keys.json", "Restore it from a backup"]),
        ("keys.json", Harm::Gone, ["keys.json", "is missing"]),
        ("keys.json", Harm::Newer, ["keys.json", "use the newer program"]),
        ("endpoints.json", Harm::Half, ["endpoints.json", "must be registered again"]),
        ("endpoints.json", Harm::Newer, ["endpoints.json", "use the newer program"]),
        ("snapshot.json", Harm::Newer, ["snapshot.json", "use the newer program"]),
        ("admin.token", Harm::Half, ["admin.token", "remove it"]),
        ("admin.token", Harm::Empty, ["admin.token", "remove it"]),
    ] {
        whole.restore(&state);
        harm.comes_to(&state.join(file));
        let harmed = Backup::of(&state);

        let refusal = node_refused(Place::Plain, dir).await;

        refusal.names(&words);
        harmed.is_in(&state, &format!("{file}, {harm:?}"));
    }
    // And as it was, it starts.
    whole.restore(&state);
    mesh.restart("n1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_half_written_is_left_out_and_the_node_starts() {
    let (mut mesh, _greeter, state) = stopped().await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;

    for harm in [Harm::Half, Harm::Empty] {
        harm.comes_to(&state.join("snapshot.json"));
        mesh.restart("n1").await;
        mesh.settled().await;
        assert_eq!(greeting(&mesh).await, "220 n1");
        mesh.stop("n1").await;
    }

    let told = mesh.log("n1").matches("starting without the last snapshot").count();
    assert_eq!(told, 2, "{}", mesh.log("n1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_death_left_beside_the_files_harms_nothing() {
    let (mut mesh, _greeter, state) = stopped().await;
    // A file that was on its way when a process died.
    fs::write(state.join("identity.pem.4711.new"), "-----BEGIN CERT").unwrap();
    fs::write(state.join("snapshot.json.4711.new"), "{").unwrap();
    let identity = fs::read(state.join("identity.pem")).unwrap();

    mesh.restart("n1").await;
    mesh.settled().await;

    assert!(fs::read(state.join("identity.pem")).unwrap() == identity);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_write_its_state_says_so_and_changes_nothing() {
    let (mut mesh, _greeter, state) = stopped().await;
    let dir = state.parent().unwrap();
    let whole = Backup::of(&state);

    for (place, words) in [
        (Place::ReadOnly, ["Read-only file system", "may this user"]),
        (Place::Full, ["No space left", "space left?"]),
    ] {
        node_refused(place, dir).await.names(&words);
        whole.is_in(&state, &format!("{place:?}"));
    }
    give_away(&state);
    node_refused(Place::Unprivileged, dir).await.names(&[
        "identity.pem",
        "Permission denied",
        "may this user",
    ]);
    take_back(&state);
    whole.is_in(&state, "somebody else's");
    mesh.restart("n1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_can_t_keep_what_it_is_given_does_not_spend_its_token() {
    let mut mesh = Mesh::start().await;
    let greeter = Service::greeter("n1").await;
    let (dir, token) = unjoined(&mesh, "n1").await;
    let state = dir.join("state");

    for (place, words) in [
        (Place::ReadOnly, ["Read-only file system", "may this user"]),
        (Place::Full, ["No space left", "space left?"]),
    ] {
        node_refused(place, &dir).await.names(&words);
    }
    give_away(&state);
    node_refused(Place::Unprivileged, &dir).await.names(&["Permission denied"]);
    take_back(&state);

    // With the same token.
    mesh.add_with(NodePlan::new("n1").serve("orders", greeter.address()), &token).await;
    mesh.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_restored_from_an_old_backup_goes_on_with_what_it_had_then() {
    let (mut mesh, greeter, state) = stopped().await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    let backup = Backup::of(&state);
    // Since then: a certificate was renewed by joining again, another endpoint came, and the mesh went on.
    mesh.restart("n1").await;
    let (code, said) = register(&mesh, "n1", "mail", "127.0.0.1:10").await;
    assert_eq!(code, 200, "{said}");
    mesh.add(NodePlan::new("n2").serve("orders", greeter.address())).await;
    mesh.settled().await;
    mesh.kill("n1").await;

    backup.restore(&state);
    mesh.restart("n1").await;
    mesh.settled().await;

    assert_eq!(greeting(&mesh).await, "220 n1");
    // What was registered then, and not what came since; its new session says so.
    let told = until("the controller to hear it", || async {
        let services = mesh.status().await.services;
        let count =
            |name: &str| services.iter().find(|known| known.name.as_str() == name).map(|s| s.endpoints.len());
        match (count("mail"), count("orders")) {
            (Some(1), Some(2)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    told.await.unwrap();
}
