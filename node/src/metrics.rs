//! What a node counts, in one struct; `docs/reference/metrics.md` is the reader's copy.
//!
//! Names follow Prometheus: base units, `_total` for counters. Labels are bounded: services and peers of the
//! snapshot, and the fixed words of outcomes and reasons. No client-chosen text is ever a label.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use sinew_node_core::hosting::Finding;
use sinew_node_core::{Direction, Outcome, Record, Refused};
use sinew_transport_core::Code;
use sinew_transport_core::refusals::names;

use crate::tasks::Runtimes;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Edge {
    direction: Word,
    source: String,
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    direction: Word,
    source: String,
    destination: String,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Renewed {
    result: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    found: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: Word,
}

/// One of a fixed set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// Everything that a node counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Connections that began, by direction and services; those without a readable preamble excluded.
    opened: Family<Edge, Counter>,
    /// Connections that ended, by outcome too. Opened minus closed are in progress.
    closed: Family<Ended, Counter>,
    /// Payload from the caller to the service, counted when a connection ends.
    bytes_up: Family<Edge, Counter>,
    /// Payload from the service to the caller, counted when a connection ends.
    bytes_down: Family<Edge, Counter>,
    /// From the last byte up to the first byte down, at the caller's node.
    turns: TurnHistogram,
    /// Application connections that ended before they began: accepted and not carried, by reason.
    refused_connections: Family<Reason, Counter>,
    /// Streams of peers that were answered with a code instead of `Accepted`.
    refused_streams: Family<CodeLabel, Counter>,
    /// Connections that this node ended for a reason of its own, by reason.
    cut: Family<Reason, Counter>,
    /// Connections that wait for a reader which does not read.
    stalled_connections: Gauge,
    /// What they hold at most.
    stalled_bytes: Gauge,
    /// Times that a connection was moved to another endpoint, by why the one before was left.
    moved: Family<Reason, Counter>,
    /// Lines that the access log could not take.
    pub(crate) access_log_dropped: Counter,
    /// Snapshots refused.
    pub(crate) snapshots_rejected: Counter,
    /// Attempts to open a listener that the operator declared, which failed.
    pub(crate) listeners_failed: Counter,
    /// Checks of this node's endpoints, by what they found.
    health_checks: Family<Found, Counter>,
    /// The revision in use.
    pub(crate) revision: Gauge,
    /// The end of this node's certificate, seconds since 1970.
    pub(crate) certificate_expiry: Gauge,
    /// Attempts to get another certificate, by result; those that were never sent because no controller was
    /// there excluded.
    renewals: Family<Renewed, Counter>,
    /// 1 while a control session is up.
    pub(crate) session: Gauge,
    /// 1 when the configuration was read well the last time.
    pub(crate) reload_successful: Gauge,
    /// When it was read well last, in seconds since 1970.
    pub(crate) reload_success_time: Gauge,
    /// Whose tasks are counted.
    pub(crate) runtimes: Runtimes,
    /// Tasks that have not ended, when last asked.
    tasks: Gauge,
}

#[derive(Debug)]
struct TurnHistogram(Histogram);

impl Default for TurnHistogram {
    fn default() -> Self {
        // 100 microseconds to 26 seconds.
        Self(Histogram::new(exponential_buckets(0.0001, 2.0, 18)))
    }
}

impl Metrics {
    pub(crate) fn opened(&self, record: &Record) {
        self.opened.get_or_create(&edge(record)).inc();
    }

    /// Counts a connection once, at its end.
    pub(crate) fn closed_after(&self, record: &Record, outcome: Outcome) {
        let edge = edge(record);
        self.bytes_up.get_or_create(&edge).inc_by(record.bytes_up);
        self.bytes_down.get_or_create(&edge).inc_by(record.bytes_down);
        let Edge { direction, source, destination } = edge;
        self.closed
            .get_or_create(&Ended { direction, source, destination, outcome: Word(outcome.name()) })
            .inc();
    }

    pub(crate) fn turn(&self, latency_us: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is approximate")]
        self.turns.0.observe(latency_us as f64 / 1e6);
    }

    pub(crate) fn refused_connection(&self, reason: Refused) {
        self.refused_connections.get_or_create(&Reason { reason: Word(reason.name()) }).inc();
    }

    pub(crate) fn refused_stream(&self, code: Code) {
        self.refused_streams.get_or_create(&CodeLabel { code: Word(code.name()) }).inc();
    }

