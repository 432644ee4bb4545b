//! `sinew ping`: what it prints of an answer, of silence, and of a node that has no link.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{NodePlan, PATIENCE, http_call, until};
use crate::{command, on, pair, printed, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_answers_is_measured_both_ways() {
    let (mesh, _echo) = pair().await;

    let output = on(&mesh, "caller", &["ping", "n1", "-c", "3", "--interval", "10ms", "-o", "json"]).await;

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["apiVersion"], &report["from"]), (&"sinew/v1".into(), &"caller".into()));
    assert_eq!((&report["sent"], &report["lost"]), (&3.into(), &0.into()), "{report}");
    let address = report["address"].as_str().unwrap().parse().unwrap();
    assert!(mesh.ports("n1").data.contains(&address), "{report}");
    let time = |name: &str| report[name].as_u64().unwrap();
    assert!(
        0 < time("minUs") && time("minUs") <= time("avgUs") && time("avgUs") <= time("maxUs"),
        "{report}"
    );
    let all: Vec<_> =
        report["echoes"].as_array().unwrap().iter().map(|e| e["roundTripUs"].as_u64()).collect();
    assert!(all.len() == 3 && all.contains(&Some(time("minUs"))) && all.contains(&Some(time("maxUs"))));

    // n1 calls nothing, and has the link that the caller made.
    let output = on(&mesh, "n1", &["ping", "caller", "-c", "2", "--interval", "10ms"]).await;
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.starts_with("n1 to caller (sinew "), "{text}");
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.contains("\n2 sent, 2 answered, 0 lost\nround trip min "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_loses_everything_until_it_continues() {
    let (mut mesh, _echo) = pair().await;
    let ping = ["ping", "n1", "-c", "2", "--interval", "10ms", "--timeout", "50ms"];
    mesh.pause("n1").await;

    let output = on(&mesh, "caller", &ping).await;

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = printed(&output);
    assert_eq!(text.matches("lost: no answer in 50ms").count(), 2, "{text}");
    assert!(text.ends_with("2 sent, 0 answered, 2 lost (100 %)\n"), "{text}");

    mesh.resume("n1");
    let answered = until("an answer", || async {
        let output = on(&mesh, "caller", &ping).await;
        if output.status.success() { Ok(()) } else { Err(printed(&output).to_owned()) }
    });
    answered.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_link_is_named_with_the_reason_and_what_to_do() {
    let (mut mesh, _echo) = pair().await;
    mesh.add(NodePlan::new("stranger").grant("billing")).await;

    for (node, said) in [
        ("n9", &["`caller` does not know a node `n9`; it knows n1.", "`sinew status`"][..]),
        ("stranger", &["does not know a node `stranger`"]),
        ("caller", &["`caller` is this node itself"]),
    ] {
        let output = on(&mesh, "caller", &["ping", node]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        for said in said {
            assert!(told(&output).contains(said), "{node}: {}", told(&output));
        }
        assert_eq!(printed(&output), "");
    }

    let gone = mesh.ports("n1").data[0];
    mesh.kill("n1").await;
    let down = until("the caller to tell that n1 is gone", || async {
        let output = on(&mesh, "caller", &["ping", "n1", "-c", "1", "--timeout", "50ms"]).await;
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        if told.contains("no link with `n1`: the last dial") { Ok(told) } else { Err(told) }
    });
    let down = down.await.unwrap();
    assert!(down.contains(&format!("to {gone} failed")) && down.contains("does UDP"), "{down}");

    mesh.stop("caller").await;
    let output = on(&mesh, "caller", &["ping", "n1"]).await;
    assert!(told(&output).contains("no node answers at"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_is_interrupted_still_sums_up() {
    let (mesh, _echo) = pair().await;
    let mut child = command(&mesh, "caller", &["ping", "n1", "--interval", "1h"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(lines.next_line().await.unwrap().expect("a line for the first echo"));
    }

    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();

    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        seen.push(line);
    }
    assert_eq!(seen[2], "1 sent, 1 answered, 0 lost", "{seen:?}");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_holds_the_nodes_token_may_ask_and_not_for_ever() {
    let (mesh, _echo) = pair().await;
    let admin = mesh.ports("caller").admin.unwrap();
    let token = std::fs::read_to_string(mesh.node_dir("caller").join("state/admin.token")).unwrap();

    for (token, body, code) in [
        (None, r#"{"node":"n1"}"#, 401),
        (Some(token.trim()), r#"{"node":"n1"}"#, 200),
        (Some(token.trim()), r#"{"node":"n1","timeoutMs":0}"#, 400),
        (Some(token.trim()), r#"{"node":"n1","timeoutMs":5001}"#, 400),
        (Some(token.trim()), r#"{"node":"n 1"}"#, 422),
    ] {
        let (status, answer) = http_call("POST", admin, "/v1/ping", token, body).await.unwrap();
        assert_eq!(status, code, "{body}: {answer}");
    }
    for wrong in [&["ping", "n1", "-c", "1001"][..], &["ping", "n1", "-c", "0"], &["ping", "n1", "-i", "9ms"]]
    {
        assert_eq!(on(&mesh, "caller", wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}
