//! What links add to a turn: the round trip, and what loss costs on top.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sinew_api::control::LinkReport;
use sinew_transport_core::ids::NodeName;

use super::damped::{Damped, log_of, us_of};

/// A lost packet is noticed after about two round trips and the longest delay of an acknowledgement (RFC 9002
/// section 6.2.1; 25 ms).
const LOSS_DELAY_US: f64 = 25_000.0;

/// A turn is at least one packet each way.
const PACKETS_PER_TURN: f64 = 2.0;

/// How far apart reports are: a node sends one a second.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The most links of one node that are kept: as many as there are nodes.
const LINKS_MAX: usize = crate::mesh::MAX_NODES;

/// Every link that some node measured, by the node that did.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_source: BTreeMap<NodeName, BTreeMap<NodeName, Damped>>,
    /// Who measured a link to each node.
    sources: BTreeMap<NodeName, BTreeSet<NodeName>>,
}

impl Links {
    /// Takes what a node says of its links.
    pub(super) fn on_report(&mut self, source: &NodeName, reports: &[LinkReport]) {
        let links = self.by_source.entry(source.clone()).or_default();
        for report in reports.iter().take(LINKS_MAX) {
            let Some(cost_us) = cost_us(report) else { continue };
            let full = links.len() == LINKS_MAX;
            match links.get_mut(&report.node) {
                Some(link) => link.on_sample(REPORT_EVERY, log_of(cost_us)),
                None if full => {}
                None => {
                    links.insert(report.node.clone(), Damped::new(log_of(cost_us)));
                    self.sources.entry(report.node.clone()).or_default().insert(source.clone());
                }
            }
        }
    }

    /// What the link between two nodes adds to a turn, in microseconds, as either end measured it.
    pub(super) fn cost_us(&self, from: &NodeName, to: &NodeName) -> Option<f64> {
        if from == to {
            return Some(0.0);
        }
        let known = |a, b| self.by_source.get(a).and_then(|links| links.get(b));
        known(from, to).or_else(|| known(to, from)).map(|link| us_of(link.log()))
    }

    /// What the links of all who measured one add on their way to a node, in microseconds.
    pub(super) fn to(&self, host: &NodeName) -> impl Iterator<Item = (&NodeName, f64)> {
        let sources = self.sources.get(host).into_iter().flatten();
        sources.filter_map(|source| {
            let link = self.by_source.get(source)?.get(host)?;
            Some((source, us_of(link.log())))
        })
    }

    /// Forgets a node that is gone.
    pub(super) fn forget(&mut self, node: &NodeName) {
        for to in self.by_source.remove(node).into_iter().flatten().map(|(to, _)| to) {
            if let Some(sources) = self.sources.get_mut(&to) {
                sources.remove(node);
                if sources.is_empty() {
                    self.sources.remove(&to);
                }
            }
        }
        for source in self.sources.remove(node).into_iter().flatten() {
            if let Some(links) = self.by_source.get_mut(&source) {
                links.remove(node);
            }
        }
    }
}

/// What a link adds to a turn as it is now, in microseconds; none when its round trip is not known.
pub(super) fn cost_us(report: &LinkReport) -> Option<f64> {
    if report.rtt_us == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a round trip")]
    let rtt_us = report.rtt_us as f64;
    let loss = f64::from(report.loss_ppm.min(1_000_000)) / 1e6;
    Some(rtt_us + PACKETS_PER_TURN * loss * (2.0 * rtt_us + LOSS_DELAY_US))
}
