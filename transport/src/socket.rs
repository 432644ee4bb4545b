//! The socket under every endpoint: every packet goes through here.
//!
//! Today it does one thing: it caps how many segments one GSO send may carry. quinn batches ten; ten
//! packets of 8952 bytes are more than a UDP send can hold, the kernel answers EMSGSIZE, quinn takes
//! that for a lost MTU probe, and a burst is lost. Paths and relays will find their place here.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// The most bytes that one send may carry: 65,507 is UDP's limit over IPv4, less some room.
const BATCH_MAX: usize = 65_000;

/// A UDP socket whose sends always fit.
#[derive(Debug)]
pub struct MeshSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    segments: usize,
}

impl MeshSocket {
    /// Wraps a socket for packets of at most `mtu` bytes.
    #[must_use]
    pub fn new(inner: Arc<dyn AsyncUdpSocket>, mtu: u16) -> Self {
        let segments = inner.max_transmit_segments().min(BATCH_MAX / usize::from(mtu.max(1))).max(1);
        Self { inner, segments }
    }
}

impl AsyncUdpSocket for MeshSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.segments
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use quinn::Runtime as _;

    use super::*;

    #[tokio::test]
    async fn a_batch_of_jumbo_packets_fits_one_send() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let inner = quinn::TokioRuntime.wrap_udp_socket(socket).expect("tokio");

        for mtu in [1200_u16, 1452, 8952, 65_000] {
            let segments = MeshSocket::new(Arc::clone(&inner), mtu).max_transmit_segments();
            assert!(
                segments >= 1 && segments * usize::from(mtu) <= BATCH_MAX.max(mtu.into()),
                "{mtu}: {segments}"
            );
        }
    }
}
