//! One connection at one endpoint, as the balancer sees it: in flight from open to close, and the latency
//! of every turn the moment it is known.

use std::sync::{Arc, Mutex, PoisonError};

use sinew_node_core::{EndpointRecord, Turns};

use crate::plane::Plane;

/// Feeds an endpoint's [`Load`](sinew_node_core::Load); its drop is the close.
#[derive(Debug)]
pub(crate) struct EndpointTurns {
    plane: Arc<Plane>,
    endpoint: Arc<EndpointRecord>,
    /// Both directions of a connection are driven by one task: never waited for.
    turns: Mutex<Turns>,
}

impl EndpointTurns {
    /// Counts a connection in flight.
    pub(crate) fn open(plane: &Arc<Plane>, endpoint: &Arc<EndpointRecord>) -> Self {
        endpoint.load.on_open();
        Self { plane: Arc::clone(plane), endpoint: Arc::clone(endpoint), turns: Mutex::default() }
    }

    fn with<T>(&self, tell: impl FnOnce(&mut Turns, u64) -> T) -> T {
        let now_us = self.plane.clock.now_us();
        tell(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner), now_us)
    }

    pub(crate) fn on_accepted(&self) {
        self.with(Turns::on_accepted);
    }

    pub(crate) fn on_up(&self) {
        self.with(Turns::on_up);
    }

    pub(crate) fn on_down(&self) {
        let latency = self.with(|turns, now_us| turns.on_down(now_us).map(|latency| (now_us, latency)));
        if let Some((now_us, latency_us)) = latency {
            self.endpoint.load.on_latency(now_us, latency_us);
            self.plane.metrics.turn(latency_us);
        }
    }
}

impl Drop for EndpointTurns {
    fn drop(&mut self) {
        self.endpoint.load.on_close();
    }
}
