//! What the controller counts. One struct, one place where it becomes text.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sinew_transport_core::refusals::names;

/// Everything that is counted. A counter says how often, the log says who and why.
#[derive(Debug, Default, Clone)]
pub(crate) struct Metrics {
    /// Control sessions in progress, those included that have not registered yet.
    pub(crate) sessions: Gauge,
    /// Nodes that are registered, those included whose session was lost up to 30 s ago.
    pub(crate) nodes: Gauge,
    /// The state of the mesh.
    pub(crate) revision: Gauge,
    /// Tokens that can be used now.
    pub(crate) tokens_outstanding: Gauge,
    /// Tokens made.
    pub(crate) tokens_created: Counter,
    /// Attempts to join that got as far as a QUIC connection, by what became of them: see
    /// [`crate::join::JoinEnd`].
    pub(crate) joins: Family<ByOutcome, Counter>,
    /// Control sessions that ended, by why: see [`crate::control::Ending`].
    pub(crate) session_ends: Family<ByReason, Counter>,
    /// Connections that were refused before they became a session or a join: certificates, protocols,
    /// overload.
    pub(crate) refused: Family<ByReason, Counter>,
    /// Handshakes that had to prove their address first.
    pub(crate) handshakes_retried: Counter,
    /// Calls of the API that were refused, by why: host, origin, credential.
    pub(crate) api_refused: Family<ByReason, Counter>,
    /// Snapshots sent, by how: `whole`, or `delta`, the difference. One that a node did not read in time is not
    /// counted.
    pub(crate) pushes: Family<ByKind, Counter>,
    /// Bytes of those.
    pub(crate) pushed_bytes: Family<ByKind, Counter>,
    /// Snapshots that were too large to send; the node keeps the one before.
    pub(crate) pushes_too_large: Counter,
    /// Snapshots that nodes acknowledged.
    pub(crate) acks: Counter,
    /// Snapshots that nodes refused.
    pub(crate) rejects: Counter,
    /// Frames of control sessions that were skipped because their kind is not known here.
    pub(crate) frames_skipped: Counter,
    /// Weights that moved far enough for their caller to be told.
    pub(crate) weights_moved: Counter,
    /// Requests of nodes for another certificate, by what became of them: see [`crate::renew`].
    pub(crate) renewals: Family<ByOutcome, Counter>,
    /// 1 when the configuration was read well the last time.
    pub(crate) reload_successful: Gauge,
    /// When it was read well last, in seconds since 1970.
    pub(crate) reload_success_time: Gauge,
    /// Tasks that have not ended, when last asked.
    pub(crate) tasks: Gauge,
    /// Certificates issued to nodes, renewals included.
    pub(crate) certificates_issued: Counter,
}

/// A label that says what became of something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOutcome {
    outcome: &'static str,
}

/// A label that says why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    reason: String,
}

/// A label that says how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByKind {
    kind: &'static str,
}

impl Metrics {
    /// The configuration was read well.
    pub(crate) fn read_well(&self, now: Duration) {
        self.reload_successful.set(1);
        self.reload_success_time.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts a push that was sent.
    pub(crate) fn pushed(&self, kind: &'static str, bytes: usize) {
        self.pushes.get_or_create(&ByKind { kind }).inc();
        self.pushed_bytes.get_or_create(&ByKind { kind }).inc_by(bytes as u64);
    }

    /// Counts what became of something.
    pub(crate) fn count_outcome(family: &Family<ByOutcome, Counter>, outcome: &'static str) {
        family.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// Counts why something ended or was refused. Reasons are few and fixed.
    pub(crate) fn count_reason(family: &Family<ByReason, Counter>, reason: &str) {
        family.get_or_create(&ByReason { reason: reason.to_owned() }).inc();
    }

    /// Takes over a counter that is kept elsewhere.
    pub(crate) fn set_reason(family: &Family<ByReason, Counter>, reason: String, count: u64) {
        family.get_or_create(&ByReason { reason }).inner().store(count, std::sync::atomic::Ordering::Relaxed);
    }

    /// Every refusal of the table, at 0 if there was none: who watches a counter sees its first step.
    fn begin_at_zero(&self) {
        for (metric, family) in
            [("sinew_controller_joins", &self.joins), ("sinew_controller_renewals", &self.renewals)]
        {
            for outcome in names(metric) {
                family.get_or_create(&ByOutcome { outcome }).inc_by(0);
            }
        }
        for (metric, family) in [
            ("sinew_controller_session_ends", &self.session_ends),
            ("sinew_controller_api_refused", &self.api_refused),
        ] {
            for reason in names(metric) {
                family.get_or_create(&ByReason { reason: reason.to_owned() }).inc_by(0);
            }
        }
    }

    /// All of it as OpenMetrics text.
    pub(crate) fn to_text(&self) -> Result<String, fmt::Error> {
        self.begin_at_zero();
        let mut registry = Registry::with_prefix("sinew");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        let read = self.reload_successful.clone();
        registry.register(
            "config_last_reload_successful",
            "1 when the configuration was read well last",
            read,
        );
        let at = self.reload_success_time.clone();
        let help = "When the configuration was read well last";
        registry.register("config_last_reload_success_timestamp_seconds", help, at);
        registry.register("tasks", "Tasks that have not ended", self.tasks.clone());
        let this = registry.sub_registry_with_prefix("controller");
        this.register("sessions", "Control sessions in progress", self.sessions.clone());
        this.register("nodes", "Registered nodes", self.nodes.clone());
        this.register("revision", "State of the mesh", self.revision.clone());
        this.register("tokens_outstanding", "Tokens that can be used", self.tokens_outstanding.clone());
        this.register("tokens_created", "Tokens made", self.tokens_created.clone());
        this.register("joins", "Attempts to join by outcome", self.joins.clone());
        this.register("session_ends", "Control sessions that ended, by reason", self.session_ends.clone());
        this.register("refused", "Connections refused, by reason", self.refused.clone());
        let retried = self.handshakes_retried.clone();
        this.register("handshakes_retried", "Handshakes that had to prove their address first", retried);
        this.register("api_refused", "Calls of the API refused, by reason", self.api_refused.clone());
        this.register("pushes", "Snapshots sent, whole or as a difference", self.pushes.clone());
        this.register("pushed_bytes", "Bytes of snapshots sent", self.pushed_bytes.clone());
        this.register("pushes_too_large", "Snapshots too large to send", self.pushes_too_large.clone());
        this.register("acks", "Snapshots acknowledged", self.acks.clone());
        this.register("weights_moved", "Weights told anew", self.weights_moved.clone());
        this.register("rejects", "Snapshots refused by nodes", self.rejects.clone());
        this.register("frames_skipped", "Frames of unknown kind", self.frames_skipped.clone());
        this.register("renewals", "Requests for another certificate, by outcome", self.renewals.clone());
        this.register(
            "certificates_issued",
            "Certificates issued to nodes",
            self.certificates_issued.clone(),
        );
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
