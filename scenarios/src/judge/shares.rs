//! Who gets new connections.
//!
//! A share is counted over requests that opened a connection, by when they were sent, and goes by the
//! endpoint that answered or, without an answer, the one that the mesh picked.

use std::ops::Range;
use std::time::Duration;

use sinew_transport_core::ids::{EndpointId, NodeName, ServiceName};

use super::failed::killed;
use super::{Finding, MIN_SAMPLES, percent};
use crate::record::{Happened, Logged, Recording, Sample, endpoint_of};
use crate::scenario::Action;

/// The least share that an endpoint must have had for its loss or return to prove anything: of three
/// endpoints, a third of an even share.
pub const MIN_SHARE: f64 = 0.1;

/// How long before an event the share that an endpoint "had" is measured: long enough for
/// [`MIN_SAMPLES`] at a modest rate, short enough to be what the event interrupts.
pub const BEFORE: Duration = Duration::from_secs(5);

/// New connections in a window: all, and those that `wanted` endpoints got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    all: usize,
    wanted: usize,
}

impl Counted {
    #[expect(clippy::cast_precision_loss, reason = "a few million at most")]
    fn share(self) -> f64 {
        self.wanted as f64 / self.all.max(1) as f64
    }
}

fn count(run: &Recording, window: &Range<Duration>, wanted: impl Fn(&EndpointId) -> bool) -> Counted {
    let opened = run.with_logs().filter(|(s, _)| s.new_connection && window.contains(&s.sent));
    let mut counted = Counted { all: 0, wanted: 0 };
    for (sample, logged) in opened {
        counted.all += 1;
        counted.wanted += usize::from(endpoint_of(sample, logged).is_some_and(&wanted));
    }
    counted
}

/// When the phase ends that `event` begins.
fn next_event(run: &Recording, event: &Happened) -> Duration {
    run.events.iter().map(|e| e.at).filter(|at| *at > event.at).min().unwrap_or_else(|| last_due(run))
}

/// When the last request was due: later there is nothing to count.
fn last_due(run: &Recording) -> Duration {
    run.samples.iter().map(|s| s.due).max().map_or(run.ended, |due| due + Duration::from_micros(1))
}

pub(super) fn slow_share(run: &Recording, event: &str, at_least: f64, within: Duration) -> Finding {
    let expected = format!("at least {} of new connections elsewhere from {within:?} on", percent(at_least));
    let Some((slow, endpoint)) = run.event(event).and_then(|e| match &e.action {
        Action::Slow { endpoint, .. } => Some((e, endpoint)),
        _ => None,
    }) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let before = count(run, &(slow.at.saturating_sub(BEFORE)..slow.at), |e| e == endpoint);
    let after = count(run, &(slow.done + within..next_event(run, slow)), |e| e == endpoint);
    if let Some(why) = proves_nothing(before, after) {
        return Finding::unprovable(expected, why);
    }
    let elsewhere = 1.0 - after.share();
    let measured =
        format!("{} ({} of {} still went to {endpoint})", percent(elsewhere), after.wanted, after.all);
    Finding::new(elsewhere >= at_least, expected, measured)
        .note(format!("{endpoint} had {} before it became slow", percent(before.share())))
}

pub(super) fn dead_picks(run: &Recording, event: &str, at_most: u64, within: Duration) -> Finding {
    let expected =
        format!("at most {at_most} picks of the killed node later than {within:?} after its death");
    let Some((death, node)) = run.event(event).and_then(|e| Some((e, killed(e)?))) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let until = returned(run, node, death.at).map_or(run.ended, |e| e.at);
    let dead_us = run.wall_us(death.at + within)..run.wall_us(until);
    let picks: Vec<u64> = run
        .all_logged()
        .filter(|l| {
            let last = l.endpoint.as_ref().is_some_and(|e| e.node == *node) && dead_us.contains(&l.picked_us);
            // When an endpoint that was left had been picked is not told; surely not before the connection.
            last || (l.left(node) && dead_us.contains(&l.started_us))
        })
        .map(|l| l.picked_us.max(l.started_us))
        .collect();
    let opened = count(run, &(death.at + within..until), |_| true).all;
    let before = count(run, &(death.at.saturating_sub(BEFORE)..death.at), |e| e.node == *node);
    let after = Counted { all: opened, wanted: picks.len() };
    if let Some(why) = proves_nothing(before, after) {
        return Finding::unprovable(expected, why);
    }
    let last = picks.iter().max().map_or(String::new(), |us| {
        let after = us.saturating_sub(run.wall_us(death.at)) / 1000;
        format!(", the last {after} ms after its death")
    });
    let met = picks.len() as u64 <= at_most;
    Finding::new(met, expected, format!("{} of {opened} connections{last}", picks.len()))
}

