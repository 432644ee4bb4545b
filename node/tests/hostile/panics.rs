//! A task of the node that panics in the middle of a transfer: neither side takes it for a clean end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::{AsyncUdpSocket, ReadError, ReadToEndError};
use sinew_transport::runtime::{Access, AppListener, AppStream};
use sinew_transport::{BoxFuture, OsRuntime, Runtime};
use sinew_transport_core::Code;
use sinew_transport_core::wire::{self, Accepted};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;

use crate::common::raw::{self, soon};
use crate::common::{Stage, preamble};

/// More than the buffers on the way hold: the transfer is in progress when the panic comes.
const LEN: usize = 8 << 20;

/// Where the panic comes.
const FRAGILE_AT: usize = LEN / 2;

#[tokio::test]
async fn a_panic_in_the_middle_of_an_answer_is_a_reset_to_both_sides() {
    let service = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let runtime = FragileRuntime { service: service.local_addr().expect("bound") };
    let stage = Stage::set_in(Arc::new(runtime)).await;
    let peer = stage.peer().await;

    let (_send, mut receive) = peer.say(&wire::encode(&preamble())).await;
    let (mut app, _) = soon("the node", service.accept()).await.expect("connected");
    let answering = tokio::spawn(async move {
        let sent = app.write_all(&vec![7; LEN]).await;
        (sent, app.read(&mut [0]).await)
    });
    let _: Accepted = raw::read_frame(&mut receive).await;
    let answer = soon("an end", receive.read_to_end(LEN)).await;

    let broken = u64::from(Code::Broken.number());
    let is_reset =
        matches!(&answer, Err(ReadToEndError::Read(ReadError::Reset(code))) if code.into_inner() == broken);
    assert!(is_reset, "{:?}", answer.map(|bytes| bytes.len()));
    let (sent, heard) = soon("the service", answering).await.expect("no panic");
    let reset = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    };
    assert!(sent.as_ref().is_err_and(reset) || heard.as_ref().is_err_and(reset), "{sent:?} {heard:?}");
    stage.end().await;
}

/// The real world, but services' connections panic at [`FRAGILE_AT`].
#[derive(Debug)]
struct FragileRuntime {
    service: SocketAddr,
}

impl Runtime for FragileRuntime {
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        OsRuntime.bind_udp(address)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn AppListener>> {
        OsRuntime.listen(address)
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn AppStream>>> {
        Box::pin(async {
            let stream = OsRuntime.connect(self.service).await?;
            Ok(Box::new(Fragile { stream, left: FRAGILE_AT }) as Box<dyn AppStream>)
        })
    }

    fn wall_now(&self) -> Duration {
        OsRuntime.wall_now()
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        OsRuntime.read_file(path)
    }

    fn write_file(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        OsRuntime.write_file(path, bytes, access)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        OsRuntime.append(path)
    }
}

#[derive(Debug)]
struct Fragile {
    stream: Box<dyn AppStream>,
    left: usize,
}

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(self.left > 0, "on purpose: this is the story");
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AppStream for Fragile {
    fn reset_on_drop(&mut self, reset: bool) {
        self.stream.reset_on_drop(reset);
    }
}
