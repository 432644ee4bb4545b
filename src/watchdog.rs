//! The service manager's watchdog (`WatchdogSec=`, sd_watchdog_enabled(3)): fed as long as every shard turns.
//!
//! A shard whose thread hangs carries nothing and says nothing; only a restart helps. Each beats on its own thread,
//! and when one has not beaten for half the manager's patience, the manager is no longer told that all is well.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep};

/// How often a shard beats, and is looked at, within the manager's patience.
const PARTS: u32 = 6;

/// The beat of a shard that has ended: it is not missed.
const ENDED: u64 = u64::MAX;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// How long the manager waits for a word; none: it does not.
    patience: Option<Duration>,
    started: Instant,
    /// When each shard beat last, in milliseconds since the start.
    beats: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Watchdog {
    /// As the manager wants it.
    pub(crate) fn from_environment() -> Arc<Self> {
        Arc::new(Self::new(sd_notify::watchdog_enabled()))
    }

    fn new(patience: Option<Duration>) -> Self {
        Self { patience, started: Instant::now(), beats: Mutex::default() }
    }

    /// Runs a shard, and beats beside it.
    pub(crate) async fn watch(self: Arc<Self>, shard: impl Future<Output = ()>) {
        let Some(patience) = self.patience else { return shard.await };
        let beat = Arc::new(AtomicU64::new(self.now_ms()));
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&beat));
        let beating = async {
            loop {
                beat.store(self.now_ms(), Relaxed);
                sleep(patience / PARTS).await;
            }
        };
        tokio::select! {
            () = shard => {}
            () = beating => {}
        }
        beat.store(ENDED, Relaxed);
    }

    /// Tells the manager that all is well, as long as it is; for ever.
    pub(crate) async fn feed(self: Arc<Self>) {
        self.feed_by(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
    }

    async fn feed_by(&self, tell: impl Fn() -> io::Result<()>) {
        let Some(patience) = self.patience else { return };
        let mut well = true;
        loop {
            let hanging = self.hanging(patience / 2);
            if hanging == 0 {
                if let Err(error) = tell() {
                    tracing::warn!(%error, "the service manager's watchdog can't be told that all is well");
                }
            } else if well {
                tracing::error!(hanging, "shards hang; the service manager will restart this process");
            }
            well = hanging == 0;
            sleep(patience / PARTS).await;
        }
    }

    /// How many shards have not beaten for so long.
    fn hanging(&self, limit: Duration) -> usize {
        let (now, limit) = (self.now_ms(), u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let late = |beat: &&Arc<AtomicU64>| now.saturating_sub(beat.load(Relaxed)) > limit;
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(late).count()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(ENDED - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::runtime::Builder;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// How often the manager was told in two patiences, beside a shard.
    fn told_beside(shard: impl Future<Output = ()> + Send + 'static) -> u32 {
        let watchdog = Arc::new(Watchdog::new(Some(PATIENCE)));
        let shard = Arc::clone(&watchdog).watch(shard);
        let thread = std::thread::spawn(move || {
            Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(shard);
        });
        let told = Cell::new(0);
        let feeding = async {
            while watchdog.beats.lock().expect("sound").is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            // What follows counts from when the shard is known to beat, or not to.
            sleep(PATIENCE).await;
            let fed = watchdog.feed_by(|| {
                told.set(told.get() + 1);
                Ok(())
            });
            let _ = tokio::time::timeout(2 * PATIENCE, fed).await;
        };
        Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(feeding);
        thread.join().expect("it ends");
        told.get()
    }

    #[test]
    fn a_shard_that_turns_feeds_it_and_so_does_one_that_has_ended() {
        assert!(told_beside(async { sleep(4 * PATIENCE).await }) >= 3);
        assert!(told_beside(async {}) >= 3);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "hangs on purpose")]
    fn a_shard_whose_thread_hangs_starves_it() {
        let told = told_beside(async { std::thread::sleep(4 * PATIENCE) });

        assert_eq!(told, 0);
    }
}
