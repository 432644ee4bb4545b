//! The API's socket: few places, and none of them for whoever is silent.
//!
//! A connection on which nothing moves for [`IDLE_TIME`] ends: half a request line, a body that never
//! comes and a kept-alive connection that nobody uses all cost a place, and there are few.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use sinew_transport::http::HttpListener;
use sinew_transport::runtime::{AppStream, Runtime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once. People, probes and a scraper need a handful; what is more waits in the kernel's
/// queue until one ends, which takes at most [`IDLE_TIME`].
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may be silent.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Listens for callers.
#[derive(Debug)]
pub(crate) struct ApiListener {
    inner: HttpListener,
    address: SocketAddr,
    places: Arc<Semaphore>,
}

impl ApiListener {
    pub(crate) fn bind(runtime: &dyn Runtime, address: SocketAddr) -> io::Result<Self> {
        let inner = HttpListener(runtime.listen(address)?);
        let address = inner.local_addr()?;
        Ok(Self { inner, address, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Listener for ApiListener {
    type Io = ApiStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ApiStream, SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            // Only a closed semaphore gives none, and nobody closes this one.
            return std::future::pending().await;
        };
        let (inner, from) = self.inner.accept().await;
        (ApiStream { inner, idle: Box::pin(sleep(IDLE_TIME)), _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A caller's connection.
#[derive(Debug)]
pub(crate) struct ApiStream {
    inner: Box<dyn AppStream>,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl ApiStream {
    /// Passes on what happened; what is still pending when the time is over, fails.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, happened: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if happened.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_TIME);
            return happened;
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.in_time(cx, read)
    }
}

impl AsyncWrite for ApiStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.in_time(cx, written)
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
