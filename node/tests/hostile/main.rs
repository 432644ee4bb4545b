//! A peer and a controller with valid certificates and no manners, against a whole node over real sockets.
//!
//! Whatever they send: the answer says what DESIGN promises, it is counted and logged once, and the next good
//! stream on the same connection is served.
#![allow(clippy::disallowed_methods, reason = "stories in the real world")]

#[path = "../common/mod.rs"]
mod common;

mod deltas;
mod greetings;
mod panics;
mod preambles;
mod snapshots;
mod verdicts;

use std::collections::BTreeMap;

use sinew_transport_core::Code;
use sinew_transport_core::wire::{Head, SKIPPABLE};

use common::{Peer, Stage};

/// A frame of any kind, flags and payload.
fn frame(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    [Head { len, kind, flags }.to_bytes().as_slice(), payload].concat()
}

/// A frame that whoever does not know its kind skips.
fn skippable() -> Vec<u8> {
    frame(UNKNOWN, SKIPPABLE, b"from the future")
}

/// A kind that no version knows.
const UNKNOWN: u16 = 9999;

/// What must come of a stream.
struct Refused {
    code: Code,
    outcome: &'static str,
    /// What the access log says of the reason, among other things.
    reason: &'static str,
}

/// Sends `bytes` on a stream of `peer`: refused as expected, in both directions, counted and logged once;
/// then a good stream is served.
async fn refuses(stage: &Stage, peer: &Peer, bytes: &[u8], expected: &Refused) {
    let before = stage.metrics().await.refused_streams();
    let records = stage.records();
    let number = u64::from(expected.code.number());

    let stream = peer.say(bytes).await;

    assert_eq!(common::codes(stream).await, (number, number), "{}", expected.reason);
    let record = stage.record().await;
    assert_eq!(
        (&record["direction"], &record["caller"], &record["outcome"]),
        (&"inbound".into(), &"n1".into(), &expected.outcome.into()),
        "{record}"
    );
    assert!(record["reason"].as_str().is_some_and(|said| said.contains(expected.reason)), "{record}");
    assert_eq!(stage.records(), records + 1, "logged once");
    assert_eq!(stage.metrics().await.refused_streams(), with_one_more(before, expected.code), "counted once");
    is_served(stage, peer).await;
}

/// A good stream is served and logged.
async fn is_served(stage: &Stage, peer: &Peer) {
    peer.is_served().await;
    let record = stage.record().await;
    assert_eq!((&record["outcome"], &record["bytes_up"]), (&"ok".into(), &5.into()), "{record}");
}

fn with_one_more(mut counts: BTreeMap<&'static str, f64>, code: Code) -> BTreeMap<&'static str, f64> {
    *counts.entry(code.name()).or_default() += 1.0;
    counts
}
