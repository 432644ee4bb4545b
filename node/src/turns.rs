//! One connection at one endpoint, as the balancer sees it: in flight from open to close, and the latency
//! of every turn the moment it is known.
//!
//! A turn during which the peer fell silent is not measured: a machine that was stopped for two seconds and
//! continues is not one that takes two seconds to answer, and must not be left alone for a minute.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use sinew_node_core::{Outcome, Turns};

use crate::plane::{Plane, Way};

/// Feeds an endpoint's [`Load`](sinew_node_core::Load); its drop is the close.
#[derive(Debug)]
pub(crate) struct EndpointTurns {
    plane: Arc<Plane>,
    way: Way,
    /// The peer's silences when the turn began.
    silences: AtomicU64,
    /// Both directions of a connection are driven by one task: never waited for.
    turns: Mutex<Turns>,
}

impl EndpointTurns {
    /// Counts a connection in flight.
    pub(crate) fn open(plane: &Arc<Plane>, way: &Way) -> Self {
        way.endpoint.load.on_open();
        let turns = Self {
            plane: Arc::clone(plane),
            way: way.clone(),
            silences: AtomicU64::new(0),
            turns: Mutex::default(),
        };
        turns.silences.store(turns.silences_now(), Relaxed);
        turns
    }

    fn silences_now(&self) -> u64 {
        self.way.peer.as_ref().map_or(0, |peer| peer.silences())
    }

    fn with<T>(&self, tell: impl FnOnce(&mut Turns, u64) -> T) -> T {
        let now_us = self.plane.clock.now_us();
        tell(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner), now_us)
    }

    pub(crate) fn on_accepted(&self) {
        self.with(Turns::on_accepted);
    }

    pub(crate) fn on_up(&self) {
        self.silences.store(self.silences_now(), Relaxed);
        self.with(Turns::on_up);
    }

    /// Tells how the connection ended, for the next report.
    pub(crate) fn on_end(&self, outcome: Outcome) {
        if let Some(good) = outcome.speaks_of_endpoint() {
            self.way.endpoint.tally.on_end(good);
        }
    }

    pub(crate) fn on_down(&self) {
        let latency = self.with(|turns, now_us| turns.on_down(now_us).map(|latency| (now_us, latency)));
        if let Some((now_us, latency_us)) = latency {
            if self.silences.load(Relaxed) == self.silences_now() {
                self.way.endpoint.load.on_latency(now_us, latency_us);
                self.way.endpoint.tally.on_turn(now_us, latency_us);
            }
            self.plane.metrics.turn(latency_us);
        }
    }
}

impl Drop for EndpointTurns {
    fn drop(&mut self) {
        self.way.endpoint.load.on_close();
    }
}
