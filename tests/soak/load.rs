//! Applications that call all the time, each in its own manner, and what each of their calls saw.

use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use crate::calls::{Call, MANNERS, call};

/// What each waits between two calls, at most.
const PAUSE_MAX_MS: u64 = 60;

/// Calls without end.
pub(crate) struct Load {
    stop: CancellationToken,
    workers: JoinSet<Vec<Call>>,
}

impl Load {
    /// Begins to call through `listener`; `rng` decides everything that is to be decided.
    pub(crate) fn start(listener: SocketAddr, rng: &mut fastrand::Rng) -> Self {
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for (manner, count) in MANNERS {
            for _ in 0..count {
                let (stop, mut rng) = (stop.clone(), rng.fork());
                workers.spawn(async move {
                    let mut calls = Vec::new();
                    while !stop.is_cancelled() {
                        calls.push(call(listener, manner, &mut rng, &stop).await);
                        sleep(Duration::from_millis(rng.u64(..PAUSE_MAX_MS))).await;
                    }
                    calls
                });
            }
        }
        Self { stop, workers }
    }

    /// Ends the load when every call has ended, and yields them.
    pub(crate) async fn stop(self) -> Vec<Call> {
        self.stop.cancel();
        self.workers.join_all().await.into_iter().flatten().collect()
    }
}