    /// Counts a connection that this node ended for a reason of its own.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&Reason { reason: Word(reason) }).inc();
    }

    /// How many directions of connections are stalled, and what they hold at most.
    pub(crate) fn stalled(&self, connections: usize, bytes: u64) {
        self.stalled_connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        self.stalled_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn checked(&self, finding: Finding) {
        self.health_checks.get_or_create(&Found { found: Word(finding.name()) }).inc();
    }

    pub(crate) fn moved(&self, reason: &'static str) {
        self.moved.get_or_create(&Reason { reason: Word(reason) }).inc();
    }

    pub(crate) fn renewed(&self, result: &'static str) {
        self.renewals.get_or_create(&Renewed { result: Word(result) }).inc();
    }

    /// Brings up to date what is only known by asking.
    pub(crate) fn measure(&self) {
        self.tasks.set(i64::try_from(self.runtimes.alive()).unwrap_or(i64::MAX));
    }

    /// Every refusal of the table, at 0: who watches a counter sees its first step.
    fn begin_at_zero(&self) {
        for reason in names("sinew_connections_refused") {
            self.refused_connections.get_or_create(&Reason { reason: Word(reason) }).inc_by(0);
        }
        for reason in names("sinew_connections_cut") {
            self.cut.get_or_create(&Reason { reason: Word(reason) }).inc_by(0);
        }
        for code in names("sinew_streams_refused") {
            self.refused_streams.get_or_create(&CodeLabel { code: Word(code) }).inc_by(0);
        }
        for result in names("sinew_certificate_renewals") {
            self.renewals.get_or_create(&Renewed { result: Word(result) }).inc_by(0);
        }
    }

    /// All of it under its names.
    pub(crate) fn registry(self: &Arc<Self>) -> Registry {
        self.begin_at_zero();
        let mut registry = Registry::with_prefix("sinew");
        let r = &mut registry;
        r.register("tcp_connections_opened", "Connections that began", self.opened.clone());
        r.register("tcp_connections_closed", "Connections that ended", self.closed.clone());
        r.register_with_unit(
            "tcp_sent",
            "Payload from caller to service",
            Unit::Bytes,
            self.bytes_up.clone(),
        );
        r.register_with_unit(
            "tcp_received",
            "Payload from service to caller",
            Unit::Bytes,
            self.bytes_down.clone(),
        );
        r.register_with_unit(
            "turn_duration",
            "Last byte up to first byte down",
            Unit::Seconds,
            self.turns.0.clone(),
        );
        r.register(
            "connections_refused",
            "Application connections not carried",
            self.refused_connections.clone(),
        );
        r.register("streams_refused", "Streams of peers answered with a code", self.refused_streams.clone());
        r.register("connections_cut", "Connections that this node ended", self.cut.clone());
        let stalled = self.stalled_connections.clone();
        r.register("stalled_connections", "Connections whose readers do not read", stalled);
        r.register("stalled_bytes", "What stalled connections hold, at most", self.stalled_bytes.clone());
        r.register("connections_moved", "Moves to another endpoint", self.moved.clone());
        r.register(
            "access_log_dropped",
            "Lines the access log could not take",
            self.access_log_dropped.clone(),
        );
        r.register("snapshots_rejected", "Snapshots refused", self.snapshots_rejected.clone());
        r.register("listeners_failed", "Declared listeners not opened", self.listeners_failed.clone());
        r.register("health_checks", "Checks of endpoints", self.health_checks.clone());
        r.register("config_revision", "The revision in use", self.revision.clone());
        let expiry = self.certificate_expiry.clone();
        r.register("certificate_expiration_timestamp_seconds", "End of this node's certificate", expiry);
        let renewals = self.renewals.clone();
        r.register("certificate_renewals", "Attempts to get another certificate", renewals);
        let read = self.reload_successful.clone();
        r.register("config_last_reload_successful", "1 when the configuration was read well last", read);
        let at = self.reload_success_time.clone();
        r.register("config_last_reload_success_timestamp_seconds", "When it was read well last", at);
        r.register("tasks", "Tasks that have not ended", self.tasks.clone());
        r.register("control_session_up", "1 while a control session is up", self.session.clone());
        let build = Family::<Version, Gauge>::default();
        build.get_or_create(&Version { version: Word(env!("CARGO_PKG_VERSION")) }).set(1);
        r.register("build_info", "What is running", build);
        registry
    }
}

fn edge(record: &Record) -> Edge {
    let text = |name: &Option<sinew_transport_core::ServiceName>| {
        name.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let direction = match record.direction {
        Direction::Outbound => Word("outbound"),
        Direction::Inbound => Word("inbound"),
    };
    Edge { direction, source: text(&record.source), destination: text(&record.destination) }
}
