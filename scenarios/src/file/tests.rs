//! Scenario files, good and bad: what each mistake is called, where it stands, and that nothing panics.

use std::time::Duration;

use sinew_api::document::Mistake;

use super::*;
use crate::scenario::{Action, Behaviour, Check, Connections};

const GOOD: &str = r#"
[scenario]
name = "small"
seed = 7

[[node]]
name = "n1"
[[node]]
name = "n2"
zone = "b"

[[service]]
name = "orders"
endpoint = [{ node = "n1", latency = "10ms" }, { node = "n2" }]

[[listener]]
name = "shop"
node = "n1"
service = "orders"
as = "web"

[[load]]
name = "requests"
listener = "shop"
rate = 100
duration = "20s"
connections = 4
payload = [1, 2]

[[event]]
name = "killed"
at = "5s"
kill = { node = "n2" }
[[event]]
name = "back"
at = "9s"
return = { node = "n2" }
[[event]]
name = "slower"
at = "1s"
slow = { service = "orders", node = "n1", by = "100ms" }

[expect.failed]
except_in_flight_to_killed = true
[expect.none_dead]
check = "dead_picks"
event = "killed"
within = "1s"
[expect.p99]
times_fastest = 3
outside = "2s"
"#;

/// What is wrong with the good file after a change of it: `line:column message; help`.
fn mistakes(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let invalid = parse("s.toml", &GOOD.replacen(from, to, 1)).expect_err("a mistake");
    let shown = |m: &Mistake| format!("{}:{} {}; {}", m.line, m.column, m.message, m.help);
    invalid.mistakes().map(shown).collect()
}

/// Where a line stands in the good file, counted from 1.
fn line_of(line: &str) -> usize {
    GOOD.lines().position(|l| l == line).unwrap() + 1
}

#[test]
fn a_good_file_says_what_it_means() {
    let scenario = parse("s.toml", GOOD).unwrap();

    assert_eq!((scenario.name.as_str(), scenario.seed), ("small", 7));
    let service = &scenario.topology.services[0];
    assert_eq!(service.behaviour, Behaviour::EchoId);
    assert_eq!(service.endpoints[0].id.to_string(), "n1/0");
    assert_eq!(service.endpoints[0].latency, Duration::from_millis(10));
    let load = &scenario.loads[0];
    assert_eq!((load.connections, load.payload, load.requests()), (Connections::Kept(4), (1, 2), 2000));
    let names: Vec<_> = scenario.events.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["slower", "killed", "back"], "events are in order of time");
    assert!(matches!(&scenario.events[1].action, Action::Kill { node } if node.as_str() == "n2"));
    let checks: Vec<_> = scenario.expectations.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(checks, ["failed", "none_dead", "p99"], "expectations are in the order of the file");
    assert!(matches!(scenario.expectations[1].check, Check::DeadPicks { at_most: 0, .. }));
}

#[test]
fn the_scenarios_of_the_catalog_are_valid() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(catalog).unwrap().map(|entry| entry.unwrap().path());
    let scenarios: Vec<_> = files
        .filter(|f| f.extension().is_some_and(|e| e == "toml") && f.file_name().unwrap() != "Cargo.toml")
        .collect();

    assert!(!scenarios.is_empty());
    for file in scenarios {
        load(&file).unwrap();
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    let text = GOOD
        .replace("seed = 7", "sed = 7")
        .replace("rate = 100", "rate = \"fast\"")
        .replace("as = \"web\"\n", "")
        .replace("at = \"9s\"", "at = \"soon\"");

    let invalid = parse("s.toml", &text).unwrap_err();

    let told: Vec<_> = invalid.mistakes().map(|m| m.message.as_str()).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].contains("`sed` is not a key of [scenario]"));
    assert!(told[1].contains("[[listener]] has no `as`"));
    assert!(told[2].contains("`rate` of [[load]] must be a number"));
    assert!(told[3].contains("`at`: `soon`: "));
    assert!(invalid.to_string().contains("s.toml:4:1: "), "{invalid}");
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_eq!(
        mistakes("seed = 7", "sed = 7"),
        ["4:1 `sed` is not a key of [scenario]; did you mean `seed`?"]
    );
    let line = line_of("as = \"web\"") + 1;
    assert_eq!(
        mistakes("as = \"web\"", "as = \"web\"\nport = 1"),
        [format!(
            "{line}:1 `port` is not a key of [[listener]]; its keys are `name`, `node`, `service`, `as`"
        )]
    );
}

#[test]
fn an_unknown_check_is_one_mistake() {
    let told = mistakes("[expect.p99]", "[expect.p98]");

    let line = line_of("[expect.p99]");
    assert_eq!(told, [format!("{line}:9 `p98` is not a check; did you mean `p99`?")]);
}

