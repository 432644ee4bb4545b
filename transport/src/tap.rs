//! A congestion controller around quinn's that listens in: it alone sees authenticated
//! acknowledgements and the exact bytes in flight, which [`LinkEstimator`] needs to tell silence from
//! having nothing to say.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;
use sinew_transport_core::link::LinkEstimator;

use crate::clock::Clock;

/// Makes one connection's controller, and keeps its estimator.
#[derive(Debug)]
pub(crate) struct TapFactory {
    pub(crate) estimator: Arc<LinkEstimator>,
    pub(crate) clock: Clock,
}

impl ControllerFactory for TapFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::new(CubicConfig::default()).build(now, current_mtu);
        Box::new(Tap { inner, estimator: Arc::clone(&self.estimator), clock: self.clock })
    }
}

struct Tap {
    inner: Box<dyn Controller>,
    estimator: Arc<LinkEstimator>,
    clock: Clock,
}

impl Controller for Tap {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.estimator.on_sent(self.clock.us(now), bytes);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        let us = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.estimator.on_round_trip(us(rtt.get()), us(rtt.conservative()));
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.estimator.on_heard(self.clock.us(now), in_flight);
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            estimator: Arc::clone(&self.estimator),
            clock: self.clock,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
