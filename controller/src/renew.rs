//! Another certificate for a node that has one: over its session, for its own identity and nothing else.
//!
//! The session has proven who asks; the request proves that the asker holds the new key. Whether the node is
//! still one of the mesh is the ledger's word. What is refused is told, counted and logged.

use std::time::Duration;

use sinew_api::control::{Renew, Renewed};
use sinew_transport_core::ids::NodeName;
use tokio::time::Instant;

use crate::authority::Request;
use crate::hub::Hub;
use crate::metrics::Metrics;

/// The least time between two renewals in one session. The shortest certificates live ten seconds and are
/// renewed every five; who asks more often has lost its way, and each costs a signature.
const PAUSE: Duration = Duration::from_secs(1);

/// The renewals of one session.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    last: Option<Instant>,
}

/// Why a certificate was not renewed; told to the node.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error("the last request in this session came less than {PAUSE:?} ago")]
    TooSoon,
    #[error("node `{0}` has not joined this mesh, or was removed; join again with a new token")]
    Unknown(NodeName),
    #[error("{0}")]
    BadRequest(String),
    #[error("the authority failed; the controller's log says how")]
    Failed(String),
}

impl NotRenewed {
    fn name(&self) -> &'static str {
        match self {
            Self::TooSoon => "too_soon",
            Self::Unknown(_) => "unknown",
            Self::BadRequest(_) => "bad_request",
            Self::Failed(_) => "failed",
        }
    }
}

impl Renewals {
    /// Answers a request of `node`, whose session this is.
    pub(crate) fn answer(&mut self, hub: &Hub, node: &NodeName, renew: &Renew) -> Renewed {
        match self.issue(hub, node, renew) {
            Ok(certificate) => {
                Metrics::count_outcome(&hub.metrics.renewals, "renewed");
                hub.metrics.certificates_issued.inc();
                tracing::info!(%node, ttl = ?hub.certificate_ttl, "certificate renewed");
                Renewed { chain: vec![certificate], refused: String::new() }
            }
            Err(error) => {
                Metrics::count_outcome(&hub.metrics.renewals, error.name());
                if let NotRenewed::Failed(reason) = &error {
                    tracing::error!(%node, reason, "certificate not renewed");
                } else {
                    tracing::warn!(%node, %error, "certificate not renewed");
                }
                Renewed { chain: Vec::new(), refused: error.to_string() }
            }
        }
    }

    fn issue(&mut self, hub: &Hub, node: &NodeName, renew: &Renew) -> Result<Vec<u8>, NotRenewed> {
        let now = Instant::now();
        if self.last.replace(now).is_some_and(|last| now < last + PAUSE) {
            return Err(NotRenewed::TooSoon);
        }
        if !hub.mesh(|mesh| mesh.grants().contains_key(node)) {
            return Err(NotRenewed::Unknown(node.clone()));
        }
        let request = Request::parse(&renew.csr).map_err(|bad| NotRenewed::BadRequest(bad.to_string()))?;
        let issued = hub.authority.issue_node(node, &request, hub.wall_now(), hub.certificate_ttl);
        issued.map(|certificate| certificate.to_vec()).map_err(|e| NotRenewed::Failed(e.to_string()))
    }
}
