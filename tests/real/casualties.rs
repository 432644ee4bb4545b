//! After a kill: which failures were there, and were they all of requests that the killed endpoint had.
//!
//! The caller's access log has one record for each connection of the application. Those that were at the
//! killed endpoint when it died may fail: it is unknown what it did with them. No other may.

use std::fmt;
use std::time::Duration;

use crate::support::{Mesh, Record};

/// How long before its end an application may be closing its connections.
const LEAVING_US: u64 = 1_000_000;

/// One kill, as the caller's node saw it.
#[derive(Debug)]
pub(crate) struct Casualties {
    /// Connections that were at the killed endpoint when it died, or came to it before that was noticed.
    pub(crate) exposed: usize,
    /// Those of them that the mesh ended as failed.
    pub(crate) failed: usize,
    /// Connections that began after the kill and ended well.
    pub(crate) carried_on: usize,
    /// The longest time from the kill to a pick of the killed endpoint.
    pub(crate) last_pick: Duration,
}

impl Casualties {
    /// Reads the access log of `caller` once every connection is in it, and checks each record: `node` was
    /// killed at `killed_us`, and the application ended just now, at `ended_us`. From `noticed` after
    /// the kill on, no connection may be picked for it.
    pub(crate) async fn of(
        mesh: &Mesh,
        node: &str,
        killed_us: u64,
        noticed: Duration,
        ended_us: u64,
    ) -> Self {
        let records = complete(mesh).await;
        let noticed_us = u64::try_from(noticed.as_micros()).expect("seconds");
        let exposed: Vec<_> =
            records.iter().filter(|r| r.node() == node && r.ended_us() >= killed_us).collect();

        for record in &exposed {
            let late = record.picked_us.saturating_sub(killed_us);
            assert!(late <= noticed_us, "picked for the killed endpoint {late} us after its end: {record:?}");
        }
        for record in records.iter().filter(|r| failed(r, ended_us)) {
            let here = record.node() == node && record.ended_us() >= killed_us;
            assert!(here, "failed, and was not at the killed endpoint: {record:?}");
        }
        let last_pick = exposed.iter().map(|r| r.picked_us.saturating_sub(killed_us)).max();
        Self {
            exposed: exposed.len(),
            failed: exposed.iter().filter(|r| failed(r, ended_us)).count(),
            carried_on: records.iter().filter(|r| r.started_us >= killed_us && r.outcome == "ok").count(),
            last_pick: Duration::from_micros(last_pick.unwrap_or(0)),
        }
    }
}

impl fmt::Display for Casualties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exposed, failed, carried_on, last_pick } = self;
        write!(
            f,
            "{exposed} connections were at the killed endpoint, of which {failed} failed; 0 failed elsewhere; \
             {carried_on} connections since; last picked for it {last_pick:?} after its end"
        )
    }
}

/// Whether a connection ended otherwise than its application wanted. An application that ends resets what it
/// still has open.
fn failed(record: &Record, ended_us: u64) -> bool {
    let left = record.outcome == "reset_by_application" && record.ended_us() + LEAVING_US >= ended_us;
    record.outcome != "ok" && !left
}

/// The caller's access log with every connection in it. The application has ended.
async fn complete(mesh: &Mesh) -> Vec<Record> {
    let outbound = [("direction", "outbound")];
    let opened = "sinew_tcp_connections_opened_total";
    let closed = "sinew_tcp_connections_closed_total";
    let metrics =
        mesh.metrics_when("caller", |m| m.count(opened, &outbound) == m.count(closed, &outbound)).await;
    assert_eq!(metrics.count("sinew_access_log_dropped_total", &[]), 0.0, "the access log is whole");
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 records")]
    mesh.records_when("caller", |records| records.len() as f64 >= metrics.count(closed, &outbound)).await
}