#[test]
fn a_name_that_nothing_has_is_refused() {
    let cases = [
        ("node = \"n1\", latency", "node = \"n9\", latency", "node `n9` is not declared"),
        ("service = \"orders\"\nas", "service = \"order\"\nas", "service `order` is not declared"),
        ("listener = \"shop\"", "listener = \"shops\"", "listener `shops` is not declared"),
        ("kill = { node = \"n2\" }", "kill = { node = \"n3\" }", "node `n3` is not declared"),
        ("event = \"killed\"", "event = \"kiled\"", "event `kiled` is not declared"),
    ];
    for (from, to, message) in cases {
        let told = mistakes(from, to);
        assert!(told.iter().any(|m| m.contains(message) && m.contains("did you mean")), "{told:#?}");
    }
}

#[test]
fn events_that_can_not_happen_are_refused() {
    let cases = [
        ("at = \"5s\"", "at = \"10s\"", "node `n2` is running then; this needs it killed"),
        ("kill = { node = \"n2\" }", "pause = { node = \"n2\" }", "node `n2` is paused then"),
        ("at = \"9s\"", "at = \"20s\"", "nothing is measured any more"),
        ("kill = { node = \"n2\" }", "kill = { node = \"n1\" }", "enters the mesh at node `n1`"),
        ("kill = { node = \"n2\" }", "", "exactly one of"),
        ("node = \"n1\", by", "node = \"n2\", by", "nothing"),
    ];
    for (from, to, message) in &cases[..5] {
        let told = mistakes(from, to);
        assert!(told.iter().any(|m| m.contains(message)), "{message}: {told:#?}");
    }
    let (from, to, _) = cases[5];
    assert!(parse("s.toml", &GOOD.replacen(from, to, 1)).is_ok(), "n2 has an endpoint, too");
}

/// The good file with a node and an endpoint that come later, and a controller that goes and returns.
fn eventful() -> String {
    let later = r#"
[[node]]
name = "n3"
started = false
[[listener]]
name = "desk"
node = "n3"
service = "orders"
as = "web"
[[load]]
name = "fresh"
listener = "desk"
rate = 100
duration = "1s"
[[event]]
name = "joined"
at = "15s"
start = { node = "n3" }
[[event]]
name = "declared"
at = "10s"
apply = { service = "orders", node = "n2" }
[[event]]
name = "away"
at = "11s"
kill = { controller = true }
[[event]]
name = "there"
at = "13s"
return = { controller = true }
[expect.share_gained]
event = "declared"
at_least = 0.5
within = "500ms"
[expect.first_picks]
event = "slower"
load = "fresh"
first = 50
at_most = 0.1
[expect.undisturbed]
event = "away"
times_fastest = 3
"#;
    GOOD.replace("{ node = \"n2\" }]", "{ node = \"n2\", configured = false }]") + later
}

#[test]
fn what_comes_later_is_read() {
    let scenario = parse("s.toml", &eventful()).unwrap();

    assert!(!scenario.topology.nodes[2].started);
    assert!(!scenario.topology.services[0].endpoints[1].configured);
    let words: Vec<_> = scenario.events.iter().map(|e| e.action.to_string()).collect();
    assert_eq!(words[3], "endpoint n2/0 of orders is declared (sinew apply)");
    assert_eq!(scenario.events[4].action, Action::KillController);
    assert_eq!(scenario.events[5].action, Action::ReturnController);
    assert!(matches!(&scenario.events[6].action, Action::Start { node } if node.as_str() == "n3"));
    let named = |name: &str| &scenario.expectations.iter().find(|e| e.name == name).unwrap().check;
    assert!(matches!(named("first_picks"), Check::FirstPicks { load: 1, first: 50, .. }));
    assert!(matches!(named("share_gained"), Check::ShareGained { .. }));
    assert!(matches!(named("undisturbed"), Check::Undisturbed { .. }));
}

#[test]
fn what_can_not_come_later_is_refused() {
    let cases = [
        ("start = { node = \"n3\" }", "start = { node = \"n2\" }", "node `n3` is never started"),
        ("started = false", "started = true", "node `n3` is running then; this needs it not started yet"),
        (", configured = false", "", "the endpoint on `n2` is there already"),
        (
            "apply = { service = \"orders\", node = \"n2\" }",
            "pause = { node = \"n2\" }",
            "neither configured nor",
        ),
        ("at = \"13s\"", "at = \"10500ms\"", "the controller is running then; this needs it killed"),
        ("at = \"15s\"", "at = \"12s\"", "the controller is killed then; this needs it running"),
        ("at = \"10s\"", "at = \"8s\"", "node `n2` is killed then; this needs it running"),
        (
            "kill = { controller = true }",
            "kill = { controller = false }",
            "either to a node or to the controller",
        ),
        ("first = 50", "first = 500", "opens fewer than 500 connections"),
        ("load = \"fresh\"", "load = \"fesh\"", "load `fesh` is not declared"),
        ("event = \"away\"", "event = \"killed\"", "is not a `kill = { controller = true }`"),
    ];
    for (from, to, message) in &cases {
        let text = eventful();
        assert!(text.contains(from), "{from}");
        let told = parse("s.toml", &text.replacen(from, to, 1)).expect_err(message).to_string();
        assert!(told.contains(message), "{message}: {told}");
    }
}

