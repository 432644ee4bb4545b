//! One stream on a link, and the count that it keeps there.

use std::sync::Arc;

use sinew_transport_core::Code;

use super::Link;
use crate::stream::{RecvStream, SendStream};

/// Counts a stream on its link for as long as it lives.
#[derive(Debug)]
pub struct StreamGuard {
    link: Arc<Link>,
    pub(super) incoming: bool,
}

impl StreamGuard {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        link.begin_use();
        Self { link: Arc::clone(link), incoming: false }
    }

    /// The link that the stream is on.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.link.end_use(self.incoming);
    }
}

/// A flow inside a connection, carrying one application connection.
#[derive(Debug)]
pub struct Stream {
    /// To the peer.
    pub send: SendStream,
    /// From the peer.
    pub receive: RecvStream,
    /// Keeps the link's count; drop it last.
    pub guard: StreamGuard,
}

impl Stream {
    /// Ends it in both directions, before anything of it was read.
    pub(crate) fn refuse(mut self, code: Code) {
        self.send.reset(code);
        self.receive.stop(code);
    }

    pub(super) fn new((send, receive): (quinn::SendStream, quinn::RecvStream), guard: StreamGuard) -> Self {
        Self { send: SendStream::new(send), receive: RecvStream::new(receive), guard }
    }
}
