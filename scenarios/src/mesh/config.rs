//! The configuration files that the engine writes for controller and nodes.
//!
//! First every port is 0. What was bound is then written back, so that a node that returns has the
//! configuration it had: the same data socket (its peers notice the new process at once), the same
//! listeners.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Any port of this machine's loopback.
const ANY_PORT: &str = "127.0.0.1:0";

/// One socket a node: consecutive ports can't be asked for with port 0, and the agents share the few
/// cores of one machine anyway.
const SHARDS: u16 = 1;

/// `controller.toml`.
#[derive(Debug, Serialize)]
pub(super) struct ControllerFile {
    controller: ControllerTable,
}

#[derive(Debug, Serialize)]
struct ControllerTable {
    state: PathBuf,
    trust_domain: String,
    name: String,
    listen: String,
    api: String,
}

impl ControllerFile {
    pub(super) fn new(state: &Path) -> Self {
        Self {
            controller: ControllerTable {
                state: state.to_owned(),
                trust_domain: "scenario.local".into(),
                name: "c1".into(),
                listen: ANY_PORT.into(),
                api: ANY_PORT.into(),
            },
        }
    }

    /// The same with the ports that were bound.
    pub(super) fn bound(mut self, ports: &ControllerPorts) -> Self {
        self.controller.listen = ports.control.to_string();
        self.controller.api = ports.api.to_string();
        self
    }
}

/// `node.toml`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NodeFile {
    node: NodeTable,
    listen: Vec<ListenTable>,
    serve: Vec<ServeTable>,
}

#[derive(Debug, Clone, Serialize)]
struct NodeTable {
    state: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    data: String,
    shards: u16,
    admin: String,
    access_log: PathBuf,
    token_file: PathBuf,
}

#[derive(Debug, Clone, Serialize)]
struct ListenTable {
    service: String,
    #[serde(rename = "as")]
    speaks_for: String,
    address: String,
}

#[derive(Debug, Clone, Serialize)]
struct ServeTable {
    service: String,
    address: SocketAddr,
}

impl NodeFile {
    pub(super) fn new(
        state: PathBuf,
        zone: Option<String>,
        access_log: PathBuf,
        token_file: PathBuf,
    ) -> Self {
        let (data, admin) = (ANY_PORT.into(), ANY_PORT.into());
        let node = NodeTable { state, zone, data, shards: SHARDS, admin, access_log, token_file };
        Self { node, listen: Vec::new(), serve: Vec::new() }
    }

    pub(super) fn listen(&mut self, service: &str, speaks_for: &str) {
        self.listen.push(ListenTable {
            service: service.into(),
            speaks_for: speaks_for.into(),
            address: ANY_PORT.into(),
        });
    }

    pub(super) fn serve(&mut self, service: &str, address: SocketAddr) {
        self.serve.push(ServeTable { service: service.into(), address });
    }

    /// The same with the ports that were bound.
    pub(super) fn bound(&self, ports: &NodePorts) -> Self {
        let mut bound = self.clone();
        if let Some(data) = ports.data.first() {
            bound.node.data = data.to_string();
        }
        if let Some(admin) = ports.admin {
            bound.node.admin = admin.to_string();
        }
        for (listen, port) in bound.listen.iter_mut().zip(&ports.listen) {
            listen.address = port.address.to_string();
        }
        bound
    }
}

/// `ports.json` of a controller.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ControllerPorts {
    /// Sessions of nodes.
    pub(super) control: SocketAddr,
    /// Its HTTP API.
    pub(super) api: SocketAddr,
}

/// `ports.json` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NodePorts {
    /// Its data sockets.
    pub data: Vec<SocketAddr>,
    /// Where it answers about itself.
    pub admin: Option<SocketAddr>,
    /// Its listeners, in the order of its configuration.
    #[serde(default)]
    pub listen: Vec<ListenPort>,
}

/// One listener of a node.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenPort {
    /// Where applications connect.
    pub address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_ports_are_written_back_into_a_nodes_file() {
        let mut file = NodeFile::new("/s".into(), None, "/a".into(), "/t".into());
        file.listen("orders", "web");
        file.serve("stock", ([127, 0, 0, 1], 9).into());
        let ports = r#"{"data":["127.0.0.1:7"],"admin":"127.0.0.1:8",
            "listen":[{"service":"orders","as":"web","address":"127.0.0.1:6"}]}"#;

        let bound = file.bound(&serde_json::from_str(ports).unwrap());

        let text: toml::Table = toml::from_str(&toml::to_string(&bound).unwrap()).unwrap();
        assert_eq!(text["node"]["data"].as_str(), Some("127.0.0.1:7"));
        assert_eq!(text["node"]["admin"].as_str(), Some("127.0.0.1:8"));
        assert_eq!(text["listen"][0]["address"].as_str(), Some("127.0.0.1:6"));
        assert_eq!(text["listen"][0]["as"].as_str(), Some("web"));
        assert_eq!(text["serve"][0]["address"].as_str(), Some("127.0.0.1:9"));
    }
}
