//! A running program: the [`Runtime`] of one driver, and SIGKILL.
//!
//! Everything a driver has of the world belongs to its program: sockets, connections, tasks. When the
//! program is killed, the world takes all of it back at once, and does with it what a kernel does: sockets
//! are unbound, connections end with FIN, or with RST when something in them was not read. Tasks that
//! survive that (quinn has some, and whatever is only tracked) can touch nothing any more: what they
//! wait for does not come, what they send is lost, files fail.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use quinn::AsyncUdpSocket;
use sinew_transport::{Access, AppListener, AppStream, BoxFuture, Runtime};
use tokio_util::sync::CancellationToken;

use crate::host::MemoryHost;
use crate::tasks::TaskHost;
use crate::tcp::{self, Connections, MemoryListener};
use crate::udp::MemorySocket;

/// A program on a [`MemoryHost`]. Clones are the same program.
#[derive(Debug, Clone)]
pub struct MemoryProgram {
    life: Arc<Life>,
    tasks: Arc<TaskHost>,
    stop: CancellationToken,
}

/// What everything that belongs to a program holds on to.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) id: u64,
    pub(crate) host: MemoryHost,
    killed: AtomicBool,
    pub(crate) connections: Connections,
}

impl Life {
    pub(crate) fn is_alive(&self) -> bool {
        !self.killed.load(Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_alive() { Ok(()) } else { Err(io::Error::other("the program was killed")) }
    }
}

impl MemoryProgram {
    pub(crate) fn new(host: MemoryHost, id: u64) -> Self {
        let life = Life { id, host, killed: AtomicBool::new(false), connections: Connections::default() };
        Self { life: Arc::new(life), tasks: Arc::default(), stop: CancellationToken::new() }
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &MemoryHost {
        &self.life.host
    }

    /// It as a driver wants it.
    #[must_use]
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(self.clone())
    }

    /// Where its shards run.
    #[must_use]
    pub fn tasks(&self) -> &Arc<TaskHost> {
        &self.tasks
    }

    /// Its SIGTERM: what the driver takes as its word to stop.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// SIGKILL: from here on it has no effect on anything, and its tasks end.
    pub fn kill(&self) {
        self.life.killed.store(true, Relaxed);
        let host = &self.life.host.host;
        host.udp.release_all(self.life.id);
        host.tcp.release_all(self.life.id);
        self.life.connections.close_all();
        self.tasks.end();
        // For tasks that nobody owns: they end by themselves, unheard.
        self.stop.cancel();
    }
}

impl Runtime for MemoryProgram {
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.life.check()?;
        self.check_local(address)?;
        Ok(Arc::new(MemorySocket::bind(&self.life, address)?))
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn AppListener>> {
        self.life.check()?;
        self.check_local(address)?;
        Ok(Box::new(MemoryListener::bind(&self.life, address)?))
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn AppStream>>> {
        Box::pin(async move {
            if !self.life.is_alive() {
                std::future::pending::<()>().await;
            }
            Ok(Box::new(tcp::connect(&self.life, address).await?) as Box<dyn AppStream>)
        })
    }

    fn wall_now(&self) -> Duration {
        self.life.host.world.wall_now()
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.life.check()?;
        self.life.host.host.files.read(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write_file(&self, path: &Path, bytes: &[u8], _: Access) -> io::Result<()> {
        self.life.check()?;
        self.life.host.host.files.write(path.to_owned(), bytes)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        self.life.check()?;
        let file = self.life.host.host.files.open(path.to_owned())?;
        Ok(Box::new(OpenFile { life: Arc::clone(&self.life), file }))
    }
}

impl MemoryProgram {
    fn check_local(&self, address: SocketAddr) -> io::Result<()> {
        if self.life.host.host.binds(address.ip()) {
            Ok(())
        } else {
            Err(io::ErrorKind::AddrNotAvailable.into())
        }
    }
}

/// A file that a program has open: closed when the program is killed.
struct OpenFile<W> {
    life: Arc<Life>,
    file: W,
}

impl<W: io::Write> io::Write for OpenFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.life.check()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.life.check()
    }
}

#[cfg(test)]
mod tests;
