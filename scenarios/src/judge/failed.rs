//! Failed requests, one by one, and what excuses one.
//!
//! When a node is killed, what it had in hand is lost: nobody can know what it had already delivered, so
//! nobody may repeat it (DESIGN: retry on proof). Such a request is excused, and only such a one. It is
//! told by the mesh's own account of its connection: the endpoint picked last was on the killed node, and
//! it was handed over
//! - before the node died: *in flight at death*; or
//! - within [`UNNOTICEABLE`] after: *before the silence could be noticed*. Both are counted apart.
//!
//! A request that ended before the node died, that went to another node, or of whose connection there is
//! no account, has no excuse.

use std::time::Duration;

use sinew_transport_core::ids::NodeName;

use super::Finding;
use crate::record::{Happened, Logged, Recording, Sample, endpoint_of};
use crate::scenario::Action;

/// For how long after a node's death nothing tells its silence from ordinary latency: an acknowledgement
/// may take 25 ms (QUIC's `max_ack_delay`), and a busy machine a few times that. What is handed to the
/// node meanwhile is handed over in good faith; what comes later is a mistake of the mesh.
pub const UNNOTICEABLE: Duration = Duration::from_millis(100);

/// Why a failed request is not held against the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Excuse {
    /// The node had it in hand when it was killed.
    InFlightAtDeath,
    /// It was handed to the node when its silence was still indistinguishable from latency.
    BeforeNoticeable,
}

/// One failed request, with everything that decides about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure<'a> {
    /// The request.
    pub sample: &'a Sample,
    /// The mesh's account of its connection.
    pub logged: Option<&'a Logged>,
    /// What excuses it.
    pub excuse: Option<Excuse>,
}

/// Every failed request.
#[must_use]
pub fn failures(run: &Recording) -> Vec<Failure<'_>> {
    run.with_logs()
        .filter(|(sample, _)| sample.failed())
        .map(|(sample, logged)| Failure { sample, logged, excuse: excuse(run, sample, logged) })
        .collect()
}

fn excuse(run: &Recording, sample: &Sample, logged: Option<&Logged>) -> Option<Excuse> {
    let picked = logged?.endpoint.as_ref()?;
    let picked_us = logged?.picked_us;
    run.events.iter().filter(|e| killed(e) == Some(&picked.node)).find_map(|death| {
        let (death_us, sent_us) = (run.wall_us(death.at), run.wall_us(sample.sent));
        // A request on a kept connection is handed over when it is sent, long after the pick.
        let handed_us = picked_us.max(sent_us);
        let noticeable_us = run.wall_us(death.at + UNNOTICEABLE);
        if picked_us == 0 || sample.end < death.at || handed_us > noticeable_us {
            None
        } else if handed_us <= death_us {
            Some(Excuse::InFlightAtDeath)
        } else {
            Some(Excuse::BeforeNoticeable)
        }
    })
}

/// The node that an event kills.
pub(super) fn killed(event: &Happened) -> Option<&NodeName> {
    match &event.action {
        Action::Kill { node } => Some(node),
        _ => None,
    }
}

pub(super) fn requests(run: &Recording, at_most: u64, excused: bool) -> Finding {
    let failures = failures(run);
    let count = |excuse| failures.iter().filter(|f| f.excuse == excuse).count() as u64;
    let in_flight = count(Some(Excuse::InFlightAtDeath));
    let unnoticeable = count(Some(Excuse::BeforeNoticeable));
    let inexcusable = count(None);
    let held_against = if excused { inexcusable } else { failures.len() as u64 };

    let expected = format!(
        "at most {at_most} failed{}",
        if excused { " but for those in flight to a killed node" } else { "" }
    );
    let measured = format!(
        "{held_against} failed of {}; excused: {in_flight} in flight at death, {unnoticeable} handed over \
         before the silence could be noticed ({} ms)",
        run.samples.len(),
        UNNOTICEABLE.as_millis()
    );
    if run.samples.is_empty() {
        return Finding::unprovable(expected, "no request was made");
    }
    let mut finding = Finding::new(held_against <= at_most, expected, measured);
    for failure in failures.iter().filter(|f| f.excuse.is_none() || !excused).take(MAX_NOTES) {
        finding = finding.note(describe(run, failure));
    }
    finding
}

/// The most failures that are described one by one in a verdict; all of them are in the report's JSON.
const MAX_NOTES: usize = 5;

/// One failure in words, its times against the load's beginning.
fn describe(run: &Recording, failure: &Failure<'_>) -> String {
    let Failure { sample, logged, .. } = failure;
    let endpoint = endpoint_of(sample, *logged).map_or("no endpoint".to_owned(), ToString::to_string);
    let seen = match logged {
        None => "the mesh has no account of it".to_owned(),
        Some(l) => {
            let picked = Duration::from_micros(l.picked_us.saturating_sub(run.began_us));
            format!("picked at {:.3} s, {}", picked.as_secs_f64(), l.outcome)
        }
    };
    format!(
        "request {} due at {:.3} s to {endpoint}: {} after {:.3} s ({seen})",
        sample.id,
        sample.due.as_secs_f64(),
        sample.outcome,
        sample.latency().as_secs_f64()
    )
}

pub(super) fn wrong_bytes(run: &Recording, at_most: u64) -> Finding {
    let wrong: u64 = run.samples.iter().map(|s| s.wrong_bytes).sum();
    let checked = run.samples.iter().filter(|s| s.answered_by.is_some()).count();
    let expected = format!("at most {at_most} wrong bytes");
    if checked == 0 {
        return Finding::unprovable(expected, "no request was answered");
    }
    Finding::new(wrong <= at_most, expected, format!("{wrong} in {checked} answers"))
}
