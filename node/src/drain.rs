//! A node's stop: at once, or after what runs has ended.
//!
//! A node that drains is not ready, tells everybody that its endpoints take nothing new, and refuses streams that come
//! all the same, which go elsewhere by that. Its own applications are served on: they have no other node to go to.
//! When nothing runs at its endpoints any more and everybody has heard, its listeners close, and it waits for the
//! rest. Whatever is left at the deadline is cut, and counted as cut.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::plane::Plane;

/// Nothing came for so long, so everybody has heard that nothing should: some round trips around the earth.
const QUIET: Duration = Duration::from_millis(200);

/// How a node is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Not yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What runs may end within `drain_timeout`.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// What runs is cut.
    pub fn now(&self) {
        self.now.cancel();
    }

    /// Waits until either is said.
    pub async fn told(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.now.cancelled() => {}
        }
    }

    pub(crate) async fn told_now(&self) {
        self.now.cancelled().await;
    }

    fn is_now(&self) -> bool {
        self.now.is_cancelled()
    }
}

/// A stop at once, when the token is cancelled.
impl From<CancellationToken> for Stop {
    fn from(now: CancellationToken) -> Self {
        Self { drain: CancellationToken::new(), now }
    }
}

/// Drains the node; `closing` ends its listeners. Returns when nothing runs any more, at the deadline, or when it is
/// told to stop now.
pub(crate) async fn drain(plane: &Plane, stop: &Stop, closing: &CancellationToken) {
    let time = plane.live().drain_timeout;
    if !stop.is_now() && !time.is_zero() {
        tracing::info!(?time, "draining: what runs may end; once more to stop at once");
        plane.leave();
        let ended = async {
            nobody_comes(plane).await;
            closing.cancel();
            plane.outbound_idle().await;
        };
        tokio::select! {
            drained = timeout_at(Instant::now() + time, ended) => if drained.is_err() {
                let (outbound, inbound) = (plane.outbound_count(), plane.hosting.in_flight());
                tracing::warn!(?time, outbound, inbound, "connections are cut: they did not end within drain_timeout");
            },
            () = stop.told_now() => {}
        }
    }
    closing.cancel();
}

/// Waits until `idle` says so, which is asked again whenever something was emptied.
pub(crate) async fn until_idle(emptied: &Notify, idle: impl Fn() -> bool) {
    loop {
        // Made before the question, so that it misses nothing that happens after it.
        let emptied = emptied.notified();
        if idle() {
            return;
        }
        emptied.await;
    }
}

/// Waits until nothing runs at this node's endpoints, and nobody tried to begin anything for [`QUIET`].
async fn nobody_comes(plane: &Plane) {
    loop {
        plane.hosting.idle().await;
        let before = plane.hosting.turned_away();
        sleep(QUIET).await;
        if plane.hosting.in_flight() == 0 && plane.hosting.turned_away() == before {
            return;
        }
    }
}
