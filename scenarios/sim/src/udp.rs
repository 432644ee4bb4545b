//! UDP sockets as quinn wants them.
//!
//! A socket always takes what it is given, as long as its program lives: the network drops what it can't
//! carry. Like Linux, it takes batches (GSO); it gives single datagrams.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::host::MemoryHost;
use crate::program::Life;

/// Bytes that wait for a socket, on their way and arrived: the receive buffer that agents ask the real
/// world for. What comes beyond is lost.
const BUFFER_MAX: usize = 8 << 20;
/// What a datagram costs of the buffer beside its bytes, roughly as in Linux; bounds their number.
const DATAGRAM_COST: usize = 512;
/// Datagrams in a batch: Linux's `UDP_MAX_SEGMENTS` of old.
const SEGMENTS_MAX: usize = 64;

/// A datagram on its way.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// When it arrives.
    pub(crate) due: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: IpAddr,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) contents: Bytes,
}

/// What is on its way to one socket, in the order of sending, which is also that of arriving: every packet
/// of a world takes the same time.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Datagram>,
    cost: usize,
    reader: Option<Waker>,
    /// Runs until the first datagram arrives, while the reader waits for it.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Inbox {
    /// Puts a datagram on its way; false when there is no room.
    pub(crate) fn push(&self, datagram: Datagram) -> bool {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = queue.cost + DATAGRAM_COST + datagram.contents.len();
        if cost > BUFFER_MAX {
            return false;
        }
        queue.cost = cost;
        queue.datagrams.push_back(datagram);
        if let Some(reader) = queue.reader.take() {
            reader.wake();
        }
        true
    }
}

impl Queue {
    /// The first datagram, if it has arrived.
    fn pop(&mut self, now: Instant) -> Option<Datagram> {
        let datagram = self.datagrams.pop_front_if(|first| first.due <= now)?;
        self.cost -= DATAGRAM_COST + datagram.contents.len();
        Some(datagram)
    }

    /// Waits until the first datagram has arrived.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader = Some(cx.waker().clone());
        let Some(due) = self.datagrams.front().map(|first| first.due) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// A UDP socket of a program.
#[derive(Debug)]
pub(crate) struct MemorySocket {
    life: Arc<Life>,
    local: SocketAddr,
    inbox: Arc<Inbox>,
}

impl MemorySocket {
    pub(crate) fn bind(life: &Arc<Life>, address: SocketAddr) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let local = life.host.host.udp.bind(life.id, address, Arc::clone(&inbox))?;
        Ok(Self { life: Arc::clone(life), local, inbox })
    }

    /// The next datagram that has arrived.
    fn next(&self, queue: &mut Queue) -> Option<Datagram> {
        let MemoryHost { world, host } = &self.life.host;
        loop {
            let datagram = queue.pop(Instant::now())?;
            if !host.is_cut() || host.owns(datagram.from.ip()) {
                return Some(datagram);
            }
            // The cable was taken out while it was on its way.
            world.count_cut(1);
        }
    }

    /// Writes a datagram where the reader wants it; what does not fit is cut off, as by recvmsg(2).
    fn deliver(&self, datagram: &Datagram, buffer: &mut IoSliceMut<'_>) -> RecvMeta {
        let len = datagram.contents.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram.contents[..len]);
        let mut addr = datagram.from;
        if let (true, IpAddr::V4(ip)) = (self.local.is_ipv6(), addr.ip()) {
            // A dual-stack socket knows IPv4 by its mapped form.
            addr.set_ip(ip.to_ipv6_mapped().into());
        }
        RecvMeta { addr, len, stride: len, ecn: datagram.ecn, dst_ip: Some(datagram.to) }
    }
}

impl AsyncUdpSocket for MemorySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.life.is_alive() {
            let host = &self.life.host;
            host.world.send(&host.host, self.local, transmit);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if !self.life.is_alive() {
            return Poll::Pending;
        }
        let mut queue = self.inbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut received = 0;
            for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
                let Some(datagram) = self.next(&mut queue) else { break };
                *meta = self.deliver(&datagram, buffer);
                received += 1;
            }
            if received > 0 {
                return Poll::Ready(Ok(received));
            }
            ready!(queue.poll_due(cx));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.life.host.host.udp.release(self.life.id, self.local);
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
