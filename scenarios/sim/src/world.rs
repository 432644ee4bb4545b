//! The network between hosts: where a packet goes, when it arrives, and whether at all.
//!
//! A datagram's way: a socket hands over a batch; it is cut into datagrams, each gets the time at which it
//! is due, and goes into the queue of the socket that is bound where it is addressed to ([`crate::udp`]).
//! There it becomes visible when its time has come, in the order of sending. Nothing here draws a random
//! number, and every table is ordered: the same calls in the same order have the same effect.
//!
//! tokio's clock ticks in milliseconds, and a paused one jumps from tick to tick. A delay is therefore
//! rounded up to whole milliseconds in effect.
//!
//! Only UDP crosses the network. Application connections stay on their host, as in a real mesh, where each
//! application is beside its agent; they cost no virtual time ([`crate::tcp`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::udp::Transmit;
use tokio::time::Instant;

use crate::host::{Host, MemoryHost};
use crate::udp::Datagram;

/// The delay of a packet unless told otherwise: one tick of tokio's clock, the least that can be kept.
const DELAY: Duration = Duration::from_millis(1);

/// Wall time at the beginning of every world: 2026-01-01 00:00 UTC, since 1970. Any time will do, as long
/// as it is the same in every run.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The most that one send may carry over IPv4, in however many datagrams: a kernel answers EMSGSIZE beyond.
const SEND_MAX: usize = 65_507;

/// A network in memory. Clones are the same network.
#[derive(Debug, Clone)]
pub struct MemoryWorld(pub(crate) Arc<World>);

#[derive(Debug)]
pub(crate) struct World {
    delay: Duration,
    begun: Instant,
    /// As many as its maker names; they stay.
    hosts: Mutex<BTreeMap<IpAddr, Arc<Host>>>,
    traffic: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    cut: AtomicU64,
    unclaimed: AtomicU64,
    oversized: AtomicU64,
    overflowed: AtomicU64,
}

/// What a network carried and did not carry so far, in datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Put on their way to a socket.
    pub datagrams: u64,
    /// The bytes of those.
    pub bytes: u64,
    /// Lost because a host was cut off.
    pub cut: u64,
    /// Addressed to where nobody is bound.
    pub unclaimed: u64,
    /// In a batch that no kernel would send.
    pub oversized: u64,
    /// Lost because the receiver's buffer was full.
    pub overflowed: u64,
}

impl MemoryWorld {
    /// A network on the clock of the tokio runtime in which this is called; a packet takes `delay`.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self(Arc::new(World {
            delay,
            begun: Instant::now(),
            hosts: Mutex::default(),
            traffic: Counters::default(),
        }))
    }

    /// The host with that address, made when there is none.
    #[must_use]
    pub fn host(&self, ip: IpAddr) -> MemoryHost {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(ip).or_insert_with(|| Arc::new(Host::new(ip)));
        MemoryHost { world: Arc::clone(&self.0), host: Arc::clone(host) }
    }

    /// What it carried so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let Counters { datagrams, bytes, cut, unclaimed, oversized, overflowed } = &self.0.traffic;
        let [datagrams, bytes, cut, unclaimed, oversized, overflowed] =
            [datagrams, bytes, cut, unclaimed, oversized, overflowed].map(|counter| counter.load(Relaxed));
        Traffic { datagrams, bytes, cut, unclaimed, oversized, overflowed }
    }
}

impl Default for MemoryWorld {
    fn default() -> Self {
        Self::new(DELAY)
    }
}

impl World {
    pub(crate) fn wall_now(&self) -> Duration {
        EPOCH + self.begun.elapsed()
    }

    /// Sends a batch from a socket on `source` that is bound to `local`. What can't be delivered is lost
    /// without a word, as by a network.
    pub(crate) fn send(&self, source: &Arc<Host>, local: SocketAddr, transmit: &Transmit<'_>) {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let count = transmit.contents.len().div_ceil(segment) as u64;
        match self.route(source, local, transmit) {
            Ok(way) => self.carry(&way, transmit, segment),
            Err(Lost::Cut) => count_up(&self.traffic.cut, count),
            Err(Lost::Unclaimed) => count_up(&self.traffic.unclaimed, count),
            Err(Lost::Oversized) => count_up(&self.traffic.oversized, count),
        }
    }

    /// Counts datagrams that were on their way to a host when it was cut off.
    pub(crate) fn count_cut(&self, count: u64) {
        count_up(&self.traffic.cut, count);
    }

    fn route(&self, source: &Arc<Host>, local: SocketAddr, transmit: &Transmit<'_>) -> Result<Way, Lost> {
        if transmit.contents.len() > SEND_MAX {
            return Err(Lost::Oversized);
        }
        let to = SocketAddr::new(transmit.destination.ip().to_canonical(), transmit.destination.port());
        let bound = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        let from = transmit.src_ip.or(bound).unwrap_or_else(|| source.address_towards(to.ip()));
        let from = SocketAddr::new(from.to_canonical(), local.port());
        if source.owns(to.ip()) {
            let inbox = source.udp.find(to).ok_or(Lost::Unclaimed)?;
            return Ok(Way { from, to, inbox });
        }
        // A loopback address means nothing elsewhere.
        if from.ip().is_loopback() {
            return Err(Lost::Unclaimed);
        }
        let target = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&to.ip()).cloned();
        let target = target.ok_or(Lost::Unclaimed)?;
        if source.is_cut() || target.is_cut() {
            return Err(Lost::Cut);
        }
        let inbox = target.udp.find(to).ok_or(Lost::Unclaimed)?;
        Ok(Way { from, to, inbox })
    }

    fn carry(&self, way: &Way, transmit: &Transmit<'_>, segment: usize) {
        let due = Instant::now() + self.delay;
        let batch = Bytes::copy_from_slice(transmit.contents);
        for start in (0..batch.len()).step_by(segment) {
            let contents = batch.slice(start..batch.len().min(start + segment));
            let bytes = contents.len() as u64;
            let datagram = Datagram { due, from: way.from, to: way.to.ip(), ecn: transmit.ecn, contents };
            if way.inbox.push(datagram) {
                count_up(&self.traffic.datagrams, 1);
                count_up(&self.traffic.bytes, bytes);
            } else {
                count_up(&self.traffic.overflowed, 1);
            }
        }
    }
}

/// From where to where, and the queue at its end.
struct Way {
    from: SocketAddr,
    to: SocketAddr,
    inbox: Arc<crate::udp::Inbox>,
}

/// Why a batch goes nowhere.
enum Lost {
    Cut,
    Unclaimed,
    Oversized,
}

fn count_up(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

#[cfg(test)]
mod tests;
