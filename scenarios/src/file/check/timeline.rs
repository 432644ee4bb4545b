//! Events in their order, and what is expected of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use sinew_api::document::{Table, Written};
use sinew_transport_core::ids::{EndpointId, NodeName};
use toml::Spanned;

use super::topology::{check_node, check_service};
use super::{MAX_DURATION, Names, given, names, states, unknown, within};
use crate::file::tables::{RawAction, RawCheck, RawEvent, RawScenario};
use crate::scenario::{Action, Check, Connections, Event, Expectation, Load, Topology};

/// How much slower an endpoint may become: the largest declared latency and this stay below the default
/// timeout of a request.
const MAX_SLOWER: Duration = Duration::from_secs(5);
/// The most events: more than that is noise, which is another feature.
const MAX_EVENTS: usize = 1000;
/// Shares are parts of one.
const SHARES: RangeInclusive<f64> = 0.0..=1.0;
/// Multiples of the fastest endpoint's p99.
const TIMES: RangeInclusive<f64> = 1.0..=1000.0;

/// When the load ends, unless something about it is not known.
pub(super) fn end(raw: &RawScenario, topology: Option<&Topology>, loads: &[Load]) -> Option<Duration> {
    let end = |load: &Load| Some(begin(raw, topology?, load)?.saturating_add(load.duration));
    (loads.len() == raw.loads.len()).then(|| loads.iter().filter_map(end).max())?
}

/// When a load begins: at the earliest, where its node is started in an event.
fn begin(raw: &RawScenario, topology: &Topology, load: &Load) -> Option<Duration> {
    let entry = if topology.enters_at_once(load) { Duration::ZERO } else { started(raw, topology, load)? };
    Some(entry.saturating_add(load.start))
}

/// When the node at which a load enters is started.
fn started(raw: &RawScenario, topology: &Topology, load: &Load) -> Option<Duration> {
    let node = &topology.listener(&load.listener)?.node;
    let starts = |a: &RawAction| a.word == "start" && a.node.as_ref().is_some_and(|n| n.get_ref() == node);
    let event = raw.events.iter().find(|e| e.action.as_ref().is_some_and(starts))?;
    Some(*event.at.as_ref()?.get_ref())
}

/// The events that were written, by time, each with the place of its table.
pub(super) fn events(
    raw: &RawScenario,
    topology: Option<&Topology>,
    loads: &[Load],
    file: &Table<'_>,
) -> Vec<Spanned<Event>> {
    let end = end(raw, topology, loads);
    let mut declared = Names::new("event", file);
    let mut events = Vec::new();
    for written in raw.events.iter().take(MAX_EVENTS) {
        declared.declare(&written.name);
        if let Some(event) = topology.and_then(|t| event(written, t, file)) {
            if let Some(end) = end
                && event.get_ref().at >= end
            {
                let at = written.at.as_ref().map_or(event.span(), Spanned::span);
                file.mistake(
                    at,
                    format!("nothing is measured any more: the load ends after {end:?}"),
                    "let it happen earlier, or the load last longer",
                );
            }
            events.push(event);
        }
    }
    if let Some(more) = raw.events.get(MAX_EVENTS).and_then(|e| e.name.as_ref()) {
        file.mistake(more.span(), format!("more than {MAX_EVENTS} events"), "remove some");
    }
    events.sort_by_key(|e| e.get_ref().at);
    if let Some(topology) = topology {
        states::check(&events, topology, loads, file);
    }
    events
}

fn event(raw: &RawEvent, topology: &Topology, file: &Table<'_>) -> Option<Spanned<Event>> {
    let written = raw.action.as_ref()?;
    check_node(&written.node, &topology.nodes, file);
    let action = action(written, topology, file)?;
    let (name, at) = (raw.name.as_ref()?.get_ref().clone(), *raw.at.as_ref()?.get_ref());
    Some(Spanned::new(written.span.clone(), Event { name, at, action }))
}

