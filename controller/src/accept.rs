//! What arrives on the controller's UDP socket, and how much of it at once.
//!
//! Every join and every session is a task of one [`JoinSet`] here, so that none outlives the controller.

use std::sync::Arc;
use std::time::Duration;

use sinew_transport::session::{Arrival, SessionListener};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::control;
use crate::hub::Hub;
use crate::join::{JoinEnd, join};
use crate::metrics::Metrics;

/// Joins in progress. Each costs two signatures, and whoever asks is not authenticated yet: more than
/// this at once is refused and counted, and an honest node tries again.
const MAX_JOINS: usize = 64;
/// Control sessions, with room for each node's older session to be told that it was superseded.
const MAX_SESSIONS: usize = sinew_controller_core::mesh::MAX_NODES + 1000;
/// How long sessions may take to say farewell when the controller stops.
const FAREWELL_TIME: Duration = Duration::from_secs(3);

/// Takes arrivals until `stop`, then ends every session with a farewell.
pub(crate) async fn accept_all(hub: &Arc<Hub>, listener: &SessionListener, stop: CancellationToken) {
    let mut joins = JoinSet::new();
    let mut sessions = JoinSet::new();
    loop {
        hub.metrics.sessions.set(i64::try_from(sessions.len()).unwrap_or(i64::MAX));
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = joins.join_next() => noticed(ended),
            Some(ended) = sessions.join_next() => noticed(ended),
            arrival = listener.accept() => match arrival {
                None => break,
                Some(Arrival::Join(session)) if joins.len() >= MAX_JOINS => {
                    JoinEnd::Overloaded.record(&hub.metrics, session.remote);
                    session.closer().close("too many joins at once; try again");
                }
                Some(Arrival::Join(session)) => {
                    joins.spawn(join(Arc::clone(hub), session));
                }
                Some(Arrival::Control(session, node)) if sessions.len() >= MAX_SESSIONS => {
                    tracing::warn!(%node, remote = %session.remote, "session refused: too many at once");
                    Metrics::count_reason(&hub.metrics.session_ends, "overloaded");
                    session.closer().close("too many sessions at once; try again");
                }
                Some(Arrival::Control(session, node)) => {
                    sessions.spawn(control::serve(Arc::clone(hub), session, node, stop.clone()));
                }
            }
        }
    }
    // Joins in progress are cut: their tokens are either unused or already gave a certificate.
    joins.abort_all();
    let all = async { while sessions.join_next().await.is_some() {} };
    if timeout(FAREWELL_TIME, all).await.is_err() {
        tracing::warn!(sessions = sessions.len(), "some sessions were cut without a farewell");
    }
    listener.close().await;
}

/// A task that panicked was a defect of ours; the others go on.
fn noticed(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a session ended by a defect of the controller");
    }
}
