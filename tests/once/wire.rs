//! The wire between a node and its callers, in the test's hands: packets to the callers can be lost.
//!
//! The node advertises another loopback address than it binds. There stands a relay, which carries every
//! packet and knows none.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::NodePlan;

/// Where callers find the node: in `NodePlan` as TOML.
const ADVERTISED: &str = "[\"127.0.0.2\"]";

/// Longer than any packet.
const PACKET_MAX: usize = 64 * 1024;

/// A relay for one node with one shard.
pub(crate) struct Wire {
    deaf: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// The same node, reached through a wire that is laid when its port is known.
    pub(crate) fn wired(plan: NodePlan) -> NodePlan {
        plan.set("advertise", ADVERTISED).set("shards", "1")
    }

    /// Lays the wire to the node that has bound `data`.
    pub(crate) async fn lay(data: SocketAddr) -> Self {
        let port = UdpSocket::bind(("127.0.0.2", data.port())).await.expect("Linux owns all of 127/8");
        let deaf = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(carry(Arc::new(port), data, Arc::clone(&deaf)));
        Self { deaf, task }
    }

    /// From now on callers hear nothing from the node, while it hears them.
    pub(crate) fn deafen_callers(&self) {
        self.deaf.store(true, Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries packets between every caller and the node, each caller by a socket of its own.
async fn carry(port: Arc<UdpSocket>, node: SocketAddr, deaf: Arc<AtomicBool>) {
    let mut callers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut packet = vec![0; PACKET_MAX];
    while let Ok((len, caller)) = port.recv_from(&mut packet).await {
        if let Entry::Vacant(new) = callers.entry(caller) {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a port is free"));
            socket.connect(node).await.expect("the node has an address");
            answers.spawn(carry_back(Arc::clone(&socket), Arc::clone(&port), caller, Arc::clone(&deaf)));
            new.insert(socket);
        }
        // An error tells that the node is dead, which callers find out themselves.
        let _ = callers[&caller].send(&packet[..len]).await;
    }
}

async fn carry_back(from: Arc<UdpSocket>, port: Arc<UdpSocket>, caller: SocketAddr, deaf: Arc<AtomicBool>) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        // As above.
        let Ok(len) = from.recv(&mut packet).await else { continue };
        if !deaf.load(Relaxed) {
            let _ = port.send_to(&packet[..len], caller).await;
        }
    }
}
