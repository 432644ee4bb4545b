//! What a scenario file says, table by table: each value with its place, nothing yet given meaning.
//!
//! `None` stands for a value that was not written, or that was unreadable and has been noted.

use std::ops::Range;
use std::time::Duration;

use sinew_api::document::{Table, Written, did_you_mean};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::keys::{ACTIONS, CHECK, CHECKS, ENDPOINT, EVENT, LISTENER, LOAD, NODE, SCENARIO, SERVICE};
use crate::scenario::{Behaviour, Connections};

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
    pub(super) started: Written<bool>,
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
    pub(super) configured: Written<bool>,
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
    /// Whether it is done to the controller.
    pub(super) controller: bool,
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
    ShareGained { event: Written<String>, at_least: Written<f64>, within: Written<Duration> },
    FirstPicks { event: Written<String>, load: Written<String>, first: Written<u64>, at_most: Written<f64> },
    Undisturbed { event: Written<String>, times_fastest: Written<f64> },
    P99 { times_fastest: Written<f64>, outside: Written<Duration> },
}

/// Reads the whole document.
pub(super) fn read(file: &Table<'_>) -> RawScenario {
    file.require("scenario");
    let head = file.table("scenario", SCENARIO);
    if let Some(head) = &head {
        head.require("name");
    }
    RawScenario {
        name: head.as_ref().and_then(|head| head.text("name", word)),
        seed: head.as_ref().and_then(|head| head.whole("seed", 0..=u64::MAX)),
        nodes: file.tables("node", NODE).iter().map(node).collect(),
        services: file.tables("service", SERVICE).iter().map(service).collect(),
        listeners: file.tables("listener", LISTENER).iter().map(listener).collect(),
        loads: file.tables("load", LOAD).iter().map(load).collect(),
        events: file.tables("event", EVENT).iter().map(event).collect(),
        expectations: file.named_tables("expect").into_iter().map(expectation).collect(),
    }
}

fn node(t: &Table<'_>) -> RawNode {
    t.require("name");
    RawNode {
        name: t.text("name", NodeName::new),
        zone: t.text("zone", Zone::new),
        started: t.truth("started"),
    }
}

fn service(t: &Table<'_>) -> RawService {
    t.require("name");
    RawService {
        span: t.span(),
        name: t.text("name", ServiceName::new),
        behaviour: t.text("behaviour", str::parse::<Behaviour>),
        endpoints: t.tables("endpoint", ENDPOINT).iter().map(endpoint).collect(),
    }
}

fn endpoint(t: &Table<'_>) -> RawEndpoint {
    t.require("node");
    RawEndpoint {
        node: t.text("node", NodeName::new),
        latency: time(t, "latency"),
        configured: t.truth("configured"),
    }
}

fn listener(t: &Table<'_>) -> RawListener {
    ["name", "node", "service", "as"].into_iter().for_each(|key| t.require(key));
    RawListener {
        name: t.text("name", word),
        node: t.text("node", NodeName::new),
        service: t.text("service", ServiceName::new),
        speaks_for: t.text("as", ServiceName::new),
    }
}

fn load(t: &Table<'_>) -> RawLoad {
    ["name", "listener", "rate", "duration"].into_iter().for_each(|key| t.require(key));
    RawLoad {
        name: t.text("name", word),
        listener: t.text("listener", word),
        rate: fraction(t, "rate"),
        start: time(t, "start"),
        duration: time(t, "duration"),
        connections: connections(t),
        payload: payload(t),
        timeout: time(t, "timeout"),
    }
}

fn event(t: &Table<'_>) -> RawEvent {
    ["name", "at"].into_iter().for_each(|key| t.require(key));
    let written = ACTIONS.into_iter().filter(|(word, _)| t.value(word).is_some());
    let (mut actions, mut count) = (Vec::new(), 0);
    for (word, keys) in written {
        count += 1;
        actions.extend(t.table(word, keys).map(|table| action(word, &table)));
    }
    if count != 1 {
        let known = ACTIONS.map(|(word, _)| format!("`{word}`")).join(", ");
        t.mistake(t.span(), format!("{} needs exactly one of {known}", t.title()), t.example("kill"));
    }
    let action = if count == 1 { actions.pop() } else { None };
    RawEvent { name: t.text("name", self::word), at: time(t, "at"), action }
}

fn action(word: &'static str, t: &Table<'_>) -> RawAction {
    let (slow, of_service) = (word == "slow", matches!(word, "slow" | "apply"));
    // For others, `controller` is no key, and has been noted as such.
    let controller = matches!(word, "kill" | "return") && controller(t);
    let required: &[&str] = match word {
        "slow" => &["service", "node", "by"],
        "apply" => &["service", "node"],
        _ if controller => &[],
        _ => &["node"],
    };
    required.iter().for_each(|key| t.require(key));
    RawAction {
        word,
        span: t.span(),
        service: if of_service { t.text("service", ServiceName::new) } else { None },
        node: t.text("node", NodeName::new),
        controller,
        by: if slow { time(t, "by") } else { None },
    }
}

