//! The seam: everything that a driver asks of the world, so that whole meshes run in one process, under
//! virtual time, from one seed.
//!
//! Monotonic time comes through `tokio::time`; sockets, the application's side, wall time and disk come
//! through [`Runtime`] and nowhere else. [`crate::os::OsRuntime`] is the real world. Threads are not
//! made here but by whoever starts a node: [`ShardHost`].

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use quinn::AsyncUdpSocket;
use tokio::io::{AsyncRead, AsyncWrite};

/// A future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The world outside a driver.
pub trait Runtime: Debug + Send + Sync + 'static {
    /// Binds a UDP socket; port 0 takes any. Must be called inside the tokio runtime that will use it.
    ///
    /// # Errors
    /// The operating system's.
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// Listens for applications; port 0 takes any.
    ///
    /// # Errors
    /// The operating system's.
    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn AppListener>>;

    /// Connects to a local service.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn AppStream>>>;

    /// Turns `host:port` into addresses. A world without names knows only those that are addresses already.
    ///
    /// # Errors
    /// The resolver's.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let parsed = name.parse().map(|address| vec![address]);
        let no_address = |_| io::Error::new(io::ErrorKind::InvalidInput, "it is no IP address with a port");
        Box::pin(std::future::ready(parsed.map_err(no_address)))
    }

    /// Wall time since 1970-01-01 UTC.
    fn wall_now(&self) -> Duration;

    /// Reads a whole file.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::NotFound`] when there is none.
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Replaces a file as a whole, or leaves the old one: a reader never sees half of it. Directories
    /// above it are made, closed to others (0700).
    ///
    /// # Errors
    /// The operating system's.
    fn write_file(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()>;

    /// Opens a file to add lines at its end.
    ///
    /// # Errors
    /// The operating system's.
    fn append(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>>;

    /// How many descriptors this process may have open; none: there is no such limit.
    fn descriptors_max(&self) -> Option<u64> {
        None
    }

    /// Closes the listener at an address for good, also for later processes: a service manager may keep its socket, so
    /// that those who connect between two processes wait. Its [`AppListener`] must be gone.
    fn retire(&self, address: SocketAddr) {
        let _ = address;
    }

    /// The same for listeners of an earlier process that this one did not ask for.
    fn retire_untaken(&self) {}

    /// Tells the service manager how far this process is.
    fn tell_supervisor(&self, phase: Phase) {
        let _ = phase;
    }
}

/// How far a process is, for its service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does what it is for.
    Ready,
    /// It ends soon.
    Stopping,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only its owner (0600): keys, tokens.
    Private,
    /// Anyone (0644).
    Public,
}

/// A socket on which applications arrive.
pub trait AppListener: Debug + Send {
    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next application, and its address. Cancel-safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn AppArrival>, SocketAddr)>>;

    /// For when [`accept`](Self::accept) fails because there are no descriptors: refuses one application that waits,
    /// with a descriptor that was kept for this. False when that can't be done.
    fn shed(&mut self) -> bool {
        false
    }
}

/// An application's connection, not yet at home on any shard.
pub trait AppArrival: Debug + Send {
    /// Makes it a stream of the tokio runtime in which this is called.
    ///
    /// # Errors
    /// The operating system's.
    fn into_stream(self: Box<Self>) -> io::Result<Box<dyn AppStream>>;

    /// Ends it so that the application sees an error (RST).
    fn refuse(self: Box<Self>);
}

/// A connection to an application.
pub trait AppStream: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Whether its end, by a drop or by the death of this process, shows as an error to the application (RST;
    /// `SO_LINGER` 0) instead of a clean end. Off at first.
    fn reset_on_drop(&mut self, reset: bool);

    /// Ends it so that the application sees an error.
    fn abort(mut self: Box<Self>) {
        self.reset_on_drop(true);
    }
}

/// Where shards run: threads in the program, tasks in simulation.
pub trait ShardHost: Debug + Send + Sync {
    /// How many shards can run at the same time.
    fn parallelism(&self) -> usize;

    /// Starts a shard; it runs until its future ends.
    ///
    /// # Errors
    /// When no thread can be made.
    fn start(&self, name: String, shard: BoxFuture<'static, ()>) -> io::Result<()>;
}
