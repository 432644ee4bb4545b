//! One slot of the table as inbound streams see it, and the connections in progress there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use arc_swap::ArcSwap;
use sinew_node_core::hosting::Hosted;
use sinew_node_core::{Guard, ServeLimits};
use sinew_transport_core::ids::ServiceName;

use super::Hosting;

/// One slot, as inbound streams see it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) slot: u16,
    pub(crate) service: ServiceName,
    pub(crate) address: SocketAddr,
    /// What connections to it may take.
    limits: ArcSwap<ServeLimits>,
    /// Takes nothing new.
    draining: AtomicBool,
    /// Connections in progress.
    in_flight: AtomicU32,
    /// Whether the service said anything since the last check began.
    answered: AtomicBool,
}

impl Place {
    pub(super) fn new(slot: u16, hosted: &Hosted) -> Self {
        Self {
            slot,
            service: hosted.service.clone(),
            address: hosted.address,
            limits: ArcSwap::from_pointee(hosted.limits),
            draining: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            answered: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Connections in progress.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    /// Takes what was declared anew.
    pub(super) fn update(&self, hosted: &Hosted, draining: bool) {
        self.limits.store(Arc::new(hosted.limits));
        self.draining.store(draining, SeqCst);
    }

    /// Counts one connection more, unless there are as many as the endpoint takes.
    pub(super) fn enter(&self) -> bool {
        let max = self.limits.load().connections;
        let enter = |in_flight| (in_flight < max).then_some(in_flight + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, enter).is_ok()
    }

    /// A check begins.
    pub(super) fn ask(&self) {
        self.answered.store(false, Relaxed);
    }

    /// Whether the service said anything since the last check began.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Tells that the service said something. Called for every read, so it writes only when that is news.
    pub(crate) fn on_answer(&self) {
        if !self.answered.load(Relaxed) {
            self.answered.store(true, Relaxed);
        }
    }
}

/// A connection in progress at an endpoint of this node.
#[derive(Debug)]
pub(crate) struct InFlight {
    hosting: Arc<Hosting>,
    place: Arc<Place>,
    /// Its place among all of the node.
    _room: Guard,
}

impl InFlight {
    /// For one that has entered.
    pub(super) fn new(hosting: &Arc<Hosting>, place: Arc<Place>, room: Guard) -> Self {
        Self { hosting: Arc::clone(hosting), place, _room: room }
    }

    /// For how long nothing may pass.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.place.limits.load().idle
    }

    pub(crate) fn load(&self) -> u32 {
        self.place.in_flight()
    }

    pub(crate) fn on_answer(&self) {
        self.place.on_answer();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Counted before it is asked who waits; whoever waits says so before it counts.
        let left = self.place.in_flight.fetch_sub(1, SeqCst) - 1;
        if left == 0 && self.place.is_draining() {
            self.hosting.on_emptied();
        }
    }
}
