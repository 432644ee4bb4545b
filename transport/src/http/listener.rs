//! The socket of admin pages and of the API: few places, and none of them for whoever is silent or trickles.
//!
//! A connection has [`IDLE_TIME`] from its beginning and from each of our answers. What it says in between adds a
//! millisecond a byte: half a request line, a body that comes byte by byte and a kept-alive connection that nobody
//! uses all cost a place, and there are few.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::runtime::{AppListener, AppStream};

/// A listener that can't accept (out of descriptors) tries again after this, instead of spinning.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections at once. People, probes and a scraper need a handful; what is more waits in the kernel's queue until
/// one ends, which takes about [`IDLE_TIME`].
pub const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take to say something, and to take something.
pub const IDLE_TIME: Duration = Duration::from_secs(30);

/// What each byte of a caller is worth: 1 KB a second is slower than any link that somebody manages a mesh by.
const BYTE_TIME: Duration = Duration::from_millis(1);

/// A listener for [`axum::serve`].
#[derive(Debug)]
pub struct HttpListener {
    inner: Box<dyn AppListener>,
    places: Arc<Semaphore>,
}

impl HttpListener {
    /// Serves on a listener of the runtime.
    #[must_use]
    pub fn new(inner: Box<dyn AppListener>) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl axum::serve::Listener for HttpListener {
    type Io = HttpStream<Box<dyn AppStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            // Only a closed semaphore gives none, and nobody closes this one.
            return std::future::pending().await;
        };
        loop {
            match self.inner.accept().await.and_then(|(app, from)| Ok((app.into_stream()?, from))) {
                Ok((stream, from)) => return (HttpStream::new(stream, place), from),
                Err(error) => {
                    tracing::warn!(%error, "can't accept an HTTP connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A caller's connection: its reads and writes fail when its time is over.
#[derive(Debug)]
pub struct HttpStream<S> {
    inner: S,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> HttpStream<S> {
    fn new(inner: S, place: OwnedSemaphorePermit) -> Self {
        Self { inner, end: Box::pin(sleep(IDLE_TIME)), _place: place }
    }

    /// What is still pending when the time is over, fails.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, happened: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if happened.is_ready() {
            return happened;
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// It said so much.
    fn on_read(&mut self, bytes: usize) {
        let more = BYTE_TIME * u32::try_from(bytes).unwrap_or(u32::MAX);
        let end = (self.end.deadline() + more).min(Instant::now() + IDLE_TIME);
        self.end.as_mut().reset(end);
    }

    /// It took something.
    fn on_written(&mut self) {
        self.end.as_mut().reset(Instant::now() + IDLE_TIME);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        ready!(self.in_time(cx, read))?;
        self.on_read(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        let count = ready!(self.in_time(cx, written))?;
        self.on_written();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A caller, and its connection as the server has it.
    fn connected() -> (DuplexStream, HttpStream<DuplexStream>) {
        let (caller, server) = duplex(64 * 1024);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one");
        (caller, HttpStream::new(server, place))
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_ended() {
        let (_caller, mut server) = connected();
        let began = Instant::now();

        let read = server.read_u8().await;

        assert_eq!(read.expect_err("ended").kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), IDLE_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_trickles_is_ended_nearly_as_soon() {
        let (mut caller, mut server) = connected();
        let began = Instant::now();
        let trickling = async {
            loop {
                caller.write_all(b"x").await.expect("there is room");
                sleep(Duration::from_secs(20)).await;
            }
        };
        let reading = async { while server.read_u8().await.is_ok() {} };

        tokio::select! {
            () = reading => {}
            () = trickling => {}
        }

        assert_eq!(began.elapsed().as_secs(), IDLE_TIME.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_may_take_as_long_as_it_comes() {
        let (mut caller, mut server) = connected();
        let sending = async {
            for _ in 0..100 {
                caller.write_all(&[0; 20_000]).await.expect("read");
                sleep(Duration::from_secs(10)).await;
            }
        };
        let mut body = vec![0; 2_000_000];

        let (read, ()) = tokio::join!(server.read_exact(&mut body), sending);

        assert_eq!(read.expect("all of it"), 2_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_answered_lives_on() {
        let (mut caller, mut server) = connected();

        for _ in 0..10 {
            sleep(Duration::from_secs(25)).await;
            caller.write_all(b"?").await.expect("there is room");
            server.read_u8().await.expect("asked");
            server.write_all(b"!").await.expect("there is room");
        }
    }
}
