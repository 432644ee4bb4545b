//! Gives meaning to what was written: names are resolved, numbers kept in their limits, expectations tied
//! to the events they speak of.

mod states;
mod timeline;
mod topology;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use sinew_api::document::{Table, Written, did_you_mean};
use toml::Spanned;

use super::tables::{RawLoad, RawScenario};
use crate::scenario::{Behaviour, Connections, Load, Scenario, Topology};

/// Requests a second, of one load. One process makes them all; beyond this it would measure itself.
const RATES: RangeInclusive<f64> = 0.1..=20_000.0;
/// The longest load: an hour, in which one slow leak or one rare race shows.
const MAX_DURATION: Duration = Duration::from_secs(3600);
/// The most requests of one load: each leaves a record of about 100 bytes, so 300 MB.
const MAX_REQUESTS: u64 = 3_000_000;
/// The largest payload: 1 MiB, since each is held in memory whole.
const MAX_PAYLOAD: u64 = 1024 * 1024;
/// A request's payload unless said otherwise: from a bare id to what fits a few packets.
const DEFAULT_PAYLOAD: (u64, u64) = (64, 4096);
/// How long a request may take unless said otherwise: longer than a node takes to give up a dead peer's
/// streams (10 s), so that what fails is told by the mesh and not cut off by the load.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest timeout.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

/// The scenario that was written, unless something in it was missing or unreadable. Mistakes are noted
/// either way.
pub(super) fn check(raw: &RawScenario, file: &Table<'_>) -> Option<Scenario> {
    let topology = topology::check(raw, file);
    let loads = loads(raw, topology.as_ref(), file);
    let events = timeline::events(raw, topology.as_ref(), &loads, file);
    let expectations = timeline::expectations(raw, topology.as_ref(), &loads, &events, file);
    Some(Scenario {
        name: raw.name.as_ref()?.get_ref().clone(),
        seed: raw.seed.as_ref().map_or(1, |s| *s.get_ref()),
        topology: topology?,
        loads,
        events: events.into_iter().map(Spanned::into_inner).collect(),
        expectations,
    })
}

fn loads(raw: &RawScenario, topology: Option<&Topology>, file: &Table<'_>) -> Vec<Load> {
    if raw.loads.is_empty() {
        file.mistake(0..0, "the file has no [[load]]: nothing would be measured", "write at least one");
    }
    let mut names = Names::new("load", file);
    for load in &raw.loads {
        names.declare(&load.name);
        if let Some(listener) = &load.listener {
            check_listener(listener, raw, topology, file);
        }
    }
    raw.loads.iter().filter_map(|written| load(written, file)).collect()
}

fn load(raw: &RawLoad, file: &Table<'_>) -> Option<Load> {
    within(&raw.rate, "rate", &RATES, file);
    within(&raw.duration, "duration", &(Duration::from_millis(100)..=MAX_DURATION), file);
    within(&raw.start, "start", &(Duration::ZERO..=MAX_DURATION), file);
    within(&raw.timeout, "timeout", &(Duration::from_millis(10)..=MAX_TIMEOUT), file);
    let payload = raw.payload.as_ref().map_or(DEFAULT_PAYLOAD, |p| *p.get_ref());
    if let Some(written) = &raw.payload
        && (payload.0 > payload.1 || payload.1 > MAX_PAYLOAD)
    {
        file.mistake(
            written.span(),
            format!("`payload` must be [least, most] with least <= most <= {MAX_PAYLOAD}"),
            "write for example payload = [64, 4096]",
        );
    }
    let load = Load {
        name: raw.name.as_ref()?.get_ref().clone(),
        listener: raw.listener.as_ref()?.get_ref().clone(),
        rate: *raw.rate.as_ref()?.get_ref(),
        start: given(&raw.start, Duration::ZERO),
        duration: *raw.duration.as_ref()?.get_ref(),
        connections: given(&raw.connections, Connections::New),
        payload: (usize::try_from(payload.0).ok()?, usize::try_from(payload.1).ok()?),
        timeout: given(&raw.timeout, DEFAULT_TIMEOUT),
    };
    if load.requests() > MAX_REQUESTS {
        file.mistake(
            raw.rate.as_ref()?.span(),
            format!("{} requests are more than {MAX_REQUESTS}", load.requests()),
            "lower `rate` or `duration`",
        );
    }
    Some(load)
}

fn check_listener(
    listener: &Spanned<String>,
    raw: &RawScenario,
    topology: Option<&Topology>,
    file: &Table<'_>,
) {
    let known = names(raw.listeners.iter().map(|l| &l.name));
    if !known.contains(&listener.get_ref().as_str()) {
        return unknown("listener", listener.get_ref(), &known, listener.span(), file);
    }
    let found = topology.and_then(|t| Some((t, t.listener(listener.get_ref())?)));
    let service = found.and_then(|(t, found)| t.services.iter().find(|s| s.name == found.service));
    if let Some(service) = service
        && service.behaviour != Behaviour::EchoId
    {
        file.mistake(
            listener.span(),
            format!(
                "service `{}` behaves as `{}`, which a load can't check",
                service.name,
                service.behaviour.word()
            ),
            "call a service that behaves as `echo-id`",
        );
    }
}

/// The names that were written, also of things that are otherwise wrong: who refers to them is right.
fn names<'a>(written: impl Iterator<Item = &'a Written<String>>) -> Vec<&'a str> {
    written.filter_map(|name| name.as_ref().map(|n| n.get_ref().as_str())).collect()
}

/// The value that was written, or `otherwise`.
fn given<T: Copy>(written: &Written<T>, otherwise: T) -> T {
    written.as_ref().map_or(otherwise, |w| *w.get_ref())
}

/// A number or time in a message.
trait Shown: PartialOrd {
    fn shown(&self) -> String;
}

impl Shown for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// Notes a value that is outside its limits.
fn within<T: Shown>(written: &Written<T>, key: &str, limits: &RangeInclusive<T>, file: &Table<'_>) {
    if let Some(value) = written
        && !limits.contains(value.get_ref())
    {
        let (least, most) = (limits.start().shown(), limits.end().shown());
        let message = format!("`{key}` must be from {least} to {most}");
        file.mistake(value.span(), message, "take the nearest of the two");
    }
}

/// Notes a name that nothing has.
fn unknown(what: &str, name: &str, known: &[&str], span: std::ops::Range<usize>, file: &Table<'_>) {
    let help = match known.is_empty() {
        true => format!("declare it: the file has no {what}"),
        false => did_you_mean(name, known.iter().copied(), "declare it, or use one of"),
    };
    file.mistake(span, format!("{what} `{name}` is not declared"), help);
}

/// Names of one kind, each of which may be declared once.
struct Names<'a> {
    what: &'static str,
    declared: BTreeSet<String>,
    file: &'a Table<'a>,
}

impl<'a> Names<'a> {
    fn new(what: &'static str, file: &'a Table<'a>) -> Self {
        Self { what, declared: BTreeSet::new(), file }
    }

    fn declare<T: ToString>(&mut self, name: &Written<T>) {
        if let Some(name) = name
            && !self.declared.insert(name.get_ref().to_string())
        {
            let shown = name.get_ref().to_string();
            self.file.mistake(
                name.span(),
                format!("{} `{shown}` is declared twice", self.what),
                "rename one of them",
            );
        }
    }
}
