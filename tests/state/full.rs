//! A disk that is full while the program runs: traffic goes on, whoever asks for a change is told why it is not made,
//! and when there is space again everything works, without a restart.
//!
//! A limit on the size of files stands for the full disk: every write to a file fails, also of logs.

use std::fs;

use tokio::process::Command;

use crate::node::{greeting, node_refused, register, unjoined};
use crate::place::{Backup, Place};
use crate::support::{Mesh, NodePlan, Service};

/// How many calls go through while the disk is full: more than the program writes in one go.
const CALLS: usize = 50;

/// Sets how long files of a process may become.
async fn limit_files(pid: u32, bytes: &str) {
    let mut command = Command::new("prlimit");
    let status = command.args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")]).status().await;
    assert!(status.unwrap().success());
}

async fn mesh() -> (Mesh, Service) {
    let greeter = Service::greeter("n1").await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", greeter.address()).grant("mail")).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    (mesh, greeter)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_space_carries_traffic_and_takes_changes_when_there_is_some() {
    let (mut mesh, _greeter) = mesh().await;
    let state = mesh.node_dir("n1").join("state");
    for node in ["n1", "caller"] {
        limit_files(mesh.pid(node), "0").await;
    }
    let before = Backup::of(&state);

    let (code, said) = register(&mesh, "n1", "mail", "127.0.0.1:9").await;
    assert_eq!(code, 500, "{said}");
    assert!(said.contains("endpoints.json") && said.contains("space left?"), "{said}");
    for _ in 0..CALLS {
        assert_eq!(greeting(&mesh).await, "220 n1");
    }
    before.is_in(&state, "no space");

    for node in ["n1", "caller"] {
        limit_files(mesh.pid(node), "unlimited").await;
    }
    let (code, said) = register(&mesh, "n1", "mail", "127.0.0.1:9").await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(greeting(&mesh).await, "220 n1");
    mesh.stop("n1").await;
    mesh.restart("n1").await;
    mesh.settled().await;
    let mail = mesh.status().await.services.into_iter().find(|service| service.name.as_str() == "mail");
    assert_eq!(mail.unwrap().endpoints.len(), 1, "it was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_without_space_refuses_changes_and_takes_them_when_there_is_some() {
    let (mut mesh, greeter) = mesh().await;
    let resources = mesh.dir().join("mesh.toml");
    fs::write(&resources, "[mesh]\ndefault_policy = \"deny\"\n").unwrap();
    let apply = ["apply", "--wait", "-f", resources.to_str().unwrap()];
    let token = ["token", "create", "--node", "n2", "--service", "orders"];
    let (joining, earlier) = unjoined(&mesh, "n3").await;
    limit_files(mesh.controller_pid(), "0").await;

    for change in [&apply[..], &token[..]] {
        // Again and again: what failed once must not hide why.
        for _ in 0..2 {
            let refused = mesh.sinew(change).await;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(
                !refused.status.success() && said.contains("store.redb"),
                "{said}{}",
                mesh.controller_log()
            );
            assert!(said.contains("File too large") && said.contains("free space"), "{said}");
        }
    }
    let refusal = node_refused(Place::Plain, &joining).await;
    refusal.names(&["the controller can't keep who joins", "No token was used up"]);
    assert_eq!(greeting(&mesh).await, "220 n1");

    limit_files(mesh.controller_pid(), "unlimited").await;
    assert_eq!(declared(&mesh).await, "", "nothing was changed");
    let taken = mesh.sinew(&apply).await;
    assert!(taken.status.success(), "{}{}", String::from_utf8_lossy(&taken.stderr), mesh.controller_log());
    mesh.add(NodePlan::new("n2").serve("orders", greeter.address())).await;
    mesh.add_with(NodePlan::new("n3").serve("orders", greeter.address()), &earlier).await;
    mesh.settled().await;
    // And it is on disk.
    mesh.kill_controller().await;
    mesh.start_controller().await;
    mesh.settled().await;
    assert_eq!(declared(&mesh).await, "mesh");
}

/// The keys of all that was declared.
async fn declared(mesh: &Mesh) -> String {
    let said = mesh.sinew(&["get"]).await;
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
