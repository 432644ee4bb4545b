//! What a node tells its controller: how the endpoints in use do, and what its links lose.
//!
//! A report says of every endpoint in use what happened since the last one. An endpoint that is not in it has
//! no connection in progress.

use std::collections::BTreeMap;

use sinew_api::control::EndpointReport;
use sinew_transport_core::{NodeName, ServiceName};

use crate::view::{EndpointRecord, View};

/// Endpoints of one report, of about 100 bytes each: half of a control frame. A node that uses more reports them
/// in turns.
const ENDPOINTS_MAX: usize = 5000;

/// Packets by which a link's loss is judged: among fewer, one lost packet says nothing.
const PACKETS_MIN: u64 = 100;

/// Makes the reports of one session.
#[derive(Debug, Default)]
pub struct Reporter {
    /// Where the last report stopped, when it was full.
    next: usize,
    losses: BTreeMap<NodeName, Loss>,
}

/// What one link lost.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    sent: u64,
    lost: u64,
    ppm: u32,
}

impl Reporter {
    /// Begins with what happens from now on: nobody knows over what time the rest was counted.
    #[must_use]
    pub fn begin(view: &View) -> Self {
        for (_, service) in view.services() {
            for endpoint in &service.endpoints {
                let _ = endpoint.tally.take();
            }
        }
        Self::default()
    }

    /// Every endpoint in use, with what happened there since the last report.
    pub fn endpoints(&mut self, view: &View) -> Vec<EndpointReport> {
        let all =
            || view.services().flat_map(|(name, service)| service.endpoints.iter().map(move |e| (name, e)));
        let count = all().count();
        let start = self.next.min(count);
        let (mut reports, mut looked) = (Vec::new(), 0);
        for (service, endpoint) in all().skip(start).chain(all().take(start)) {
            if reports.len() == ENDPOINTS_MAX {
                break;
            }
            reports.extend(report_of(service, endpoint));
            looked += 1;
        }
        self.next = if looked == count { 0 } else { (start + looked) % count };
        reports
    }

    /// Packets lost of a million to a peer, given all that were `sent` and `lost` on its connections of now:
    /// over the time since the last report, or as much longer as it takes for [`PACKETS_MIN`].
    pub fn loss_ppm(&mut self, peer: &NodeName, sent: u64, lost: u64) -> u32 {
        let loss = self.losses.entry(peer.clone()).or_default();
        if sent < loss.sent || lost < loss.lost {
            // A connection went, and its packets with it.
            *loss = Loss { sent, lost, ppm: loss.ppm };
        }
        let (new, of_them) = (sent - loss.sent, lost - loss.lost);
        if new >= PACKETS_MIN {
            let ppm = of_them.saturating_mul(1_000_000) / new;
            *loss = Loss { sent, lost, ppm: u32::try_from(ppm.min(1_000_000)).unwrap_or(0) };
        }
        loss.ppm
    }

    /// Forgets the links to peers that are not among `peers`.
    pub fn keep(&mut self, peers: impl Fn(&NodeName) -> bool) {
        self.losses.retain(|peer, _| peers(peer));
    }
}

/// What there is to tell of an endpoint.
fn report_of(service: &ServiceName, endpoint: &EndpointRecord) -> Option<EndpointReport> {
    let tallied = endpoint.tally.take();
    let in_flight = endpoint.load.in_flight();
    if in_flight == 0 && tallied == crate::tally::Tallied::default() {
        return None;
    }
    Some(EndpointReport {
        service: service.clone(),
        endpoint: endpoint.id.clone(),
        latency_us: tallied.latency_us,
        turns: tallied.turns,
        in_flight,
        successes: tallied.successes,
        errors: tallied.errors,
    })
}

#[cfg(test)]
mod tests {
    use sinew_api::Snapshot;
    use sinew_api::snapshot::{Endpoint, Labels, Service, WEIGHT_MAX};

    use super::*;

    fn me() -> NodeName {
        NodeName::new("self").expect("valid")
    }

    fn view(count: u16) -> View {
        let endpoint = |slot| Endpoint { node: me(), slot, labels: Labels::new(), weight: WEIGHT_MAX };
        let name = ServiceName::new("orders").expect("valid");
        let services = vec![Service { name, endpoints: (0..count).map(endpoint).collect() }];
        View::compile(&me(), Snapshot { services, ..Snapshot::default() }, None).expect("valid")
    }

    fn records(view: &View) -> Vec<&EndpointRecord> {
        view.services().flat_map(|(_, service)| &service.endpoints).map(AsRef::as_ref).collect()
    }

    #[test]
    fn what_happened_before_the_session_is_not_told_and_what_happens_is_told_once() {
        let view = view(3);
        let records = records(&view);
        records[0].tally.on_turn(1, 5000);
        let mut reporter = Reporter::begin(&view);
        records[1].tally.on_turn(1, 700);
        records[1].tally.on_end(false);
        records[2].load.on_open();

        let first = reporter.endpoints(&view);
        let second = reporter.endpoints(&view);

        let told: Vec<_> = first.iter().map(|e| (e.endpoint.slot, e.turns, e.latency_us, e.errors)).collect();
        assert_eq!(told, [(1, 1, 700, 1), (2, 0, 0, 0)]);
        let still: Vec<_> = second.iter().map(|e| (e.endpoint.slot, e.in_flight)).collect();
        assert_eq!(still, [(2, 1)], "in use as long as a connection is in progress");
    }

    #[test]
    fn more_endpoints_than_fit_are_reported_in_turns() {
        let view = view(8000);
        let mut reporter = Reporter::begin(&view);
        records(&view).iter().for_each(|record| record.load.on_open());

        let slots = |reports: Vec<EndpointReport>| (reports[0].endpoint.slot, reports.len());
        let told: Vec<_> = (0..3).map(|_| slots(reporter.endpoints(&view))).collect();

        assert_eq!(told, [(0, 5000), (5000, 5000), (2000, 5000)]);
    }

    #[test]
    fn loss_is_judged_by_a_hundred_packets_and_survives_a_lost_connection() {
        let (mut reporter, peer) = (Reporter::default(), me());

        let told = [(50, 1), (200, 2), (250, 20), (10, 0), (1010, 0)]
            .map(|(sent, lost)| reporter.loss_ppm(&peer, sent, lost));

        assert_eq!(told, [0, 10_000, 10_000, 10_000, 0]);
    }
}