fn action(raw: &RawAction, topology: &Topology, file: &Table<'_>) -> Option<Action> {
    if raw.controller {
        return Some(if raw.word == "kill" { Action::KillController } else { Action::ReturnController });
    }
    let node = raw.node.as_ref()?.get_ref().clone();
    Some(match raw.word {
        "slow" => {
            check_service(&raw.service, &topology.services, file);
            within(&raw.by, "by", &(Duration::ZERO..=MAX_SLOWER), file);
            Action::Slow { endpoint: endpoint(raw, &node, topology, file)?, by: *raw.by.as_ref()?.get_ref() }
        }
        "apply" => {
            check_service(&raw.service, &topology.services, file);
            Action::Apply {
                service: raw.service.as_ref()?.get_ref().clone(),
                endpoint: endpoint(raw, &node, topology, file)?,
            }
        }
        "start" => Action::Start { node },
        "kill" => Action::Kill { node },
        "return" => Action::Return { node },
        "pause" => Action::Pause { node },
        _ => Action::Continue { node },
    })
}

fn endpoint(raw: &RawAction, node: &NodeName, topology: &Topology, file: &Table<'_>) -> Option<EndpointId> {
    let service = raw.service.as_ref()?;
    let declared = topology.services.iter().find(|s| s.name == *service.get_ref())?;
    let found = declared.endpoints.iter().find(|e| e.id.node == *node);
    if found.is_none() {
        file.mistake(
            service.span(),
            format!("`{}` has no endpoint on `{node}`", service.get_ref()),
            "name a node that has one",
        );
    }
    found.map(|e| e.id.clone())
}

/// The expectations that were written.
pub(super) fn expectations(
    raw: &RawScenario,
    topology: Option<&Topology>,
    loads: &[Load],
    events: &[Spanned<Event>],
    file: &Table<'_>,
) -> Vec<Expectation> {
    let timeline = Timeline { raw, events, topology, loads, end: end(raw, topology, loads), file };
    let named = raw.expectations.iter().filter_map(|e| Some((e.name.get_ref().clone(), e.check.as_ref()?)));
    named.filter_map(|(name, raw)| Some(Expectation { name, check: check(raw, &timeline)? })).collect()
}

fn check(raw: &RawCheck, timeline: &Timeline<'_>) -> Option<Check> {
    let file = timeline.file;
    Some(match raw {
        RawCheck::Failed { at_most, except_in_flight_to_killed } => Check::Failed {
            at_most: given(at_most, 0),
            except_in_flight_to_killed: given(except_in_flight_to_killed, false),
        },
        RawCheck::WrongBytes { at_most } => Check::WrongBytes { at_most: given(at_most, 0) },
        RawCheck::SlowShare { event, at_least, within: after } => {
            within(at_least, "at_least", &SHARES, file);
            let is_slow = |a: &Action| matches!(a, Action::Slow { .. });
            let (event, after) = timeline.window(event, "slow", is_slow, after)?;
            Check::SlowShare { event, at_least: *at_least.as_ref()?.get_ref(), within: after }
        }
        RawCheck::DeadPicks { event, at_most, within: after } => {
            let is_kill = |a: &Action| matches!(a, Action::Kill { .. });
            let (event, after) = timeline.window(event, "kill", is_kill, after)?;
            Check::DeadPicks { event, at_most: given(at_most, 0), within: after }
        }
        RawCheck::ShareBack { event, at_least, within: after } => {
            within(at_least, "at_least", &SHARES, file);
            let is_return = |a: &Action| matches!(a, Action::Return { .. });
            let (event, after) = timeline.window(event, "return", is_return, after)?;
            Check::ShareBack { event, at_least: *at_least.as_ref()?.get_ref(), within: after }
        }
        RawCheck::ShareGained { event, at_least, within: after } => {
            within(at_least, "at_least", &SHARES, file);
            let is_apply = |a: &Action| matches!(a, Action::Apply { .. });
            let (event, after) = timeline.window(event, "apply", is_apply, after)?;
            Check::ShareGained { event, at_least: *at_least.as_ref()?.get_ref(), within: after }
        }
        RawCheck::FirstPicks { event, load, first, at_most } => {
            within(at_most, "at_most", &SHARES, file);
            let slow = timeline.event(event, "slow", |a| matches!(a, Action::Slow { .. }))?;
            let slow = timeline.events[slow].get_ref();
            Check::FirstPicks {
                event: slow.name.clone(),
                load: timeline.fresh_load(load, first, slow.at)?,
                first: usize::try_from(*first.as_ref()?.get_ref()).ok()?,
                at_most: *at_most.as_ref()?.get_ref(),
            }
        }
        RawCheck::Undisturbed { event, times_fastest } => {
            within(times_fastest, "times_fastest", &TIMES, file);
            let is_kill = |a: &Action| matches!(a, Action::KillController);
            timeline.event(event, "kill = { controller = true }", is_kill)?;
            Check::Undisturbed {
                event: event.as_ref()?.get_ref().clone(),
                times_fastest: *times_fastest.as_ref()?.get_ref(),
            }
        }
        RawCheck::P99 { times_fastest, outside } => {
            within(times_fastest, "times_fastest", &TIMES, file);
            within(outside, "outside", &(Duration::ZERO..=MAX_DURATION), file);
            Check::P99 { at_most: *times_fastest.as_ref()?.get_ref(), outside: *outside.as_ref()?.get_ref() }
        }
    })
}

