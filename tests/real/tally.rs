//! The books of both nodes after programs have ended: access logs and metrics, at the caller and at the hosts, must
//! say the same, and what the programs did.

use crate::support::{Mesh, Record};

/// What went through a mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    /// Payload from callers to services.
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
}

impl Tally {
    /// What went through so far, once `connections` have ended at both ends. Each of them ended well, and the access
    /// logs and metrics of the caller and of `hosts` agree about every byte.
    pub(crate) async fn of(mesh: &Mesh, hosts: &[&str], connections: u64) -> Self {
        let caller = Self::at(mesh, &["caller"], "outbound", connections).await;
        let host = Self::at(mesh, hosts, "inbound", connections).await;
        assert_eq!(caller, host, "caller and hosts");
        assert_eq!(caller.connections, connections);
        caller
    }

    /// What nodes say, by their access logs and by their metrics.
    async fn at(mesh: &Mesh, nodes: &[&str], direction: &str, connections: u64) -> Self {
        let (mut logged, mut counted) = (Self::default(), Self::default());
        let labels = [("direction", direction)];
        let closed = "sinew_tcp_connections_closed_total";
        let all_closed = crate::support::until("every connection to end", || async {
            let mut count = 0.0;
            for node in nodes {
                count += mesh.metrics(node).await.count(closed, &labels);
            }
            if count >= whole(connections) { Ok(()) } else { Err(format!("{count} at {nodes:?}")) }
        });
        all_closed.await.unwrap_or_else(|why| panic!("{why}"));
        for node in nodes {
            let metrics = mesh.metrics(node).await;
            let count = |name: &str| integer(metrics.count(name, &labels));
            assert_eq!(count("sinew_tcp_connections_opened_total"), count(closed), "at {node}");
            let of_node = Self {
                connections: count(closed),
                bytes_up: count("sinew_tcp_sent_bytes_total"),
                bytes_down: count("sinew_tcp_received_bytes_total"),
            };
            counted = counted + of_node;
            let enough = |records: &[Record]| records.len() as u64 >= of_node.connections;
            for record in mesh.records_when(node, enough).await {
                assert_eq!(
                    (record.outcome.as_str(), record.direction.as_str()),
                    ("ok", direction),
                    "{record:?}"
                );
                let Record { bytes_up, bytes_down, .. } = record;
                logged = logged + Self { connections: 1, bytes_up, bytes_down };
            }
        }
        assert_eq!(logged, counted, "access logs and metrics at {nodes:?}");
        logged
    }

    /// What came since.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            bytes_up: self.bytes_up - earlier.bytes_up,
            bytes_down: self.bytes_down - earlier.bytes_down,
        }
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            bytes_up: self.bytes_up + other.bytes_up,
            bytes_down: self.bytes_down + other.bytes_down,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn whole(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter, far below 2^52")]
fn integer(count: f64) -> u64 {
    count as u64
}
