//! One join: a token for a certificate, then closed.
//!
//! Whoever joins is not authenticated, so everything is bounded: the time, the size, how many at once
//! (see `accept`). What is wrong with a token is counted and logged here; the other side is told only
//! "refused", so that guessing teaches nothing. What is wrong with a certificate request it is told:
//! only whoever holds a good token gets that far.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_api::Secret;
use sinew_api::join::{JoinAnswer, JoinRequest};
use sinew_controller_core::Outcome;
use sinew_transport::session::{FrameReceiver, FrameSender, Session};
use sinew_transport_core::ids::NodeName;
use tokio::time::timeout;

use crate::authority::Request;
use crate::hub::{Hub, hash_of};
use crate::metrics::Metrics;
use crate::store::StoreError;

/// From the opened stream to the delivered answer. Two round trips and two signatures take well under a
/// second anywhere; who is slower is holding one of few places.
pub(crate) const JOIN_TIME: Duration = Duration::from_secs(5);

/// What became of an attempt to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JoinEnd {
    /// A certificate was issued and delivered.
    Granted(NodeName),
    /// No such token.
    Unknown,
    /// The token was used before.
    Used(NodeName),
    /// The token's time was over.
    Expired(NodeName),
    /// The token was good, the certificate request was not; the token still is.
    BadRequest(NodeName, String),
    /// What came was no join request.
    Malformed(String),
    /// It took more than [`JOIN_TIME`].
    Timeout,
    /// Too many at once.
    Overloaded,
    /// The controller failed: disk, keys.
    Failed(String),
}

impl JoinEnd {
    /// The name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Granted(_) => "granted",
            Self::Unknown => "unknown",
            Self::Used(_) => "used",
            Self::Expired(_) => "expired",
            Self::BadRequest(..) => "bad_request",
            Self::Malformed(_) => "malformed",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Failed(_) => "failed",
        }
    }

    /// Counts it, and tells the log who and why.
    pub(crate) fn record(&self, metrics: &Metrics, remote: SocketAddr) {
        Metrics::count_outcome(&metrics.joins, self.name());
        let outcome = self.name();
        match self {
            Self::Granted(node) => tracing::info!(%remote, %node, outcome, "node joined"),
            Self::Used(node) | Self::Expired(node) => {
                tracing::warn!(%remote, %node, outcome, "join refused: make a new token for this node");
            }
            Self::BadRequest(node, reason) => tracing::warn!(%remote, %node, outcome, reason, "join refused"),
            Self::Failed(reason) => tracing::error!(%remote, outcome, reason, "join failed here"),
            Self::Malformed(reason) => tracing::warn!(%remote, outcome, reason, "join refused"),
            Self::Unknown | Self::Timeout | Self::Overloaded => {
                tracing::warn!(%remote, outcome, "join refused");
            }
        }
    }
}

/// What a node is told whose join could not be kept. Why is for the controller's own people.
const UNKEPT: &str = "the controller can't keep who joins: its log says why. No token was used up; try again when that is mended";

/// Takes one join from its request to its answer.
pub(crate) async fn join(hub: Arc<Hub>, session: Session) {
    let (remote, closer) = (session.remote, session.closer());
    let Session { sender, receiver, .. } = session;
    let end = timeout(JOIN_TIME, exchange(&hub, sender, receiver)).await.unwrap_or(JoinEnd::Timeout);
    closer.close(end.name());
    end.record(&hub.metrics, remote);
}

async fn exchange(hub: &Hub, mut sender: FrameSender, mut receiver: FrameReceiver) -> JoinEnd {
    let request = match receiver.next().await {
        Ok(frame) => frame.decode::<JoinRequest>(),
        Err(error) => return JoinEnd::Malformed(error.to_string()),
    };
    let (answer, end) = match request {
        Ok(request) => decide(hub, request).await,
        Err(error) => (JoinAnswer::Refused, JoinEnd::Malformed(error.to_string())),
    };
    if let Err(error) = sender.send(&answer).await {
        return JoinEnd::Failed(format!("the answer ({}) did not get through: {error}", end.name()));
    }
    sender.finish().await;
    end
}

/// The decision, and what the other side is told of it. The certificate is made before the token is used
/// up, and sent after: a failure costs no token.
async fn decide(hub: &Hub, request: JoinRequest) -> (JoinAnswer, JoinEnd) {
    let secret = Secret::new(request.secret);
    let hash = hash_of(secret.expose());
    let grant = match hub.look(&hash).await {
        Ok(Outcome::Granted(grant)) => grant,
        Ok(other) => return refuse(other),
        Err(error) => return unkept(&error),
    };
    let csr = match Request::parse(&request.csr) {
        Ok(csr) => csr,
        Err(bad) => {
            let reason = bad.to_string();
            return (JoinAnswer::BadRequest(reason.clone()), JoinEnd::BadRequest(grant.node, reason));
        }
    };
    let issued = hub.authority.issue_node(&grant.node, &csr, hub.wall_now(), hub.live().certificate_ttl);
    let certificate = match issued {
        Ok(certificate) => certificate.to_vec(),
        Err(error) => return (JoinAnswer::Refused, JoinEnd::Failed(error.to_string())),
    };
    match hub.redeem(&hash).await {
        Ok(Outcome::Granted(grant)) => {
            hub.metrics.certificates_issued.inc();
            let root = hub.authority.root().to_vec();
            (JoinAnswer::Joined { certificate, root }, JoinEnd::Granted(grant.node))
        }
        Ok(other) => refuse(other),
        Err(error) => unkept(&error),
    }
}

/// The store failed, and the token is what it was.
fn unkept(error: &StoreError) -> (JoinAnswer, JoinEnd) {
    (JoinAnswer::BadRequest(UNKEPT.to_owned()), JoinEnd::Failed(error.to_string()))
}

fn refuse(outcome: Outcome) -> (JoinAnswer, JoinEnd) {
    let end = match outcome {
        Outcome::Unknown => JoinEnd::Unknown,
        Outcome::Used(node) => JoinEnd::Used(node),
        Outcome::Expired(node) => JoinEnd::Expired(node),
        Outcome::Granted(grant) => JoinEnd::Failed(format!("a good token of `{}` was refused", grant.node)),
    };
    (JoinAnswer::Refused, end)
}
