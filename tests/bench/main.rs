//! Stories about `sinew bench` and `sinew dev`: real processes, real sockets, as a user runs them.
//!
//! Each mechanism has a control: the same file with the mechanism switched off must end with exit code 79
//! and the name of the expectation that it carries. Otherwise the quickstart would prove nothing.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps says enough by failing there")]

mod dev;
mod processes;

use std::process::Output;
use std::sync::RwLock;

use processes::{Running, await_gone, sinew};
use tempfile::TempDir;

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.toml");

/// Who measures latency has the machine alone; controls, which only count, may run side by side.
static MACHINE: RwLock<()> = RwLock::new(());

/// Two nodes for two seconds, with new and with kept connections.
const SMALL: &str = r#"
[scenario]
name = "small"
[[node]]
name = "n1"
[[node]]
name = "n2"
[[service]]
name = "orders"
endpoint = [{ node = "n2", latency = "1ms" }]
[[listener]]
name = "shop"
node = "n1"
service = "orders"
as = "web"
[[load]]
name = "new"
listener = "shop"
rate = 100
duration = "2s"
[[load]]
name = "kept"
listener = "shop"
rate = 50
duration = "2s"
connections = 4
[expect.failed]
[expect.wrong_bytes]
"#;

fn bench(args: &[&str]) -> Output {
    sinew().arg("bench").args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names of expectations that the quickstart misses without some mechanisms.
fn missed_without(mechanisms: &[&str]) -> Vec<String> {
    let _beside_others = MACHINE.read();
    let mut args = vec![QUICKSTART, "--no-progress", "--output", "json"];
    args.extend(mechanisms.iter().flat_map(|mechanism| ["--without", *mechanism]));
    let output = bench(&args);
    println!("{}", stderr(&output));
    assert_eq!(output.status.code(), Some(79));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["expectations"].as_array().unwrap().iter();
    let missed: Vec<_> =
        all.filter(|e| e["met"] == false).map(|e| e["name"].as_str().unwrap().to_owned()).collect();
    for name in &missed {
        assert!(
            stderr(&output).contains(&format!("expectation `{name}` was not met")),
            "{name} is not named"
        );
    }
    missed
}

#[test]
fn the_quickstart_meets_every_expectation() {
    let _alone = MACHINE.write();

    let output = bench(&[QUICKSTART, "--no-progress"]);

    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}\n{}", stderr(&output));
    for name in [
        "failed",
        "wrong_bytes",
        "share_gained",
        "undisturbed",
        "slow_share",
        "first_picks",
        "dead_picks",
        "share_back",
        "p99",
    ] {
        assert!(table.contains(name), "{name} is missing in\n{table}");
    }
}

#[test]
fn without_failover_a_dead_node_is_picked() {
    let missed = missed_without(&["failover"]);

    assert!(missed.iter().any(|name| name == "dead_picks"), "{missed:?}");
    assert!(!missed.iter().any(|name| name == "slow_share" || name == "wrong_bytes"), "{missed:?}");
}

#[test]
fn without_its_own_view_and_without_weights_a_caller_leaves_a_slow_endpoint_its_share() {
    let missed = missed_without(&["latency", "weights"]);

    assert!(missed.iter().any(|name| name == "slow_share"), "{missed:?}");
    let others = ["failed", "wrong_bytes", "dead_picks", "share_back"];
    assert!(!missed.iter().any(|name| others.contains(&name.as_str())), "{missed:?}");
}

#[test]
fn without_weights_a_fresh_caller_runs_into_the_slow_endpoint() {
    let missed = missed_without(&["weights"]);

    assert!(missed.iter().any(|name| name == "first_picks"), "{missed:?}");
    let others = ["failed", "wrong_bytes", "share_gained", "slow_share", "dead_picks", "share_back"];
    assert!(!missed.iter().any(|name| others.contains(&name.as_str())), "{missed:?}");
}

#[test]
fn without_probation_a_node_that_returned_does_not_get_its_share_back() {
    let missed = missed_without(&["probation"]);

    assert!(missed.iter().any(|name| name == "share_back"), "{missed:?}");
    let others = ["failed", "wrong_bytes", "slow_share", "dead_picks"];
    assert!(!missed.iter().any(|name| others.contains(&name.as_str())), "{missed:?}");
}

#[test]
fn new_and_kept_connections_are_measured_and_reported_as_json() {
    let dir = TempDir::new().unwrap();
    let (file, json) = (dir.path().join("small.toml"), dir.path().join("report.json"));
    std::fs::write(&file, SMALL).unwrap();

    let output = bench(&[file.to_str().unwrap(), "--json", json.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["apiVersion"], "sinew/v1");
    assert_eq!(report["totals"]["requests"], 300);
    assert_eq!(report["totals"]["failed"], 0);
    assert_eq!(report["totals"]["notLogged"], 0, "the mesh logged every connection");
    assert_eq!(report["totals"]["loggedOtherwise"], 0, "and the endpoint that answered");
    assert_eq!(report["totals"]["strangers"], 0, "and nothing else");
    assert_eq!(report["phases"][0]["endpoints"][0]["endpoint"], "n2/0");
}

#[test]
fn every_mistake_of_a_file_is_shown_at_its_place() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("wrong.toml");
    let text = SMALL.replace("rate = 50", "rat = 50").replace("node = \"n2\"", "node = \"n7\"");
    std::fs::write(&file, &text).unwrap();
    let place = |line: &str, part: &str| {
        let (number, line) = text.lines().enumerate().find(|(_, l)| l.contains(line)).unwrap();
        format!("wrong.toml:{}:{}", number + 1, line.find(part).unwrap() + 1)
    };

    let output = bench(&[file.to_str().unwrap()]);

    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let places = [place("rat = 50", "rat"), place("endpoint = ", "\"n7\"")];
    let messages = ["`rat` is not a key", "did you mean `rate`?", "node `n7` is not declared"];
    for part in messages.into_iter().chain(places.iter().map(String::as_str)) {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = bench(&["/nowhere/scenario.toml"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/scenario.toml"));
}

#[test]
fn an_interrupted_bench_leaves_no_process_and_no_file() {
    let temporary = TempDir::new().unwrap();
    let mut running = Running::start(sinew().arg("bench").arg(QUICKSTART).env("TMPDIR", temporary.path()));
    running.await_line("the mesh is up");
    let children = running.children();
    assert_eq!(children.len(), 7, "a controller, three nodes, three services");

    running.interrupt();

    assert_eq!(running.await_end(), Some(1));
    await_gone(&children);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_bench_that_is_killed_leaves_no_process() {
    let temporary = TempDir::new().unwrap();
    let mut running = Running::start(sinew().arg("bench").arg(QUICKSTART).env("TMPDIR", temporary.path()));
    running.await_line("the mesh is up");
    let children = running.children();
    assert_eq!(children.len(), 7, "a controller, three nodes, three services");

    running.kill();

    await_gone(&children);
}