pub(super) fn share_back(run: &Recording, event: &str, at_least: f64, within: Duration) -> Finding {
    let expected = format!("from {within:?} on, at least {at_least} x the share it had before it was killed");
    let Some((back, node)) = run.event(event).and_then(|e| match &e.action {
        Action::Return { node } => Some((e, node)),
        _ => None,
    }) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let deaths = run.events.iter().filter(|e| e.at < back.at && killed(e) == Some(node));
    let Some(death) = deaths.max_by_key(|e| e.at) else {
        return Finding::unprovable(expected, format!("{node} was not killed before"));
    };
    let before = count(run, &(death.at.saturating_sub(BEFORE)..death.at), |e| e.node == *node);
    let after = count(run, &(back.at + within..next_event(run, back)), |e| e.node == *node);
    if let Some(why) = proves_nothing(before, after) {
        return Finding::unprovable(expected, why);
    }
    let part = after.share() / before.share();
    let measured =
        format!("{part:.2} x: {} after, {} before", percent(after.share()), percent(before.share()));
    let finding = Finding::new(part >= at_least, expected, measured);
    match back.ready {
        Some(ready) => {
            finding.note(format!("{node} was ready {:.1} s after its start", (ready - back.at).as_secs_f64()))
        }
        None => finding,
    }
}

pub(super) fn share_gained(run: &Recording, event: &str, at_least: f64, within: Duration) -> Finding {
    let expected = format!("from {within:?} on, at least {at_least} x an even share");
    let Some((applied, service, endpoint)) = run.event(event).and_then(|e| match &e.action {
        Action::Apply { service, endpoint } => Some((e, service, endpoint)),
        _ => None,
    }) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let known = known_endpoints(run, service, applied.at);
    let after = count(run, &(applied.at + within..next_event(run, applied)), |e| e == endpoint);
    if known < 2 || after.all < MIN_SAMPLES {
        let why = format!("{} new connections among {known} endpoints", after.all);
        return Finding::unprovable(expected, why);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
    let part = after.share() * known as f64;
    let measured = format!("{part:.2} x: {} of new connections, {known} endpoints", percent(after.share()));
    let finding = Finding::new(part >= at_least, expected, measured);
    match applied.ready {
        Some(ready) => finding.note(format!(
            "every node had acknowledged {endpoint} {:.1} s after the apply began",
            (ready - applied.at).as_secs_f64()
        )),
        None => finding,
    }
}

/// How many endpoints of a service callers could know right after `at`.
fn known_endpoints(run: &Recording, service: &ServiceName, at: Duration) -> usize {
    let declared = |endpoint: &EndpointId| {
        let is = |e: &&Happened| matches!(&e.action, Action::Apply { endpoint: new, .. } if new == endpoint);
        run.events.iter().filter(|e| e.at <= at).any(|e| is(&e))
    };
    let of_service = run.topology.endpoints().filter(|(s, _)| s.name == *service).map(|(_, e)| e);
    of_service.filter(|e| e.configured || declared(&e.id)).count()
}

pub(super) fn first_picks(
    run: &Recording,
    event: &str,
    (load, first): (usize, usize),
    at_most: f64,
) -> Finding {
    let expected =
        format!("at most {} of the first {first} connections to the slow endpoint", percent(at_most));
    let Some((slow, endpoint)) = run.event(event).and_then(|e| match &e.action {
        Action::Slow { endpoint, .. } => Some((e, endpoint)),
        _ => None,
    }) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let mut own: Vec<_> = run.with_logs().filter(|(s, _)| s.load == load && s.sent > slow.done).collect();
    own.sort_by_key(|(s, _)| s.sent);
    own.truncate(first);
    let picked = |(_, (s, l)): &(usize, &(&Sample, Option<&Logged>))| endpoint_of(s, *l) == Some(endpoint);
    let places: Vec<_> = own.iter().enumerate().filter(picked).map(|(at, _)| (at + 1).to_string()).collect();
    let counted = Counted { all: own.len(), wanted: places.len() };
    let before = count(run, &(slow.at.saturating_sub(BEFORE)..slow.at), |e| e == endpoint);
    if counted.all < first {
        let why = format!("{} connections were made, fewer than {first}", counted.all);
        return Finding::unprovable(expected, why);
    }
    if before.share() < MIN_SHARE {
        let why = format!("{endpoint} had only {} before it became slow", percent(before.share()));
        return Finding::unprovable(expected, why);
    }
    let which = if places.is_empty() { String::new() } else { format!(": number {}", places.join(", ")) };
    let measured =
        format!("{} ({} of {first}{which}) went to {endpoint}", percent(counted.share()), counted.wanted);
    Finding::new(counted.share() <= at_most, expected, measured)
}

/// The first return of `node` after a moment.
fn returned<'a>(run: &'a Recording, node: &NodeName, after: Duration) -> Option<&'a Happened> {
    let returns = |e: &&Happened| matches!(&e.action, Action::Return { node: back } if back == node);
    run.events.iter().filter(returns).find(|e| e.at > after)
}

fn proves_nothing(before: Counted, after: Counted) -> Option<String> {
    if before.all < MIN_SAMPLES || after.all < MIN_SAMPLES {
        let fewer = before.all.min(after.all);
        return Some(format!("{fewer} new connections in a window, fewer than {MIN_SAMPLES}"));
    }
    (before.share() < MIN_SHARE).then(|| {
        format!(
            "it had only {} of new connections before, less than {}",
            percent(before.share()),
            percent(MIN_SHARE)
        )
    })
}
