//! What a scenario file says, table by table: each value with its place, nothing yet given meaning.
//!
//! `None` stands for a value that was not written, or that was unreadable and has been noted.

use std::ops::Range;
use std::time::Duration;

use sinew_transport_core::ids::{NodeName, ServiceName, Zone};
use toml::Spanned;
use toml::de::DeTable;

use super::mistakes::Mistakes;
use super::reader::{Reader, nearest};
use crate::scenario::{Behaviour, Connections};

/// A value that was perhaps written.
pub(super) type Written<T> = Option<Spanned<T>>;

/// A whole file.
pub(super) struct RawScenario {
    pub(super) name: Written<String>,
    pub(super) seed: Written<u64>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) services: Vec<RawService>,
    pub(super) listeners: Vec<RawListener>,
    pub(super) loads: Vec<RawLoad>,
    pub(super) events: Vec<RawEvent>,
    pub(super) expectations: Vec<RawExpectation>,
}

/// `[[node]]`
pub(super) struct RawNode {
    pub(super) name: Written<NodeName>,
    pub(super) zone: Written<Zone>,
}

/// `[[service]]`
pub(super) struct RawService {
    pub(super) span: Range<usize>,
    pub(super) name: Written<ServiceName>,
    pub(super) behaviour: Written<Behaviour>,
    pub(super) endpoints: Vec<RawEndpoint>,
}

/// An entry of `endpoint`.
pub(super) struct RawEndpoint {
    pub(super) node: Written<NodeName>,
    pub(super) latency: Written<Duration>,
}

/// `[[listener]]`
pub(super) struct RawListener {
    pub(super) name: Written<String>,
    pub(super) node: Written<NodeName>,
    pub(super) service: Written<ServiceName>,
    pub(super) speaks_for: Written<ServiceName>,
}

/// `[[load]]`
pub(super) struct RawLoad {
    pub(super) name: Written<String>,
    pub(super) listener: Written<String>,
    pub(super) rate: Written<f64>,
    pub(super) start: Written<Duration>,
    pub(super) duration: Written<Duration>,
    pub(super) connections: Written<Connections>,
    pub(super) payload: Written<(u64, u64)>,
    pub(super) timeout: Written<Duration>,
}

/// `[[event]]`
pub(super) struct RawEvent {
    pub(super) name: Written<String>,
    pub(super) at: Written<Duration>,
    pub(super) action: Option<RawAction>,
}

/// The one action of an event: its word, and what it is done to.
pub(super) struct RawAction {
    pub(super) word: &'static str,
    pub(super) span: Range<usize>,
    pub(super) service: Written<ServiceName>,
    pub(super) node: Written<NodeName>,
    pub(super) by: Written<Duration>,
}

/// `[expect.NAME]`
pub(super) struct RawExpectation {
    pub(super) name: Spanned<String>,
    pub(super) check: Option<RawCheck>,
}

/// What is expected; each check has keys of its own.
pub(super) enum RawCheck {
    Failed { at_most: Written<u64>, except_in_flight_to_killed: Written<bool> },
    WrongBytes { at_most: Written<u64> },
    SlowShare { event: Written<String>, at_least: Written<f64>, within: Written<Duration> },
    DeadPicks { event: Written<String>, at_most: Written<u64>, within: Written<Duration> },
    ShareBack { event: Written<String>, at_least: Written<f64>, within: Written<Duration> },
    P99 { times_fastest: Written<f64>, outside: Written<Duration> },
}

/// What can be done in an event.
const ACTIONS: [&str; 5] = ["slow", "kill", "return", "pause", "continue"];
/// What can be expected.
const CHECKS: [&str; 6] = ["failed", "wrong_bytes", "slow_share", "dead_picks", "share_back", "p99"];

/// Reads the whole document.
pub(super) fn read(text: &str, mistakes: &Mistakes) -> RawScenario {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        mistakes.note(error.span().unwrap_or(0..0), error.message().to_owned());
    }
    let document = document.into_inner();
    let mut file = Reader::new("the file", 0..0, &document, mistakes);
    let head = file.table("scenario");
    if head.is_none() && !document.contains_key("scenario") {
        file.missing("scenario");
    }
    let (name, seed) = head.map_or((None, None), |mut t| {
        let both = (t.required("name"), t.optional("seed"));
        t.finish();
        both
    });
    let raw = RawScenario {
        name,
        seed,
        nodes: file.tables("node").into_iter().map(node).collect(),
        services: file.tables("service").into_iter().map(service).collect(),
        listeners: file.tables("listener").into_iter().map(listener).collect(),
        loads: file.tables("load").into_iter().map(load).collect(),
        events: file.tables("event").into_iter().map(event).collect(),
        expectations: file.named_tables("expect").into_iter().map(expectation).collect(),
    };
    file.finish();
    raw
}

