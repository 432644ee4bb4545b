//! A connection: two buffers, and how each direction ends.
//!
//! What an end can do to the other, after Linux: *finish* its direction (FIN: the reader drains the buffer,
//! then sees a clean end), *abort* (RST: the reader drains the buffer, then sees an error; so does the
//! writer, at once), and *close*, which is a finish when everything that arrived was read and an abort
//! otherwise. Who writes to an end that is closed is answered with a reset.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use sinew_transport::AppStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::program::Life;

/// Bytes on their way in one direction: roughly what loopback TCP holds in both of its buffers. A writer
/// waits beyond it.
const BUFFER_MAX: usize = 256 * 1024;

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Who connected.
    Near,
    /// Who accepted.
    Far,
}

/// A connection between two ends.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<Ends>);

/// What each end receives.
#[derive(Debug, Default)]
struct Ends {
    near: End,
    far: End,
}

#[derive(Debug, Default)]
struct End {
    /// Arrived and not read.
    buffer: BytesMut,
    /// Nothing more will come: the other end finished.
    finished: bool,
    /// The connection broke; told after what has arrived.
    reset: bool,
    /// Nobody will read any more.
    closed: bool,
    /// Closing it, on purpose or by its program's death, breaks the connection (`SO_LINGER` 0).
    breaks: bool,
    reader: Option<Waker>,
    /// Who writes to here, at the other end.
    writer: Option<Waker>,
}

impl End {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Pipe {
    /// Does something with what this side receives and what the other side does.
    fn with<T>(&self, side: Side, act: impl FnOnce(&mut End, &mut End) -> T) -> T {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ends { near, far } = &mut *ends;
        match side {
            Side::Near => act(near, far),
            Side::Far => act(far, near),
        }
    }

    fn poll_read(&self, side: Side, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(side, |mine, _| {
            if !mine.buffer.is_empty() {
                let len = mine.buffer.len().min(out.remaining());
                out.put_slice(&mine.buffer[..len]);
                mine.buffer.advance(len);
                if let Some(writer) = mine.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            if mine.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if mine.finished {
                return Poll::Ready(Ok(()));
            }
            mine.reader = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn poll_write(
        &self,
        side: Side,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(side, |mine, theirs| {
            if theirs.finished {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if theirs.closed {
                mine.reset = true;
            }
            if mine.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let mut written = 0;
            for slice in slices {
                let len = slice.len().min(BUFFER_MAX - theirs.buffer.len());
                theirs.buffer.extend_from_slice(&slice[..len]);
                written += len;
            }
            if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
                theirs.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(reader) = theirs.reader.take() {
                reader.wake();
            }
            Poll::Ready(Ok(written))
        })
    }

    /// Ends this side's direction cleanly.
    fn finish(&self, side: Side) -> io::Result<()> {
        self.with(side, |mine, theirs| {
            if mine.reset {
                return Err(io::ErrorKind::NotConnected.into());
            }
            theirs.finished = true;
            theirs.wake();
            Ok(())
        })
    }

    /// Sets what [`close`](Self::close) will do.
    fn reset_on_close(&self, side: Side, reset: bool) {
        self.with(side, |mine, _| mine.breaks = reset);
    }

    /// What a kernel does with a socket that its program drops.
    pub(super) fn close(&self, side: Side) {
        self.with(side, |mine, theirs| {
            if mine.closed {
                return;
            }
            mine.closed = true;
            mine.reset |= mine.breaks;
            theirs.reset |= mine.breaks || !mine.buffer.is_empty();
            theirs.finished |= !mine.breaks;
            mine.wake();
            theirs.wake();
        });
    }
}

/// One end of a connection, held by a program.
#[derive(Debug)]
pub(crate) struct MemoryStream {
    life: Arc<Life>,
    pipe: Arc<Pipe>,
    side: Side,
    /// Its number among the program's connections.
    id: u64,
}

impl MemoryStream {
    pub(super) fn new(life: &Arc<Life>, pipe: &Arc<Pipe>, side: Side) -> io::Result<Self> {
        let id = life.connections.add(pipe, side)?;
        Ok(Self { life: Arc::clone(life), pipe: Arc::clone(pipe), side, id })
    }
}

impl AppStream for MemoryStream {
    fn reset_on_drop(&mut self, reset: bool) {
        if self.life.is_alive() {
            self.pipe.reset_on_close(self.side, reset);
        }
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.life.connections.remove(self.id);
        self.pipe.close(self.side);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.life.is_alive() {
            return Poll::Pending;
        }
        self.pipe.poll_read(self.side, cx, out)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.life.is_alive() {
            return Poll::Pending;
        }
        self.pipe.poll_write(self.side, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.life.is_alive() {
            return Poll::Pending;
        }
        Poll::Ready(self.pipe.finish(self.side))
    }
}
