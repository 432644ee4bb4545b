//! The real world: sockets, files and the clock of the operating system.

mod supervisor;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use quinn::{AsyncUdpSocket, Runtime as _};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::runtime::{Access, AppArrival, AppListener, AppStream, BoxFuture, Phase, Runtime};

/// Wanted receive buffer of a data socket. With the kernel's default of 212 KB a prototype lost packets
/// on loopback; 8 MB held 5 Gbit/s.
pub const UDP_RECEIVE_BUFFER: usize = 8 << 20;
/// Wanted send buffer of a data socket.
pub const UDP_SEND_BUFFER: usize = 4 << 20;
/// After so much silence an application is asked whether it is there. Envoy and the kernel wait two hours; NAT and
/// firewalls between a node and a service elsewhere forget after some minutes.
const KEEP_ALIVE_AFTER: Duration = Duration::from_mins(1);
/// Between two questions.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Questions without an answer.
const KEEP_ALIVE_TRIES: u32 = 4;
/// Applications that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The operating system as a [`Runtime`].
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRuntime;

impl Runtime for OsRuntime {
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        widen(&socket);
        socket.bind(&address.into())?;
        quinn::TokioRuntime.wrap_udp_socket(socket.into())
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn AppListener>> {
        let listener = match supervisor::take(address) {
            Some(listener) => listener,
            None => {
                let listener = bind_listener(address)?;
                supervisor::keep(&listener, address);
                listener
            }
        };
        listener.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "unsound only for types that may close their descriptor; a std listener keeps it"
        )]
        let socket = AsyncFd::new(listener)?;
        Ok(Box::new(OsListener { socket, spare: spare() }))
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn AppStream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            prepare(&stream)?;
            Ok(Box::new(OsStream(stream)) as Box<dyn AppStream>)
        })
    }

    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam: the one place that asks for wall time")]
    fn wall_now(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn write_file(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mode = match access {
            Access::Private => 0o600,
            Access::Public => 0o644,
        };
        // Beside the target, so that the rename stays in one file system; the pid keeps two processes
        // apart that were started on one state directory by mistake.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let next = path.with_file_name(name);
        let written = write_anew(&next, bytes, mode).and_then(|()| fs::rename(&next, path));
        if written.is_err() {
            // On a full disk half of a file would only take the room that the next attempt needs.
            let _ = fs::remove_file(&next);
        }
        written
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(fs::OpenOptions::new().append(true).create(true).mode(0o640).open(path)?))
    }

    fn descriptors_max(&self) -> Option<u64> {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(soft)
    }

    fn retire(&self, address: SocketAddr) {
        supervisor::retire(address);
    }

    fn retire_untaken(&self) {
        supervisor::retire_untaken();
    }

    fn tell_supervisor(&self, phase: Phase) {
        supervisor::tell(phase);
    }
}

/// Writes a file through to the disk.
fn write_anew(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn bind_listener(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Settings of a connection to an application.
fn prepare(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)?;
    keep_alive(socket)
}

/// Has the kernel find out about an application whose machine is gone: after [`KEEP_ALIVE_AFTER`] of silence it asks,
/// and after [`KEEP_ALIVE_TRIES`] questions without an answer the connection is broken.
fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    let settings = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_AFTER)
        .with_interval(KEEP_ALIVE_EVERY)
        .with_retries(KEEP_ALIVE_TRIES);
    SockRef::from(socket).set_tcp_keepalive(&settings)
}

/// Asks for large buffers: past the system's limit where we may (CAP_NET_ADMIN), else as far as it goes.
fn widen(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &UDP_RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(UDP_RECEIVE_BUFFER);
    }
    if setsockopt(socket, sockopt::SndBufForce, &UDP_SEND_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(UDP_SEND_BUFFER);
    }
    match socket.recv_buffer_size() {
        Ok(size) if size < UDP_RECEIVE_BUFFER => {
            tracing::info!(
                size,
                wanted = UDP_RECEIVE_BUFFER,
                "UDP receive buffer is small: bursts may be lost; raise net.core.rmem_max"
            );
        }
        _ => {}
    }
}

/// A listening socket. It accepts without making the connection known to this runtime: the shard that
/// will carry it does that, once.
#[derive(Debug)]
struct OsListener {
    socket: AsyncFd<StdListener>,
    /// A descriptor to give up for as long as it takes to refuse an application when there are no others: otherwise
    /// those that wait would wait until somebody else ends, and the listener would be readable all that time.
    spare: Option<File>,
}

/// A descriptor that stands for nothing.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Has the end of a socket show as an error at its other end. It fails only on a socket that is gone.
fn reset_on_close(socket: &impl AsFd, reset: bool) {
    // Lingering for no time makes close() send RST, also when the kernel closes for a process that was killed.
    let _ = SockRef::from(socket).set_linger(reset.then_some(Duration::ZERO));
}

impl AppListener for OsListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    fn shed(&mut self) -> bool {
        if self.spare.take().is_none() {
            self.spare = spare();
            return false;
        }
        let shed = match self.socket.get_ref().accept() {
            // Closed here, before its descriptor is wanted again.
            Ok((stream, _)) => {
                reset_on_close(&stream, true);
                true
            }
            Err(_) => false,
        };
        self.spare = spare();
        shed
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn AppArrival>, SocketAddr)>> {
        Box::pin(async move {
            loop {
                let mut ready = self.socket.readable().await?;
                match ready.try_io(|fd| fd.get_ref().accept()) {
                    Ok(accepted) => {
                        let (stream, from) = accepted?;
                        return Ok((Box::new(OsArrival(stream)) as Box<dyn AppArrival>, from));
                    }
                    Err(_would_block) => {}
                }
            }
        })
    }
}

#[derive(Debug)]
struct OsArrival(StdStream);

impl AppArrival for OsArrival {
    fn into_stream(self: Box<Self>) -> io::Result<Box<dyn AppStream>> {
        self.0.set_nonblocking(true)?;
        prepare(&self.0)?;
        Ok(Box::new(OsStream(TcpStream::from_std(self.0)?)))
    }

    fn refuse(self: Box<Self>) {
        reset_on_close(&self.0, true);
    }
}

#[derive(Debug)]
struct OsStream(TcpStream);

impl AppStream for OsStream {
    fn reset_on_drop(&mut self, reset: bool) {
        reset_on_close(&self.0, reset);
    }
}

impl AsyncRead for OsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timers of the established connections to or from a port of 127.0.0.1: 2 is keep-alive (proc_net_tcp).
    fn timers(port: u16) -> Vec<u8> {
        const ESTABLISHED: &str = "01";
        let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
        let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ours = fields.filter(|fields| {
            let port = format!(":{port:04X}");
            fields[3] == ESTABLISHED && (fields[1].ends_with(&port) || fields[2].ends_with(&port))
        });
        ours.map(|fields| fields[5][..2].parse().expect("a number")).collect()
    }

    #[tokio::test]
    async fn the_kernel_looks_after_both_ends_of_applications() {
        let mut listener = OsRuntime.listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");

        let _dialled = OsRuntime.connect(address).await.expect("it listens");
        let (arrived, _) = listener.accept().await.expect("one came");
        let _taken = arrived.into_stream().expect("it lives");

        assert_eq!(timers(address.port()), [2, 2]);
    }
}
