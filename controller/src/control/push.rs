//! A snapshot's way to its node: as a difference, whole in chunks, or not at all when it is too large.

use sinew_api::Snapshot;
use sinew_api::control::{CHUNK_LEN, MAX_CHUNKS, Reject, SnapshotChunk};
use sinew_controller_core::Push;
use sinew_transport::session::{FrameSender, SessionError};
use sinew_transport_core::ids::Revision;
use sinew_transport_core::wire;

use crate::hub::Attendance;
use crate::metrics::Metrics;

/// What became of a push.
pub(super) enum Fate {
    Sent,
    /// Nothing was sent: it has so many bytes.
    TooLarge(usize),
}

/// A push that can't be sent counts as refused: `status` says so, the node keeps what it has, and is sent the next
/// one.
pub(super) fn unsent(attendance: &Attendance, revision: Revision, len: usize) {
    let reason = format!(
        "it has {len} bytes, and at most {} are sent; let the node listen for fewer services, or use fewer labels",
        CHUNK_LEN * MAX_CHUNKS as usize
    );
    attendance.note(|mesh, node, session| {
        tracing::error!(%node, %revision, reason, "a node's snapshot is too large to send");
        mesh.on_reject(node, session, Reject { revision, name: "snapshot".to_owned(), reason })
    });
}

/// Sends the difference, or the whole when that is not known or would be no smaller than a chunk of it.
pub(super) async fn send(
    metrics: &Metrics,
    sender: &mut FrameSender,
    push: &Push,
) -> Result<Fate, SessionError> {
    match push.delta.as_ref().map(|delta| (delta, wire::encode_part(delta).len())) {
        Some((delta, len)) if len <= CHUNK_LEN => {
            sender.send(delta).await?;
            metrics.pushed("delta", len);
            Ok(Fate::Sent)
        }
        _ => send_whole(metrics, sender, &push.snapshot).await,
    }
}

/// Sends a snapshot whole, in as many chunks as it takes.
async fn send_whole(
    metrics: &Metrics,
    sender: &mut FrameSender,
    snapshot: &Snapshot,
) -> Result<Fate, SessionError> {
    let bytes = wire::encode_part(snapshot);
    let count = u32::try_from(bytes.len().div_ceil(CHUNK_LEN)).unwrap_or(u32::MAX);
    if count > MAX_CHUNKS {
        metrics.pushes_too_large.inc();
        return Ok(Fate::TooLarge(bytes.len()));
    }
    for (index, bytes) in (0..).zip(bytes.chunks(CHUNK_LEN)) {
        let bytes = bytes.to_vec();
        sender.send(&SnapshotChunk { revision: snapshot.revision, index, count, bytes }).await?;
    }
    metrics.pushed("whole", bytes.len());
    Ok(Fate::Sent)
}
