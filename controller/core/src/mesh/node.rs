//! What is known of one registered node.

use std::net::IpAddr;
use std::time::Duration;

use sinew_api::control::{LinkReport, Reject, Report};
use sinew_api::status::Rejected;
use sinew_transport_core::ids::Revision;
use sinew_transport_core::runs::Runs;

use super::rollout::Rollout;
use super::{FORGET_AFTER, MAX_NODES, SessionId};
use crate::registration::Registration;

/// The most characters kept of each text by which a node refuses a snapshot: a sentence for a person.
const MAX_REASON: usize = 500;

/// A node with its newest session, or a while after that was lost.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) presence: Presence,
    pub(super) registration: Registration,
    /// Version of its program.
    pub(super) version: String,
    /// The last revision that changed what this node must know.
    pub(super) concerned: Revision,
    /// What it was sent.
    pub(super) rollout: Rollout,
    /// The last revision that it is known to hold; 0 for none.
    pub(super) acknowledged: Revision,
    /// The last revision that it refused, unless it acknowledged a later one.
    pub(super) rejected: Option<Rejected>,
    /// The end of its certificate, seconds since 1970.
    pub(super) certificate_expiry: u64,
    /// Its issue, as of its last report.
    pub(super) certificate_issued: Option<u64>,
    /// Its links as it saw them last.
    pub(super) links: Vec<LinkReport>,
    /// The runs of its program.
    pub(super) runs: Runs,
    /// From where a superseded run came back while the current one was here.
    pub(super) copy_at: Option<IpAddr>,
    /// How far its clock is ahead of ours, as of its last report.
    pub(super) clock_skew_ms: Option<i64>,
}

/// Whether a node has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here(SessionId),
    LostAt(Duration),
}

impl Node {
    /// A node that has just registered and acknowledged nothing.
    pub(super) fn new(
        session: SessionId,
        registration: Registration,
        version: String,
        certificate_expiry: u64,
        runs: Runs,
    ) -> Self {
        Self {
            presence: Presence::Here(session),
            registration,
            version,
            concerned: Revision::default(),
            rollout: Rollout::default(),
            acknowledged: Revision::default(),
            rejected: None,
            certificate_expiry,
            certificate_issued: None,
            links: Vec::new(),
            runs,
            copy_at: None,
            clock_skew_ms: None,
        }
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        match self.presence {
            Presence::Here(session) => Some(session),
            Presence::LostAt(_) => None,
        }
    }

    pub(super) fn forget_at(&self) -> Option<Duration> {
        match self.presence {
            Presence::Here(_) => None,
            Presence::LostAt(since) => Some(since + FORGET_AFTER),
        }
    }

    pub(super) fn on_ack(&mut self, revision: Revision) {
        self.acknowledged = self.acknowledged.max(revision);
        if self.rejected.as_ref().is_some_and(|rejected| rejected.revision < self.acknowledged) {
            self.rejected = None;
        }
    }

    pub(super) fn on_reject(&mut self, reject: Reject) {
        let cut = |text: String| text.chars().take(MAX_REASON).collect();
        self.rejected =
            Some(Rejected { revision: reject.revision, name: cut(reject.name), reason: cut(reject.reason) });
    }

    /// A node has at most one link to each other node; what is more than that is dropped.
    pub(super) fn on_report(&mut self, clock_ms: u64, report: Report) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        self.clock_skew_ms = Some(signed(report.clock_ms).saturating_sub(signed(clock_ms)));
        self.certificate_expiry = report.certificate_expiry;
        self.certificate_issued = Some(report.certificate_issued);
        self.links = report.links;
        self.links.truncate(MAX_NODES);
    }
}
