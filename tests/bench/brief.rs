//! Controls of expectations that need no long run: a short scenario meets them all, and each is missed where what
//! it is about does not hold.

use std::process::Output;

use tempfile::TempDir;

use crate::{MACHINE, bench, missed, stderr};

const BRIEF: &str = include_str!("brief.toml");

/// A node dies together with the controller.
const DEATH: &str = r#"
[[event]]
name = "killed"
at = "5s"
kill = { node = "n2" }
[[event]]
name = "returned"
at = "6500ms"
return = { node = "n2" }
"#;

fn play(text: &str, flags: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("brief.toml");
    std::fs::write(&file, text).unwrap();
    bench(&[&[file.to_str().unwrap(), "--no-progress", "--output", "json"], flags].concat())
}

#[test]
fn a_brief_scenario_meets_what_its_controls_miss() {
    let _alone = MACHINE.write();

    let output = play(BRIEF, &[]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn without_weights_a_fresh_caller_goes_to_a_slow_endpoint() {
    let _beside_others = MACHINE.read();

    let missed = missed(&play(BRIEF, &["--without", "weights"]));

    assert!(missed.iter().any(|name| name == "first_picks"), "{missed:?}");
}

#[test]
fn a_declared_endpoint_that_is_slow_gets_no_share() {
    let _beside_others = MACHINE.read();
    let slow = BRIEF.replace("latency = \"44ms\"", "latency = \"500ms\"");
    assert_ne!(slow, BRIEF);

    let missed = missed(&play(&slow, &[]));

    assert!(missed.iter().any(|name| name == "share_gained"), "{missed:?}");
}

#[test]
fn a_node_that_dies_with_the_controller_is_noticed() {
    let _beside_others = MACHINE.read();

    let missed = missed(&play(&format!("{BRIEF}{DEATH}"), &[]));

    assert!(missed.iter().any(|name| name == "undisturbed"), "{missed:?}");
}
