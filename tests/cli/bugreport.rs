//! `sinew bugreport`: what is in it, what is not, and what it says about itself. That no key and no token of a whole
//! mesh is in it is told in `tests/secrets`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::unpack;
use crate::{on, pair, printed, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_report_holds_what_is_known_of_both_programs_and_no_secret() {
    let (mesh, _echo) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    let (state, log) = (mesh.node_dir("caller").join("state"), mesh.node_dir("caller").join("node.log"));
    let token = std::fs::read_to_string(state.join("admin.token")).unwrap();
    let file = mesh.node_dir("caller").join("node.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{config}\n# my db_password = \"hunter2\", the token is {token}")).unwrap();
    let report = dir.path().join("report.tar.gz");
    let (file, log) = (file.to_str().unwrap(), log.to_str().unwrap());
    let controller = mesh.dir().join("controller/controller.toml");
    let args = [
        "bugreport",
        "-o",
        report.to_str().unwrap(),
        "-c",
        file,
        "-c",
        controller.to_str().unwrap(),
        "--log",
        log,
    ];

    let output = on(&mesh, "caller", &args).await;

    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(printed(&output).contains("look at it before you send it"), "{}", printed(&output));
    assert_eq!(std::fs::metadata(&report).unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpack(&report);
    for (name, says) in [
        ("README.txt", "sinew bugreport"),
        ("version.txt", concat!("sinew ", env!("CARGO_PKG_VERSION"))),
        ("check.txt", "config-node"),
        ("system.txt", "--- /proc/version"),
        ("node/node.toml", "[[listen]]"),
        ("node/state.txt", " identity.pem"),
        ("node/snapshot.json", "n1"),
        ("node/metrics.txt", "sinew_peer_up{peer=\"n1\"} 1"),
        ("controller/controller.toml", "trust_domain"),
        ("controller/state.txt", " ca.key.pem"),
        ("controller/metrics.txt", "# EOF"),
        ("logs/node.log", "node up"),
    ] {
        let text = files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
        assert!(text.contains(says), "{name}: {text}");
        assert!(printed(&output).contains(name), "{name} is not told: {}", printed(&output));
    }
    let json = |name: &str| -> Value { serde_json::from_str(&files[name]).unwrap() };
    assert_eq!(json("check.json")["apiVersion"], "sinew/v1");
    assert_eq!(json("node/links.json")["peers"][0]["node"], "n1");
    assert_eq!(json("node/endpoints.json")["node"], "caller");
    assert_eq!(json("controller/status.json")["controller"], "c1");
    assert_eq!(json("controller/effective/caller.json")["node"], "caller");
    let config = &files["node/node.toml"];
    assert!(config.contains("# my db_password = [redacted], the token is [redacted]"), "{config}");
    for (name, text) in &files {
        assert!(!text.contains("PRIVATE KEY") && !text.contains(token.trim()), "{name}");
    }

    // Nothing is overwritten.
    let again = on(&mesh, "caller", &args).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).contains("it must not be there yet"), "{}", told(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_machine_on_which_nothing_runs_says_so() {
    let (mut mesh, _echo) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.tar.gz");
    let file = mesh.node_dir("caller").join("node.toml");
    mesh.stop("caller").await;

    let args = ["bugreport", "-o", report.to_str().unwrap(), "-c", file.to_str().unwrap()];
    let output = on(&mesh, "caller", &args).await;

    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let files = unpack(&report);
    assert!(
        files["node/links.json"].contains("not to be had: no node answers at"),
        "{}",
        files["node/links.json"]
    );
    assert!(files["check.txt"].contains("FAIL  node-running"), "{}", files["check.txt"]);
}
