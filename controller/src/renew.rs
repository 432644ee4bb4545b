//! Another certificate for a node that has one: over its session, for its own identity and nothing else.
//!
//! The session has proven who asks; the request proves that the asker holds the new key. Whether the node is
//! still one of the mesh is the ledger's word. What is refused is told, counted and logged.

use std::time::Duration;

use sinew_api::control::{Renew, Renewed};
use sinew_transport::session::{FrameReceiver, FrameSender, SessionCloser};
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::wire::Message as _;
use tokio::time::{Instant, timeout};

use crate::authority::Request;
use crate::control::{CLOSE_TIME, Ending, REGISTER_TIME, expired, gone};
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
                tracing::info!(%node, ttl = ?hub.live().certificate_ttl, "certificate renewed");
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
        let issued = hub.authority.issue_node(node, &request, hub.wall_now(), hub.live().certificate_ttl);
        issued.map(|certificate| certificate.to_vec()).map_err(|e| NotRenewed::Failed(e.to_string()))
    }
}

/// A session of a node whose certificate has ended, not too long ago: one request for another, one answer.
/// The node comes back with the new one.
pub(crate) async fn renew_only(
    hub: &Hub,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    node: &NodeName,
    closer: &SessionCloser,
    renewals: &mut Renewals,
) -> Ending {
    let frame = match timeout(REGISTER_TIME, receiver.next()).await {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => return gone(error, closer).await,
        Err(_) => return Ending::TooSlow("its certificate has ended, and it did not ask for another"),
    };
    if frame.kind() != Renew::KIND {
        return expired();
    }
    let renew: Renew = match frame.decode() {
        Ok(renew) => renew,
        Err(malformed) => return Ending::Malformed(malformed.to_string()),
    };
    if let Err(error) = sender.send(&renewals.answer(hub, node, &renew)).await {
        return Ending::Lost(error.to_string());
    }
    // The node closes once it has the answer; closing here could overtake it.
    let _ = timeout(CLOSE_TIME, closer.closed()).await;
    Ending::Renewed
}
