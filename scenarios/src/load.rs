//! The load: an open loop that makes requests when they are due, whatever became of those before.
//!
//! Each request carries its number and random bytes of the scenario's seed, and is checked byte for byte.
//! Latency counts from the moment a request was due, not from when it was sent. Results are [`Sample`]s;
//! [`Counters`] tell meanwhile how it goes.

mod kept;
mod request;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::kept::KeptConnections;
use crate::record::{Outcome, Sample};
use crate::scenario::{Connections, Load};

/// The most requests of one load at once: 15 s (the default timeout) of 200 a second unanswered. Each may
/// hold a socket, so this stays below the usual hard limit of open files. A request beyond it is not
/// sent and counts as failed.
const MAX_AT_ONCE: usize = 3000;

/// How it goes, for a progress bar.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that are over.
    pub ended: AtomicU64,
    /// Those of them that failed.
    pub failed: AtomicU64,
}

/// What every request of a load needs to know.
#[derive(Debug)]
struct Context {
    /// The load's position.
    load: usize,
    target: SocketAddr,
    timeout: Duration,
    payload: (usize, usize),
    seed: u64,
    /// The moment from which everything counts.
    epoch: Instant,
    counters: Arc<Counters>,
}

/// One request that is to be made.
#[derive(Debug, Clone, Copy)]
struct Due {
    id: u64,
    at: Instant,
}

/// Makes all requests of `load` against `target` and returns when the last has ended. `epoch` is the
/// moment from which its times count; ids begin at `first_id`.
pub async fn run(
    (position, load): (usize, Load),
    target: SocketAddr,
    seed: u64,
    first_id: u64,
    epoch: Instant,
    counters: Arc<Counters>,
) -> Vec<Sample> {
    let context = Arc::new(Context {
        load: position,
        target,
        timeout: load.timeout,
        payload: load.payload,
        seed,
        epoch,
        counters,
    });
    match load.connections {
        Connections::New => run_new(&load, first_id, context).await,
        Connections::Kept(count) => {
            let mut kept = KeptConnections::new(count, &context);
            for due in schedule(&load, first_id, epoch) {
                tokio::time::sleep_until(due.at).await;
                kept.hand_over(due);
            }
            kept.finish().await
        }
    }
}

async fn run_new(load: &Load, first_id: u64, context: Arc<Context>) -> Vec<Sample> {
    let mut at_once = JoinSet::new();
    let mut samples = Vec::new();
    for due in schedule(load, first_id, context.epoch) {
        tokio::time::sleep_until(due.at).await;
        while let Some(ended) = at_once.try_join_next() {
            samples.extend(ended.ok());
        }
        if at_once.len() >= MAX_AT_ONCE {
            samples.push(context.not_sent(due));
        } else {
            at_once.spawn(request::on_new_connection(context.clone(), due));
        }
    }
    while let Some(ended) = at_once.join_next().await {
        samples.extend(ended.ok());
    }
    samples
}

/// When each request is due: evenly spaced.
fn schedule(load: &Load, first_id: u64, epoch: Instant) -> impl Iterator<Item = Due> + use<> {
    let (start, rate) = (epoch + load.start, load.rate);
    (0..load.requests()).map(move |index| {
        #[expect(clippy::cast_precision_loss, reason = "a few million at most")]
        let after = Duration::from_secs_f64(index as f64 / rate);
        Due { id: first_id + index, at: start + after }
    })
}

impl Context {
    fn since_epoch(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.epoch)
    }

    /// The bytes of request `id`: the same in every run with the same seed.
    fn payload(&self, id: u64) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let len = random.usize(self.payload.0..=self.payload.1);
        let mut bytes = vec![0; len];
        random.fill(&mut bytes);
        bytes
    }

    /// A request that has been begun now, as yet without an end.
    fn begin(&self, due: Due, new_connection: bool) -> Sample {
        Sample {
            id: due.id,
            load: self.load,
            due: self.since_epoch(due.at),
            sent: self.since_epoch(Instant::now()),
            end: Duration::ZERO,
            local: None,
            new_connection,
            answered_by: None,
            outcome: Outcome::TimedOut,
            wrong_bytes: 0,
        }
    }

    /// Notes a request's end.
    fn count(&self, sample: &Sample) {
        self.counters.ended.fetch_add(1, Relaxed);
        if sample.failed() {
            self.counters.failed.fetch_add(1, Relaxed);
        }
    }

    fn not_sent(&self, due: Due) -> Sample {
        let mut sample = self.begin(due, true);
        sample.end = sample.sent;
        sample.outcome = Outcome::NotSent;
        self.count(&sample);
        sample
    }
}

/// Raises the number of files that this process may have open to the most that it may ask for: each
/// request under way holds a socket. Left as it is if that fails.
pub fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
