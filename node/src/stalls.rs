//! Connections whose readers do not read: seen, counted, and given up when all together hold too much.
//!
//! A direction of a connection makes itself known here the first time that it has to wait for its reader, so that
//! connections which never wait pay nothing. One task looks at those every [`LOOK`]; what it decides is
//! [`sinew_node_core::stall`]'s.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sinew_node_core::stall::{self, HELD_MAX, Stalled};
use sinew_transport::{Clock, LogLimit};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::metrics::Metrics;

/// Between two looks: an eighth of what makes a stall.
const LOOK: Duration = Duration::from_millis(250);

/// One direction of a connection: what passed, and whether it waits for its reader.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Bytes of payload that its reader has taken.
    pub(crate) passed: AtomicU64,
    waits: AtomicBool,
    known: AtomicBool,
    /// Bytes that it holds while it waits, at most.
    holds: AtomicU64,
    given_up: Notify,
}

impl Flow {
    /// Resolves when the node gives it up, from the call on: one that went on in time is not given up later.
    pub(crate) fn given_up(&self) -> impl Future<Output = ()> {
        self.given_up.notified()
    }

    /// Gives it up, if it still waits. Otherwise the next look decides anew.
    fn give_up(&self) {
        self.given_up.notify_waiters();
    }

    /// Its reader has taken what waited.
    pub(crate) fn goes_on(&self) {
        self.waits.store(false, Relaxed);
    }
}

/// What was seen of a direction so far.
#[derive(Debug)]
struct Seen {
    flow: Arc<Flow>,
    memory: stall::Flow,
}

/// Every direction that ever had to wait and still lives; at most two for each connection.
#[derive(Debug)]
pub(crate) struct Stalls {
    seen: Mutex<Vec<Seen>>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// What is logged of those given up; the access log has all of them.
    logged: LogLimit,
}

impl Stalls {
    pub(crate) fn new(metrics: &Arc<Metrics>, clock: Clock) -> Self {
        Self { seen: Mutex::default(), metrics: Arc::clone(metrics), clock, logged: LogLimit::default() }
    }

    /// Tells that a direction waits for its reader, and holds so many bytes meanwhile.
    pub(crate) fn wait(&self, flow: &Arc<Flow>, holds: u64) {
        flow.holds.store(holds, Relaxed);
        flow.waits.store(true, Relaxed);
        if !flow.known.swap(true, Relaxed) {
            let seen = Seen { flow: Arc::clone(flow), memory: stall::Flow::default() };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
    }

    /// Looks, and gives up what must go, for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            sleep(LOOK).await;
            self.look();
        }
    }

    fn look(&self) {
        let now_us = self.clock.now_us();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds one whose connection has ended.
        seen.retain(|one| Arc::strong_count(&one.flow) > 1);
        let stalled = |Seen { flow, memory }: &mut Seen| {
            let since_us = memory.look(now_us, flow.passed.load(Relaxed), flow.waits.load(Relaxed))?;
            Some(Stalled { since_us, held: flow.holds.load(Relaxed), which: Arc::clone(flow) })
        };
        let stalled: Vec<_> = seen.iter_mut().filter_map(stalled).collect();
        drop(seen);
        let (mut connections, mut bytes) = (stalled.len(), stalled.iter().map(|one| one.held).sum());
        for Stalled { since_us, held, which } in stall::to_give_up(stalled, HELD_MAX) {
            connections -= 1;
            bytes -= held;
            which.give_up();
            if let Some(withheld) = self.logged.admit() {
                let stalled_ms = now_us.saturating_sub(since_us) / 1000;
                let held_max_mib = HELD_MAX >> 20;
                tracing::warn!(
                    stalled_ms,
                    held_max_mib,
                    withheld,
                    "stalled connections hold too much: the longest stalled is cut"
                );
            }
        }
        self.metrics.stalled(connections, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_went_on_in_time_is_not_given_up_later() {
        let flow = Flow::default();
        flow.give_up();

        let mut later = std::pin::pin!(flow.given_up());
        assert!(poll(later.as_mut()).is_pending(), "nobody waited");
        flow.give_up();
        later.await;
    }

    fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> std::task::Poll<()> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn one_that_has_ended_is_forgotten() {
        let stalls = Stalls::new(&Arc::default(), Clock::start());
        let flow = Arc::new(Flow::default());
        stalls.wait(&flow, 1);
        stalls.wait(&flow, 1);
        let seen = || stalls.seen.lock().map(|seen| seen.len()).unwrap_or_default();

        stalls.look();
        assert_eq!(seen(), 1, "known once");
        drop(flow);
        stalls.look();
        assert_eq!(seen(), 0);
    }
}