fn node(mut t: Reader<'_>) -> RawNode {
    let node = RawNode { name: t.required("name"), zone: t.optional("zone") };
    t.finish();
    node
}

fn service(mut t: Reader<'_>) -> RawService {
    let service = RawService {
        span: t.span(),
        name: t.required("name"),
        behaviour: t.optional("behaviour"),
        endpoints: t.tables("endpoint").into_iter().map(endpoint).collect(),
    };
    t.finish();
    service
}

fn endpoint(mut t: Reader<'_>) -> RawEndpoint {
    let endpoint = RawEndpoint { node: t.required("node"), latency: t.optional("latency") };
    t.finish();
    endpoint
}

fn listener(mut t: Reader<'_>) -> RawListener {
    let listener = RawListener {
        name: t.required("name"),
        node: t.required("node"),
        service: t.required("service"),
        speaks_for: t.required("as"),
    };
    t.finish();
    listener
}

fn load(mut t: Reader<'_>) -> RawLoad {
    let load = RawLoad {
        name: t.required("name"),
        listener: t.required("listener"),
        rate: t.required("rate"),
        start: t.optional("start"),
        duration: t.required("duration"),
        connections: t.optional("connections"),
        payload: t.optional("payload"),
        timeout: t.optional("timeout"),
    };
    t.finish();
    load
}

fn event(mut t: Reader<'_>) -> RawEvent {
    let (name, at) = (t.required("name"), t.required("at"));
    let mut actions: Vec<_> =
        ACTIONS.into_iter().filter_map(|word| t.table(word).map(|table| action(word, table))).collect();
    if actions.len() != 1 {
        let known = ACTIONS.map(|word| format!("`{word}`")).join(", ");
        t.mistakes().note(t.span(), format!("[[event]] needs exactly one of {known}"));
    }
    let action = if actions.len() == 1 { actions.pop() } else { None };
    t.finish();
    RawEvent { name, at, action }
}

fn action(word: &'static str, mut t: Reader<'_>) -> RawAction {
    let slow = word == "slow";
    let action = RawAction {
        word,
        span: t.span(),
        service: if slow { t.required("service") } else { None },
        node: t.required("node"),
        by: if slow { t.required("by") } else { None },
    };
    t.finish();
    action
}

fn expectation((name, mut t): (Spanned<String>, Reader<'_>)) -> RawExpectation {
    let written: Written<String> = t.optional("check");
    let word = written.as_ref().unwrap_or(&name);
    let check = check(word.get_ref(), &mut t);
    if check.is_some() {
        t.finish();
    } else {
        // Its keys are not judged: an unknown check is one mistake, not four.
        let help = match nearest(word.get_ref(), &CHECKS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("say with `check` which it is: {}", CHECKS.map(|c| format!("`{c}`")).join(", "))
            }
        };
        let message = format!("`{}` is not a check", word.get_ref());
        t.mistakes().note_with_help(word.span(), message, Some(help));
    }
    RawExpectation { name, check }
}

fn check(word: &str, t: &mut Reader<'_>) -> Option<RawCheck> {
    Some(match word {
        "failed" => RawCheck::Failed {
            at_most: t.optional("at_most"),
            except_in_flight_to_killed: t.optional("except_in_flight_to_killed"),
        },
        "wrong_bytes" => RawCheck::WrongBytes { at_most: t.optional("at_most") },
        "slow_share" => RawCheck::SlowShare {
            event: t.required("event"),
            at_least: t.required("at_least"),
            within: t.required("within"),
        },
        "dead_picks" => RawCheck::DeadPicks {
            event: t.required("event"),
            at_most: t.optional("at_most"),
            within: t.required("within"),
        },
        "share_back" => RawCheck::ShareBack {
            event: t.required("event"),
            at_least: t.required("at_least"),
            within: t.required("within"),
        },
        "p99" => RawCheck::P99 { times_fastest: t.required("times_fastest"), outside: t.required("outside") },
        _ => return None,
    })
}
