//! The last snapshot on disk: a node that restarts while no controller lives goes on with what it knew.
//!
//! It is written when it changes, at most once every [`PAUSE`], and once more when the node stops. What a node knew
//! in its last moments may be missing; its peers tell it what came and went since.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sinew_api::Snapshot;
use sinew_transport::Runtime;
use sinew_transport_core::ids::{NodeName, Revision};
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use crate::plane::Plane;
use crate::state::{StateError, StateFile, VERSION};

/// Between two writings: a snapshot may have megabytes, and the disk is others', too.
const PAUSE: Duration = Duration::from_secs(1);

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// For whom it was made.
    node: NodeName,
    snapshot: Snapshot,
}

fn file(plane: &Plane) -> StateFile {
    let runtime: &Arc<dyn Runtime> = &plane.runtime;
    StateFile::new(runtime, plane.config.state.join("snapshot.json"), "the controller sends it again")
}

/// Takes the snapshot of the last run into use, if there is one. One that is damaged is as good as none.
///
/// # Errors
/// [`StateError`] when it is of a newer program, or the system refuses it.
pub(crate) fn restore(plane: &Plane) -> Result<(), StateError> {
    let saved = match file(plane).read::<Saved>() {
        Ok(None) => return Ok(()),
        Ok(Some(saved)) => saved,
        Err(error @ StateError::Damaged { .. }) => {
            tracing::warn!(%error, "starting without the last snapshot");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if saved.node != plane.me {
        tracing::warn!(node = %saved.node, "the last snapshot is another node's: starting without it");
        return Ok(());
    }
    match plane.apply(saved.snapshot) {
        Ok(revision) => tracing::info!(%revision, "the last snapshot is in use until a controller answers"),
        Err(rejected) => tracing::warn!(%rejected, "starting without the last snapshot"),
    }
    Ok(())
}

/// Keeps the file as new as the snapshot in use, until stopped. Call it before a controller can say anything: what
/// is in use at this moment was just restored, and is there already.
pub(crate) fn keep(plane: Arc<Plane>, stop: CancellationToken) -> impl Future<Output = ()> {
    let revisions = plane.revision();
    keep_since(revisions, plane, stop)
}

async fn keep_since(
    mut revisions: watch::Receiver<Option<Revision>>,
    plane: Arc<Plane>,
    stop: CancellationToken,
) {
    let file = file(&plane);
    let mut stopped = false;
    while !stopped {
        tokio::select! {
            biased;
            changed = revisions.changed() => stopped = changed.is_err(),
            () = stop.cancelled() => return,
        }
        revisions.mark_unchanged();
        if let Some(snapshot) = plane.held() {
            let snapshot = Arc::unwrap_or_clone(snapshot);
            let saved = Saved { version: VERSION, node: plane.me.clone(), snapshot };
            if let Err(error) = file.write(&saved) {
                tracing::warn!(%error, "the snapshot is not kept: after a restart this node needs a controller");
            }
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            // What changed during the pause is written before the end.
            () = stop.cancelled() => stopped = !revisions.has_changed().unwrap_or(false),
        }
    }
}