/// What expectations are tied to.
struct Timeline<'a> {
    raw: &'a RawScenario,
    events: &'a [Spanned<Event>],
    topology: Option<&'a Topology>,
    loads: &'a [Load],
    end: Option<Duration>,
    file: &'a Table<'a>,
}

impl Timeline<'_> {
    /// The place of the event that an expectation speaks of.
    fn event(&self, event: &Written<String>, kind: &str, fits: impl Fn(&Action) -> bool) -> Option<usize> {
        let event = event.as_ref()?;
        let known = names(self.raw.events.iter().map(|e| &e.name));
        if !known.contains(&event.get_ref().as_str()) {
            unknown("event", event.get_ref(), &known, event.span(), self.file);
        }
        let at = self.events.iter().position(|e| e.get_ref().name == *event.get_ref())?;
        let found = self.events[at].get_ref();
        if !fits(&found.action) {
            self.file.mistake(
                event.span(),
                format!("event `{}` is not a `{kind}`", found.name),
                format!("name an event with `{kind}`"),
            );
            return None;
        }
        Some(at)
    }

    /// The position of a load that makes `first` connections of its own, all of them later than `slow`.
    fn fresh_load(&self, load: &Written<String>, first: &Written<u64>, slow: Duration) -> Option<usize> {
        let (name, first) = (load.as_ref()?, first.as_ref()?);
        let known = names(self.raw.loads.iter().map(|l| &l.name));
        if !known.contains(&name.get_ref().as_str()) {
            unknown("load", name.get_ref(), &known, name.span(), self.file);
        }
        let position = self.loads.iter().position(|l| l.name == *name.get_ref())?;
        let found = &self.loads[position];
        if found.connections != Connections::New || found.requests() < *first.get_ref() {
            self.file.mistake(
                first.span(),
                format!("load `{}` opens fewer than {} connections", found.name, first.get_ref()),
                "write connections = \"new\", and a higher `rate` or `duration`",
            );
        }
        if begin(self.raw, self.topology?, found).is_some_and(|begun| begun <= slow) {
            self.file.mistake(
                name.span(),
                format!("load `{}` begins before the endpoint is slow", found.name),
                "let it begin later",
            );
        }
        Some(position)
    }

    /// The name of the event that an expectation speaks of, and how long after it the judging begins:
    /// before the next event, or before the load ends.
    fn window(
        &self,
        event: &Written<String>,
        kind: &str,
        fits: impl Fn(&Action) -> bool,
        after: &Written<Duration>,
    ) -> Option<(String, Duration)> {
        let at = self.event(event, kind, fits)?;
        let found = self.events[at].get_ref();
        let after = after.as_ref()?;
        let until = self.events.get(at + 1).map(|next| next.get_ref().at).or(self.end);
        if let Some(until) = until
            && found.at.saturating_add(*after.get_ref()) >= until
        {
            self.file.mistake(
                after.span(),
                format!("no time is left to judge: {:?} after the event is past {until:?}", after.get_ref()),
                "judge earlier, or let what follows happen later",
            );
        }
        Some((found.name.clone(), *after.get_ref()))
    }
}
