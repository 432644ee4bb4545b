//! Seeing a mesh: what it says about itself, and waiting until it says enough.

use std::fs;

use sinew_api::status::Status;

use super::mesh::Mesh;
use super::node::Node;
use super::records::{Metrics, Record, read_records};
use super::{http_get, until};

impl Mesh {
    /// Waits until the controller has a session with every node that runs, all of them use the newest
    /// revision, and every caller has a link to each node that serves what it calls.
    pub async fn settled(&mut self) {
        let settled = until("the mesh to settle", || async {
            let status = self.try_status().await?;
            for node in self.running() {
                known(&status, node)?;
            }
            for caller in self.running() {
                self.linked(caller).await?;
            }
            Ok(())
        });
        let settled = settled.await;
        let dead = self.nodes.values_mut().filter_map(|node| node.process.as_mut());
        let dead: Vec<_> = dead.filter_map(|process| process.check_running().err()).collect();
        if let Err(why) = settled {
            let ended: String = dead.iter().map(|error| format!("\n{error}")).collect();
            panic!("{why}{ended}\n--- the end of the controller's log:\n{}", self.controller_log());
        }
    }

    /// What a node's access log holds now.
    pub fn records(&self, node: &str) -> Vec<Record> {
        read_records(&self.node_dir(node).join("access.log"))
    }

    /// A node's access log, once `enough` says so: a line follows its connection's end by a moment.
    pub async fn records_when(&self, node: &str, enough: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let found = until("records in the access log", || async {
            let records = self.records(node);
            if enough(&records) { Ok(records) } else { Err(format!("{} records", records.len())) }
        });
        found.await.unwrap_or_else(|why| self.node(node).fail(&why))
    }

    /// What a node counts.
    pub async fn metrics(&self, node: &str) -> Metrics {
        self.try_metrics(self.node(node)).await.unwrap_or_else(|why| self.node(node).fail(&why))
    }

    /// A node's metrics, once `enough` says so.
    pub async fn metrics_when(&self, node: &str, enough: impl Fn(&Metrics) -> bool) -> Metrics {
        let found = until("metrics", || async {
            let metrics = self.try_metrics(self.node(node)).await?;
            if enough(&metrics) { Ok(metrics) } else { Err(metrics.text().to_owned()) }
        });
        found.await.unwrap_or_else(|why| self.node(node).fail(&why))
    }

    /// The mesh as the controller sees it.
    pub async fn status(&self) -> Status {
        self.try_status().await.unwrap_or_else(|why| panic!("{why}\n{}", self.controller_log()))
    }

    async fn try_status(&self) -> Result<Status, String> {
        let token = fs::read_to_string(self.controller_state().join("admin.token"));
        let token = token.map_err(|error| error.to_string())?;
        match http_get(self.api_address(), "/v1/status", Some(token.trim())).await? {
            (200, body) => serde_json::from_str(&body).map_err(|error| format!("{error} in {body}")),
            (code, body) => Err(format!("/v1/status answers {code}: {body}")),
        }
    }

    async fn try_metrics(&self, node: &Node) -> Result<Metrics, String> {
        let admin = node.ports().admin.ok_or("its admin pages are off")?;
        let (_, text) = http_get(admin, "/metrics", None).await?;
        Ok(Metrics::parse(text))
    }

    /// What `caller` can't reach yet of what it calls.
    async fn linked(&self, caller: &Node) -> Result<(), String> {
        let called = |node: &&Node| {
            node.plan.name != caller.plan.name
                && caller.plan.listens.iter().any(|(to, _)| node.plan.serves.iter().any(|(s, _)| s == to))
        };
        let peers: Vec<_> = self.running().filter(called).map(|node| &node.plan.name).collect();
        if peers.is_empty() || caller.ports().admin.is_none() {
            return Ok(());
        }
        let metrics = self.try_metrics(caller).await?;
        match peers.iter().find(|peer| metrics.value("sinew_peer_up", &[("peer", peer)]) != Some(1.0)) {
            None => Ok(()),
            Some(peer) => Err(format!("{} has no link to {peer}", caller.plan.name)),
        }
    }
}

/// What the controller does not know yet of a node that runs.
fn known(status: &Status, node: &Node) -> Result<(), String> {
    let name = &node.plan.name;
    let seen = status.nodes.iter().find(|seen| seen.name.as_str() == name && seen.connected);
    let seen = seen.ok_or(format!("node {name} has no session"))?;
    if seen.acknowledged != status.revision {
        return Err(format!("node {name} uses {}, not {}", seen.acknowledged, status.revision));
    }
    for (service, _) in &node.plan.serves {
        let known = status.services.iter().filter(|known| known.name.as_str() == service);
        if !known.flat_map(|known| &known.endpoints).any(|endpoint| endpoint.node.as_str() == name) {
            return Err(format!("{service} has no endpoint at {name}"));
        }
    }
    Ok(())
}