/// Whether something is done to the controller: `controller = true` and no node.
fn controller(t: &Table<'_>) -> bool {
    let Some(written) = t.truth("controller") else { return false };
    if !written.get_ref() || t.value("node").is_some() {
        let message = "it is done either to a node or to the controller";
        t.mistake(written.span(), message, "write node = \"n1\" or controller = true");
    }
    true
}

fn expectation((name, t): (Spanned<String>, Table<'_>)) -> RawExpectation {
    // Which keys it may have depends on one of them.
    let written = t.peek(CHECK, word);
    let kind = written.as_ref().unwrap_or(&name);
    let Some((_, keys)) = CHECKS.iter().find(|(known, _)| known == kind.get_ref()) else {
        // Its keys are not judged: an unknown check is one mistake, not four.
        let known = CHECKS.map(|(word, _)| word);
        let help = did_you_mean(kind.get_ref(), known, "say with `check` which it is:");
        t.mistake(kind.span(), format!("`{}` is not a check", kind.get_ref()), help);
        return RawExpectation { name, check: None };
    };
    let check = Some(check(kind.get_ref(), &t.only(keys)));
    RawExpectation { name, check }
}

fn check(kind: &str, t: &Table<'_>) -> RawCheck {
    let require = |keys: &[&str]| keys.iter().for_each(|key| t.require(key));
    match kind {
        "failed" => RawCheck::Failed {
            at_most: t.whole("at_most", 0..=u64::MAX),
            except_in_flight_to_killed: t.truth("except_in_flight_to_killed"),
        },
        "wrong_bytes" => RawCheck::WrongBytes { at_most: t.whole("at_most", 0..=u64::MAX) },
        "dead_picks" => {
            require(&["event", "within"]);
            RawCheck::DeadPicks {
                event: t.text("event", word),
                at_most: t.whole("at_most", 0..=u64::MAX),
                within: time(t, "within"),
            }
        }
        "p99" => {
            require(&["times_fastest", "outside"]);
            RawCheck::P99 { times_fastest: fraction(t, "times_fastest"), outside: time(t, "outside") }
        }
        "first_picks" => {
            require(&["event", "load", "first", "at_most"]);
            RawCheck::FirstPicks {
                event: t.text("event", word),
                load: t.text("load", word),
                first: t.whole("first", 1..=u64::from(u32::MAX)),
                at_most: fraction(t, "at_most"),
            }
        }
        "undisturbed" => {
            require(&["event", "times_fastest"]);
            RawCheck::Undisturbed {
                event: t.text("event", word),
                times_fastest: fraction(t, "times_fastest"),
            }
        }
        share => {
            require(&["event", "at_least", "within"]);
            let (event, at_least) = (t.text("event", word), fraction(t, "at_least"));
            let within = time(t, "within");
            match share {
                "slow_share" => RawCheck::SlowShare { event, at_least, within },
                "share_back" => RawCheck::ShareBack { event, at_least, within },
                _ => RawCheck::ShareGained { event, at_least, within },
            }
        }
    }
}

fn word(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) }
}

/// A time of any length; what is sensible is told where its meaning is known.
fn time(t: &Table<'_>, key: &str) -> Written<Duration> {
    t.duration(key, Duration::ZERO..=Duration::MAX)
}

/// Any number, likewise.
fn fraction(t: &Table<'_>, key: &str) -> Written<f64> {
    t.number(key, f64::MIN..=f64::MAX)
}

fn connections(t: &Table<'_>) -> Written<Connections> {
    let value = t.value("connections")?;
    let connections = match value.get_ref() {
        DeValue::String(text) if text == "new" => Connections::New,
        DeValue::Integer(_) => Connections::Kept(*t.whole("connections", 1..=u16::MAX)?.get_ref()),
        _ => {
            t.wrong_type("connections", "\"new\" or a whole number", value);
            return None;
        }
    };
    Some(Spanned::new(value.span(), connections))
}

/// Least and most bytes.
fn payload(t: &Table<'_>) -> Written<(u64, u64)> {
    let value = t.value("payload")?;
    let whole = |number: &DeInteger<'_>| u64::from_str_radix(number.as_str(), number.radix()).ok();
    let both = match value.get_ref() {
        DeValue::Integer(number) => whole(number).map(|bytes| (bytes, bytes)),
        DeValue::Array(items) => match items.iter().map(Spanned::get_ref).collect::<Vec<_>>()[..] {
            [DeValue::Integer(least), DeValue::Integer(most)] => whole(least).zip(whole(most)),
            _ => None,
        },
        _ => None,
    };
    if both.is_none() {
        t.wrong_type("payload", "a whole number or a list of two", value);
    }
    Some(Spanned::new(value.span(), both?))
}
