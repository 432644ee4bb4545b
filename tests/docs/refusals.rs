//! What is counted, against the one table of refusals: every word that a metric is counted by has its row, every row
//! is counted, and every log message that the table promises is logged.
//!
//! Words come from public enums where there are some, and else from the sources: literals behind a counting call, and
//! what a `fn name` of an enum yields. Whoever counts in another way tells [`words`] how to find it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sinew_node_core::{Outcome, Refused};
use sinew_transport::verify::Refusal;
use sinew_transport_core::Code;
use sinew_transport_core::refusals::{groups, names};

use crate::{root, text};

/// What to do about a difference.
const REMEDY: &str = "mend transport/core/src/refusals/{node,controller}.rs, then \
                      `cargo run -- reference refusals > docs/reference/refusals.md`";

/// Counters of which every event is a success, or a step of one that is not over.
const NO_REFUSALS: [&str; 2] = ["sinew_connections_moved", "sinew_health_checks"];

/// Parts of names that counters of refusals have.
const SIGNS: [&str; 9] =
    ["refused", "rejected", "rejects", "failed", "dropped", "skipped", "too_large", "retried", "_ends"];

/// The words by which the sources count a metric; none when it has no label.
fn words(metric: &str) -> Option<BTreeSet<String>> {
    let all = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let codes: Vec<&str> =
        Code::ALL.into_iter().filter(|code| code.proves_nothing_delivered()).map(Code::name).collect();
    let words = match metric {
        "sinew_peers_refused" | "sinew_controller_refused" => {
            all(Refusal::ALL.iter().map(|refusal| refusal.name()).collect())
        }
        "sinew_streams_refused" => all(codes),
        "sinew_tcp_connections_closed" => {
            let codes: Vec<_> = Code::ALL.into_iter().map(Outcome::from).collect();
            let own = Outcome::ALL.into_iter().filter(|outcome| !codes.contains(outcome));
            all(own.map(Outcome::name).filter(|name| *name != "ok").collect())
        }
        "sinew_connections_refused" => all(Refused::ALL.into_iter().map(Refused::name).collect()),
        "sinew_connections_cut" => literals("node/src", "metrics.cut("),
        "sinew_certificate_renewals" => named("node/src/renewal.rs", "RenewalError"),
        "sinew_controller_joins" => without(named("controller/src/join.rs", "JoinEnd"), "granted"),
        "sinew_controller_renewals" => named("controller/src/renew.rs", "NotRenewed"),
        "sinew_controller_session_ends" => {
            let mut words = named("controller/src/control.rs", "Ending");
            words.extend(literals("controller/src", "session_ends, "));
            words
        }
        "sinew_controller_api_refused" => named("transport/src/http.rs", "Uncalled"),
        _ => return None,
    };
    Some(words)
}

fn without(mut words: BTreeSet<String>, word: &str) -> BTreeSet<String> {
    assert!(words.remove(word), "`{word}` is no word any more: {words:?}");
    words
}

/// What stands in quotes right behind `call`, in every source of a folder.
fn literals(folder: &str, call: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for file in sources(&root().join(folder)) {
        let source = std::fs::read_to_string(file).expect("it can be read");
        for rest in source.split(call).skip(1) {
            words.extend(rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    words
}

/// What `fn name` of a type yields, by its source.
fn named(file: &str, kind: &str) -> BTreeSet<String> {
    let source = text(file);
    let own =
        source.split(&format!("impl {kind} {{\n")).nth(1).unwrap_or_else(|| panic!("{file}: no {kind}"));
    let body = own.split("fn name(").nth(1).and_then(|rest| rest.split("\n    }\n").next());
    let body = body.unwrap_or_else(|| panic!("{file}: {kind} has no fn name"));
    body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => Vec::from_iter(path.extension().is_some_and(|end| end == "rs").then_some(path)),
        })
        .collect()
}

#[test]
fn every_word_that_is_counted_is_in_the_table_and_no_other() {
    for metric in groups().flat_map(|group| group.metrics) {
        let table: BTreeSet<String> = names(metric).map(str::to_owned).collect();
        let labelled = groups().any(|group| group.metrics.contains(metric) && !group.label.is_empty());
        match words(metric) {
            Some(counted) => {
                let missing: Vec<_> = counted.difference(&table).collect();
                let unknown: Vec<_> = table.difference(&counted).collect();
                assert!(missing.is_empty(), "{metric} counts {missing:?}, and the table lacks it: {REMEDY}");
                assert!(
                    unknown.is_empty(),
                    "the table has {unknown:?}, and nothing is found that counts it for {metric}: {REMEDY}; or, if \
                     it is counted in a new way, say how to find it in `words` of tests/docs/refusals.rs"
                );
            }
            None => assert!(!labelled, "{metric} has labels: say in `words` of tests/docs/refusals.rs which"),
        }
    }
}

#[test]
fn every_counter_of_refusals_is_in_the_table() {
    let table: BTreeSet<&str> = groups().flat_map(|group| group.metrics).copied().collect();
    for row in crate::metrics::rows() {
        let Some(name) = row.name.strip_suffix("_total") else { continue };
        let sign = SIGNS.iter().any(|sign| name.contains(sign));
        let why = ["reason", "code", "outcome", "result"].iter().any(|label| row.labels.contains(*label));
        let counted = table.contains(name) || NO_REFUSALS.contains(&name);
        assert!(counted || !(sign || why), "{name} counts refusals, and the table lacks it: {REMEDY}");
    }
}

#[test]
fn every_message_of_the_table_is_logged() {
    let folders = ["transport/src", "node/src", "controller/src"];
    let files = folders.iter().flat_map(|folder| sources(&root().join(folder)));
    let all: String = files.map(|file| std::fs::read_to_string(file).expect("it can be read")).collect();

    for message in groups().flat_map(|group| group.logged) {
        assert!(all.contains(&format!("\"{message}\"")), "nothing logs {message:?}: {REMEDY}");
    }
}
