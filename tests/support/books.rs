//! Whether all that a mesh says about its traffic agrees: access logs, metrics, and pages of both ends.

use std::collections::BTreeMap;

use serde_json::Value;

use super::mesh::Mesh;
use super::node::Node;
use super::records::{Metrics, Record};
use super::{http_get, until};

/// Connections and payload, as one place tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    /// Connections.
    pub connections: f64,
    /// Payload to services.
    pub up: f64,
    /// Payload from services.
    pub down: f64,
}

/// By direction, source and destination.
type Edges = BTreeMap<[String; 3], Sum>;

impl Mesh {
    /// Waits until nothing is in progress and, at every node that runs, the access log and the metrics tell the same
    /// connections, outcomes and bytes. Nodes that were started again are left out: metrics begin anew, logs go on.
    pub async fn books_agree(&self) {
        for node in self.running().filter(|node| node.starts == 1) {
            let agree = until("the books to agree", || async {
                let metrics = self.metrics(&node.plan.name).await;
                let records = self.records(&node.plan.name);
                agree(&records, &metrics)?;
                nothing_in_progress(node).await
            });
            agree.await.unwrap_or_else(|why| node.fail(&why));
        }
    }

    /// Connections with this outcome at a node, and their payload, by its access log.
    pub fn booked(&self, node: &str, direction: &str, outcome: &str) -> Sum {
        let records = self.records(node);
        let wanted = records.iter().filter(|r| r.direction == direction && r.outcome == outcome);
        wanted.fold(Sum::default(), |sum, record| sum.plus(record))
    }
}

impl Sum {
    #[expect(clippy::cast_precision_loss, reason = "no story moves so many bytes")]
    fn plus(self, record: &Record) -> Self {
        Self {
            connections: self.connections + 1.0,
            up: self.up + record.bytes_up as f64,
            down: self.down + record.bytes_down as f64,
        }
    }
}

fn agree(records: &[Record], metrics: &Metrics) -> Result<(), String> {
    let mut edges = Edges::new();
    let mut outcomes: BTreeMap<([String; 3], String), f64> = BTreeMap::new();
    // A stream without a readable preamble is of no edge; it is among the refused streams.
    for record in
        records.iter().filter(|record| record.outcome != "bad_preamble" && !record.source.is_empty())
    {
        let edge = [&record.direction, &record.source, &record.destination].map(String::clone);
        *outcomes.entry((edge.clone(), record.outcome.clone())).or_default() += 1.0;
        let sum = edges.entry(edge).or_default();
        *sum = sum.plus(record);
    }
    let labels = |edge: &[String; 3]| {
        let [direction, source, destination] = edge.clone();
        [("direction", direction), ("source", source), ("destination", destination)]
    };
    let told = |name: &str, edge: &[String; 3]| {
        let labels = labels(edge);
        metrics.count(name, &labels.each_ref().map(|(label, value)| (*label, value.as_str())))
    };
    for (edge, sum) in &edges {
        let counted = Sum {
            connections: told("sinew_tcp_connections_opened_total", edge),
            up: told("sinew_tcp_sent_bytes_total", edge),
            down: told("sinew_tcp_received_bytes_total", edge),
        };
        if counted != *sum {
            return Err(format!("{edge:?}: the access log has {sum:?}, the metrics {counted:?}"));
        }
    }
    for ((edge, outcome), logged) in &outcomes {
        let mut wanted = labels(edge).to_vec();
        wanted.push(("outcome", outcome.clone()));
        let wanted: Vec<_> = wanted.iter().map(|(label, value)| (*label, value.as_str())).collect();
        let counted = metrics.count("sinew_tcp_connections_closed_total", &wanted);
        if counted != *logged {
            return Err(format!("{edge:?} {outcome}: the access log has {logged}, the metrics {counted}"));
        }
    }
    let all = |name: &str| metrics.count(name, &[]);
    let logged: f64 = edges.values().map(|sum| sum.connections).sum();
    let (opened, closed) =
        (all("sinew_tcp_connections_opened_total"), all("sinew_tcp_connections_closed_total"));
    if (opened, closed) != (logged, logged) {
        return Err(format!(
            "{logged} in the access log, {opened} opened and {closed} closed in the metrics"
        ));
    }
    match all("sinew_access_log_dropped_total") {
        0.0 => Ok(()),
        dropped => Err(format!("{dropped} lines of the access log were dropped")),
    }
}

/// What the node's own page says of its endpoints.
async fn nothing_in_progress(node: &Node) -> Result<(), String> {
    let token = std::fs::read_to_string(node.dir.join("state/admin.token")).map_err(|e| e.to_string())?;
    let admin = node.ports().admin.ok_or("its admin pages are off")?;
    let (_, text) = http_get(admin, "/v1/endpoints", Some(token.trim())).await?;
    let page: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let endpoints = page["endpoints"].as_array().ok_or_else(|| format!("no endpoints in {text}"))?;
    let busy = endpoints.iter().filter(|endpoint| endpoint["connections"] != 0);
    match busy.count() {
        0 => Ok(()),
        busy => Err(format!("{busy} endpoints still have connections: {text}")),
    }
}
