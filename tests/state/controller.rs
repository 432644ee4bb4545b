//! A controller's state directory: what is wrong about it is told, and no half of it is begun anew.

use std::fs;

use crate::node::greeting;
use crate::place::{Backup, Harm, Place, Refusal, STORE, give_away, refused, take_back};
use crate::support::{Mesh, NodePlan, Service, until};

/// Starts the controller where it must not start.
async fn controller_refused(place: Place, mesh: &Mesh) -> Refusal {
    let config = mesh.dir().join("controller/controller.toml");
    refused(place, &mesh.controller_state(), &["controller", "--config", config.to_str().unwrap()]).await
}

/// A mesh in which n1 serves `orders` and `caller` calls it; the controller has stopped.
async fn stopped() -> (Mesh, Service) {
    let greeter = Service::greeter("n1").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", greeter.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    mesh.stop_controller().await;
    (mesh, greeter)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_missing_is_named_with_a_remedy_and_left_as_it_is() {
    let (mut mesh, _greeter) = stopped().await;
    let state = mesh.controller_state();
    let whole = Backup::of(&state);

    for (file, harm, words) in [
        ("ca.key.pem", Harm::Half, ["ca.key.pem is damaged", "restore it from a backup"]),
        ("ca.key.pem", Harm::Gone, ["ca.key.pem is missing", "restore it from a backup"]),
        ("ca.cert.pem", Harm::Empty, ["ca.cert.pem is damaged", "restore it from a backup"]),
        ("ca.cert.pem", Harm::Gone, ["ca.cert.pem is missing", "restore it from a backup"]),
        ("admin.token", Harm::Half, ["admin.token is damaged", "delete it to have a new one made"]),
        ("reset.keys", Harm::Half, ["reset.keys is damaged", "delete it"]),
        ("store.redb", Harm::Half, ["store.redb is damaged", "restore it from a backup"]),
    ] {
        whole.restore(&state);
        harm.comes_to(&state.join(file));
        let harmed = Backup::of(&state);
        let harmed = if file == STORE { harmed } else { harmed.without(STORE) };

        controller_refused(Place::Plain, &mesh).await.names(&words);

        harmed.is_in(&state, &format!("{file}, {harm:?}"));
    }
    whole.restore(&state);
    mesh.start_controller().await;
    mesh.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_without_its_store_does_not_begin_an_empty_one_unless_told_to() {
    let (mut mesh, _greeter) = stopped().await;
    let state = mesh.controller_state();
    let whole = Backup::of(&state);

    for harm in [Harm::Gone, Harm::Empty] {
        harm.comes_to(&state.join("store.redb"));
        let refusal = controller_refused(Place::Plain, &mesh).await;
        refusal.names(&["store.redb", "Restore it from a backup", "--new-store"]);
        // Starting again changes nothing about that.
        controller_refused(Place::Plain, &mesh).await.names(&["--new-store"]);
        whole.restore(&state);
    }
    // Nobody has lost anything so far.
    mesh.start_controller().await;
    mesh.settled().await;
    assert_eq!(greeting(&mesh).await, "220 n1");

    mesh.stop_controller().await;
    fs::remove_file(state.join("store.redb")).unwrap();
    mesh.start_controller_with(&["--new-store"]).await;
    let status = mesh.status().await;
    assert_eq!(status.services, [], "nothing is granted any more");
    mesh.stop_controller().await;
    // Once is enough.
    mesh.start_controller().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_its_authority_does_not_begin_another() {
    let (mut mesh, _greeter) = stopped().await;
    let state = mesh.controller_state();
    let whole = Backup::of(&state);
    fs::remove_file(state.join("ca.key.pem")).unwrap();
    fs::remove_file(state.join("ca.cert.pem")).unwrap();
    let harmed = Backup::of(&state).without(STORE);

    let refusal = controller_refused(Place::Plain, &mesh).await;

    refusal.names(&["ca.key.pem", "ca.cert.pem", "restore both from a backup", "another state directory"]);
    harmed.is_in(&state, "without the authority");
    whole.restore(&state);
    mesh.start_controller().await;
    mesh.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_may_not_write_its_state_says_so_and_changes_nothing() {
    let (mut mesh, _greeter) = stopped().await;
    let state = mesh.controller_state();
    let whole = Backup::of(&state);

    for (place, words) in [
        (Place::ReadOnly, ["store.redb: Read-only file system", "check the owner and the free space"]),
        (Place::Full, ["No space left", "check the owner and the free space"]),
    ] {
        controller_refused(place, &mesh).await.names(&words);
        whole.is_in(&state, &format!("{place:?}"));
    }
    give_away(&state);
    let refusal = controller_refused(Place::Unprivileged, &mesh).await;
    refusal.names(&["store.redb: Permission denied", "check the owner"]);
    take_back(&state);
    whole.is_in(&state, "somebody else's");
    mesh.start_controller().await;
    mesh.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_without_space_leaves_nothing_that_hinders_the_next() {
    let mut mesh = Mesh::start().await;
    mesh.stop_controller().await;
    let state = mesh.controller_state();
    for entry in fs::read_dir(&state).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }

    controller_refused(Place::Full, &mesh)
        .await
        .names(&["No space left", "check the owner and the free space"]);
    controller_refused(Place::ReadOnly, &mesh).await.names(&["Read-only file system"]);

    mesh.start_controller().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_restored_from_an_old_backup_takes_back_who_joined_before() {
    let greeter = Service::greeter("n1").await;
    let other = Service::greeter("n2").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", greeter.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    mesh.stop_controller().await;
    let backup = Backup::of(&mesh.controller_state());
    // Since then: two more runs, changes that nodes saw, and a node.
    for _ in 0..2 {
        mesh.start_controller().await;
        mesh.settled().await;
        mesh.stop_controller().await;
    }
    mesh.start_controller().await;
    mesh.add(NodePlan::new("n2").serve("orders", other.address())).await;
    mesh.settled().await;
    let seen = mesh.status().await.revision;
    mesh.stop_controller().await;

    backup.restore(&mesh.controller_state());
    mesh.start_controller().await;

    // n2's certificate is good, but its grant came later: it is told so, and who to ask.
    let until_told = until("n2 to be told", || async {
        let log = mesh.log("n2");
        if log.contains("not granted to this node") { Ok(()) } else { Err(log) }
    });
    until_told.await.unwrap();
    let status = mesh.status().await;
    assert!(status.revision < seen, "the numbers of {seen} are another history's now: {}", status.revision);
    // Everybody else uses what the restored controller says, though its number is lower.
    let resources = mesh.dir().join("n2.toml");
    fs::write(
        &resources,
        "[[service]]\nname = \"orders\"\n\n[[node]]\nname = \"n2\"\ngrants = [\"orders\"]\n",
    )
    .unwrap();
    let applied = mesh.sinew(&["apply", "--wait", "-f", resources.to_str().unwrap()]).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    mesh.settled().await;
    let heard = until("n2 to answer", || async {
        match greeting(&mesh).await {
            greeting if greeting == "220 n2" => Ok(()),
            other => Err(other),
        }
    });
    heard.await.unwrap();
}
