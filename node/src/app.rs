//! A connection to an application that never ends by accident.
//!
//! A TCP socket that is dropped ends cleanly: the application would take a cancelled task, a panic, a
//! lost peer or the death of this process for the end of the data. [`App`] therefore has its socket reset
//! (RST) however it ends, unless both directions came to their clean end before.
//!
//! Both directions are driven by one task, so the lock around the socket is never waited for.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use sinew_transport::AppStream;
use tokio_util::io::poll_read_buf;

/// First size of a read. The buffer grows by four when a read fills it, up to [`READ_MAX`], and is given
/// back when there is nothing to read: an idle connection holds none (4-5 KiB against 68 KiB, measured).
const READ_MIN: usize = 4 * 1024;
/// Largest size of a read. 16 KiB costs 5-18 % of bulk throughput, more than 64 KiB gains nothing.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// A connection to an application.
#[derive(Debug)]
pub(crate) struct App {
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Option<Box<dyn AppStream>>>>);

impl Shared {
    /// Does something with the socket, unless it was given up.
    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut dyn AppStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(stream) => act(Pin::new(stream.as_mut())),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl App {
    /// Takes a socket over, and gives both of its directions.
    pub(crate) fn new(mut stream: Box<dyn AppStream>) -> (Self, AppReader, AppWriter) {
        stream.reset_on_drop(true);
        let shared = Shared(Arc::new(Mutex::new(Some(stream))));
        let reader = AppReader { shared: shared.clone(), size: READ_MIN };
        let writer = AppWriter { shared: shared.clone() };
        (Self { shared }, reader, writer)
    }

    /// Both directions came to their clean end: nothing is left to abort.
    pub(crate) fn close_cleanly(self) {
        let stream = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut stream) = stream {
            stream.reset_on_drop(false);
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The halves may outlive this: the socket ends now.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What the application sends.
#[derive(Debug)]
pub(crate) struct AppReader {
    shared: Shared,
    size: usize,
}

impl AppReader {
    /// The next bytes; `None` at the clean end. Cancel-safe: nothing is lost.
    pub(crate) async fn read(&mut self) -> io::Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_read(cx)).await
    }

    /// What is there already, without waiting: `None` when nothing is, or at the end.
    pub(crate) fn read_now(&mut self) -> Option<Bytes> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self.poll_read(&mut cx) {
            Poll::Ready(Ok(Some(bytes))) => Some(bytes),
            // The end and an error are seen again by the next read.
            _ => None,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut buffer = BytesMut::with_capacity(self.size);
        let read = self.shared.with(|stream| poll_read_buf(stream, cx, &mut buffer));
        if read.is_pending() {
            self.size = READ_MIN;
        }
        let filled = ready!(read)?;
        if filled == 0 {
            return Poll::Ready(Ok(None));
        }
        if filled >= self.size {
            self.size = (self.size * 4).min(READ_MAX);
        }
        Poll::Ready(Ok(Some(buffer.freeze())))
    }
}

/// What the application receives.
#[derive(Debug)]
pub(crate) struct AppWriter {
    shared: Shared,
}

impl AppWriter {
    /// Writes all pieces, and counts what the application has taken of them as it does.
    pub(crate) async fn write(&mut self, pieces: &mut [Bytes], passed: &AtomicU64) -> io::Result<()> {
        let mut first = 0;
        while first < pieces.len() {
            if pieces[first].is_empty() {
                first += 1;
                continue;
            }
            let written = std::future::poll_fn(|cx| self.poll_write(cx, &pieces[first..])).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            passed.fetch_add(written as u64, Relaxed);
            advance(&mut pieces[first..], written);
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[Bytes]) -> Poll<io::Result<usize>> {
        /// Pieces in one system call; a read from QUIC brings at most as many.
        const BATCH: usize = 64;
        let mut slices = [io::IoSlice::new(&[]); BATCH];
        let count = pieces.len().min(BATCH);
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = io::IoSlice::new(piece);
        }
        self.shared.with(|stream| stream.poll_write_vectored(cx, &slices[..count]))
    }

    /// Ends this direction cleanly (FIN).
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.shared.with(|stream| stream.poll_shutdown(cx))).await
    }
}

/// Takes `written` bytes off the front.
fn advance(pieces: &mut [Bytes], mut written: usize) {
    for piece in pieces {
        let taken = written.min(piece.len());
        piece.advance(taken);
        written -= taken;
        if written == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_goes_across_pieces() {
        let mut pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"f")];

        advance(&mut pieces, 4);

        assert_eq!(pieces, [Bytes::new(), Bytes::from_static(b"e"), Bytes::from_static(b"f")]);
    }
}
