//! `sinew check`: on a machine in order, before the first start, and on one where something is in the way.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::until;
use crate::{SINEW, pair, told};

/// Every finding of one check, as `outcome what -> remedy`.
fn of<'r>(report: &'r Value, check: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let text = |finding: &'r Value, key: &str| finding[key].as_str().unwrap();
    let found = findings.iter().filter(|finding| finding["check"] == check);
    found.map(|f| format!("{} {} -> {}", text(f, "outcome"), text(f, "what"), text(f, "remedy"))).collect()
}

/// The exit code and the report of a check of these files.
async fn check(configs: &[&Path], more: &[&str]) -> (i32, Value) {
    let mut command = tokio::process::Command::new(SINEW);
    command.args(["check", "-o", "json"]).args(more);
    configs.iter().for_each(|config| _ = command.arg("--config").arg(config));
    let output = command.output().await.unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
    (output.status.code().unwrap(), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_in_order_passes() {
    let (mesh, _echo) = pair().await;
    let (node, controller) =
        (mesh.node_dir("caller").join("node.toml"), mesh.dir().join("controller/controller.toml"));

    let (code, report) = check(&[&node, &controller], &[]).await;

    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["apiVersion"], "sinew/v1");
    for (name, count, says) in [
        ("config-node", 1, "1 [[listen]], 0 [[serve]]"),
        ("config-controller", 1, "mesh test.local"),
        ("state-rights", 2, ""),
        ("certificate-dates", 3, "is valid for another"),
        ("ports-free", 2, "itself"),
        ("clock-skew", 1, "the clock of caller"),
        ("node-running", 1, "caller runs"),
        ("controller-reachable", 2, ""),
        ("versions-agree", 1, env!("CARGO_PKG_VERSION")),
        ("peers-reachable", 1, "all 1 nodes whose services are called answer"),
    ] {
        let found = of(&report, name);
        assert_eq!(found.len(), count, "{name}: {found:?}");
        for finding in found {
            assert!(finding.starts_with("pass ") && finding.contains(says), "{name}: {finding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_start_the_way_to_the_controller_and_the_ports_are_tried() {
    let (mesh, _echo) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (file, token) = (dir.path().join("node.toml"), dir.path().join("token"));
    std::fs::write(&token, mesh.token("n3", &["billing"]).await).unwrap();
    let write = |address: &str| {
        let text = format!(
            "[node]\nstate = {:?}\ntoken_file = {token:?}\ndata = \"127.0.0.1:0\"\nadmin = {address:?}\n",
            dir.path().join("state"),
        );
        std::fs::write(&file, text).unwrap();
    };

    write("127.0.0.1:0");
    let (code, report) = check(&[&file], &["--pre"]).await;
    assert_eq!(code, 0, "{report:#}");
    let [reached] = &of(&report, "controller-reachable")[..] else { panic!("{report:#}") };
    let address = mesh.controller_address();
    assert!(reached.starts_with(&format!("pass the controller at {address} shakes hands")), "{reached}");
    assert!(of(&report, "certificate-dates")[0].starts_with("pass the node's certificate is not there yet"));
    assert!(of(&report, "node-running")[0].starts_with("skip "));
    assert!(!dir.path().join("state").exists(), "a check changes nothing");

    write(&taken.local_addr().unwrap().to_string());
    let (code, report) = check(&[&file], &["--pre"]).await;
    assert_eq!(code, 1, "{report:#}");
    let [port] = &of(&report, "ports-free")[..] else { panic!("{report:#}") };
    assert!(
        port.starts_with(&format!("fail admin: TCP {} is taken by", taken.local_addr().unwrap())),
        "{port}"
    );
    assert!(port.contains(&format!("(pid {})", std::process::id())), "{port}");

    // The node that nobody started yet is a failure from then on.
    write("127.0.0.1:0");
    let (code, report) = check(&[&file], &[]).await;
    assert_eq!(code, 1, "{report:#}");
    assert!(of(&report, "node-running")[0].starts_with("fail the node does not answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_named_with_what_to_do() {
    let (mut mesh, _echo) = pair().await;
    let state = mesh.node_dir("caller").join("state");
    let file = mesh.node_dir("caller").join("node.toml");

    std::fs::set_permissions(state.join("identity.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    let gone = mesh.ports("n1").data[0];
    mesh.kill("n1").await;
    let report = until("the caller to miss n1", || async {
        let (code, report) = check(&[&file], &[]).await;
        assert_eq!(code, 1, "{report:#}");
        if of(&report, "peers-reachable")[0].starts_with("fail ") {
            Ok(report)
        } else {
            Err(report.to_string())
        }
    });
    let report = report.await.unwrap();
    let [rights] = &of(&report, "state-rights")[..] else { panic!("{report:#}") };
    assert!(rights.contains("identity.pem (mode 0644) -> `chmod go= "), "{rights}");
    let silent = &of(&report, "peers-reachable")[0];
    assert!(silent.contains(&format!("n1 at {gone}: ")) && silent.contains("does UDP leave"), "{silent}");

    mesh.kill_controller().await;
    mesh.stop("caller").await;
    let (code, report) = check(&[&file], &[]).await;
    assert_eq!(code, 1);
    let [reached] = &of(&report, "controller-reachable")[..] else { panic!("{report:#}") };
    let address = mesh.controller_address();
    assert!(
        reached.starts_with("fail no controller answers") && reached.contains(&address.to_string()),
        "{reached}"
    );
    assert!(of(&report, "node-running")[0].starts_with("fail the node does not answer: no node answers"));

    std::fs::write(&file, "[node]\nstat = \"/nowhere\"\n").unwrap();
    let (code, report) = check(&[&file], &[]).await;
    assert_eq!(code, 1);
    let [config] = &of(&report, "config-node")[..] else { panic!("{report:#}") };
    assert!(config.contains("2:1") && config.contains("`stat`"), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_checks_does_the_controller_no_wrong() {
    let (mut mesh, _echo) = pair().await;
    let file = mesh.node_dir("caller").join("node.toml");
    mesh.stop("caller").await;

    let (_, report) = check(&[&file], &[]).await;

    assert!(of(&report, "controller-reachable")[0].starts_with("pass the controller at "), "{report:#}");
    let line = until("the controller's line about it", || async {
        let log = mesh.controller_log();
        log.lines().find(|line| line.contains("checked")).map(str::to_owned).ok_or(log)
    });
    let line = line.await.unwrap();
    assert!(line.contains("\"level\":\"INFO\""), "{line}");
}