#[test]
fn numbers_outside_their_limits_are_refused() {
    let cases = [
        ("rate = 100", "rate = 0", "`rate` must be from 0.1 to 20000"),
        ("duration = \"20s\"", "duration = \"2h\"", "`duration` must be from"),
        ("payload = [1, 2]", "payload = [2, 1]", "least <= most"),
        ("payload = [1, 2]", "payload = 2000000", "least <= most"),
        ("connections = 4", "connections = 0", "0 is not from 1 to 65535"),
        ("times_fastest = 3", "times_fastest = 0.5", "`times_fastest` must be from 1 to 1000"),
        ("latency = \"10ms\"", "latency = \"1m\"", "`latency` must be from"),
        ("within = \"1s\"", "within = \"4s\"", "no time is left to judge"),
    ];
    for (from, to, message) in cases {
        let told = mistakes(from, to);
        assert!(told.iter().any(|m| m.contains(message)), "{message}: {told:#?}");
    }
}

#[test]
fn what_is_declared_twice_or_for_nothing_is_refused() {
    let cases = [
        ("name = \"n2\"\nzone", "name = \"n1\"\nzone", "node `n1` is declared twice"),
        ("name = \"back\"", "name = \"killed\"", "event `killed` is declared twice"),
        ("{ node = \"n2\" }]", "{ node = \"n1\" }]", "has an endpoint on `n1` already"),
        (", { node = \"n2\" }]", "]", "node `n2` has neither"),
    ];
    for (from, to, message) in cases {
        let told = mistakes(from, to);
        assert!(told.iter().any(|m| m.contains(message)), "{message}: {told:#?}");
    }
}

#[test]
fn a_load_calls_only_what_it_can_check() {
    let told = mistakes("name = \"orders\"", "name = \"orders\"\nbehaviour = \"http\"");

    assert!(told[0].contains("behaves as `http`, which a load can't check"), "{told:?}");
}

#[test]
fn text_that_is_no_toml_is_refused_at_its_place() {
    let invalid = parse("s.toml", "[scenario\nname = \"x\"\n").unwrap_err();

    assert_eq!(invalid.mistakes().next().map(|m| m.line), Some(1));
}

#[test]
fn an_empty_file_says_what_it_lacks() {
    let told = parse("s.toml", "").unwrap_err().to_string();

    for lack in ["`scenario`", "[[node]]", "[[load]]"] {
        assert!(told.contains(lack), "{told}");
    }
}

#[test]
fn whatever_a_file_says_is_a_scenario_or_a_mistake_with_a_place() {
    let parts = [
        "-1",
        "1e300",
        "[",
        "\"",
        "\n",
        "{}",
        "99999999999999999999",
        "\"500000000y\"",
        "é",
        "=",
        "[[event]]",
    ];
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut text = GOOD.to_owned();
        for _ in 0..random.usize(1..4) {
            let mut cuts = [random.usize(0..=text.len()), random.usize(0..=text.len())];
            cuts.sort_unstable();
            let [from, to] = cuts.map(|cut| text.floor_char_boundary(cut));
            let to = to.min(text.floor_char_boundary(from + 20));
            text.replace_range(from..to, parts[random.usize(0..parts.len())]);
        }

        if let Err(invalid) = parse("s.toml", &text) {
            assert!(invalid.mistakes().len() > 0, "seed {seed} has none:\n{text}");
            let shown = format!("{:?}", invalid.into_report());
            assert!(!shown.is_empty());
        }
    }
}

#[test]
fn times_beyond_all_limits_are_mistakes_and_no_panic() {
    let forever = "\"500000000000y\"";
    for key in ["at = \"5s\"", "duration = \"20s\"", "within = \"1s\"", "outside = \"2s\""] {
        let name = key.split(' ').next().unwrap();
        let text = GOOD.replace(key, &format!("{name} = {forever}"));
        let both = text.replace("duration = ", &format!("start = {forever}\nduration = "));
        let _ = parse("s.toml", &text);
        assert!(parse("s.toml", &both).is_err());
    }
}
