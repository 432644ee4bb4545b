//! Application connections on one host: listening, connecting, accepting.
//!
//! A connection is made when it waits for its listener; accepting only hands it over, as in a kernel.
//! It costs no virtual time: an application that calls a service on its own host again and again, and
//! wants to stop at some moment, has to wait between its calls, or that moment never comes.

mod pipe;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sinew_transport::{AppArrival, AppListener, AppStream, BoxFuture};
use tokio::sync::mpsc;

use crate::program::Life;
pub(crate) use pipe::MemoryStream;
use pipe::{Pipe, Side};

/// Connections that wait to be accepted; who connects beyond it waits for room, as while a kernel drops its
/// SYNs. The kernel's `somaxconn`, which is what agents get in the real world.
const BACKLOG: usize = 4096;

/// Connections that a program may have open: the usual limit on descriptors of a service.
const CONNECTIONS_MAX: usize = 65_536;

/// EMFILE: too many open files.
const TOO_MANY_OPEN: i32 = 24;

/// What a connection to a listening address goes through.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    life: Arc<Life>,
    arrivals: mpsc::Sender<(MemoryArrival, SocketAddr)>,
}

/// The connections of one program, to be ended when it is killed.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    ends: BTreeMap<u64, (Weak<Pipe>, Side)>,
    next: u64,
}

impl Connections {
    fn add(&self, pipe: &Arc<Pipe>, side: Side) -> io::Result<u64> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.ends.len() >= CONNECTIONS_MAX {
            return Err(io::Error::from_raw_os_error(TOO_MANY_OPEN));
        }
        let id = open.next;
        open.next += 1;
        open.ends.insert(id, (Arc::downgrade(pipe), side));
        Ok(id)
    }

    fn remove(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ends.remove(&id);
    }

    /// Closes every connection, as a kernel does for a program that is gone.
    pub(crate) fn close_all(&self) {
        let ends = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).ends);
        for (pipe, side) in ends.into_values() {
            if let Some(pipe) = pipe.upgrade() {
                pipe.close(side);
            }
        }
    }
}

/// Connects to a listener on the same host.
pub(crate) async fn connect(life: &Arc<Life>, address: SocketAddr) -> io::Result<MemoryStream> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let host = &life.host.host;
    if !host.owns(address.ip()) {
        return Err(io::ErrorKind::NetworkUnreachable.into());
    }
    let door = host.tcp.find(address).ok_or(io::ErrorKind::ConnectionRefused)?;
    let room = door.arrivals.reserve().await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
    let from = SocketAddr::new(host.address_towards(address.ip()), host.tcp.ephemeral());
    let pipe = Arc::new(Pipe::default());
    let near = MemoryStream::new(life, &pipe, Side::Near)?;
    let far = MemoryStream::new(&door.life, &pipe, Side::Far)?;
    room.send((MemoryArrival(Some(far)), from));
    Ok(near)
}

/// A listening socket of a program.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    life: Arc<Life>,
    local: SocketAddr,
    arrivals: mpsc::Receiver<(MemoryArrival, SocketAddr)>,
}

impl MemoryListener {
    pub(crate) fn bind(life: &Arc<Life>, address: SocketAddr) -> io::Result<Self> {
        let (arrive, arrivals) = mpsc::channel(BACKLOG);
        let door = Door { life: Arc::clone(life), arrivals: arrive };
        let local = life.host.host.tcp.bind(life.id, address, door)?;
        Ok(Self { life: Arc::clone(life), local, arrivals })
    }
}

impl AppListener for MemoryListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn AppArrival>, SocketAddr)>> {
        Box::pin(async move {
            match self.arrivals.recv().await {
                Some((arrival, from)) if self.life.is_alive() => {
                    Ok((Box::new(arrival) as Box<dyn AppArrival>, from))
                }
                // Killed: the address is no longer ours, and nobody comes.
                _ => std::future::pending().await,
            }
        })
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.life.host.host.tcp.release(self.life.id, self.local);
    }
}

/// A connection that waits to be taken up. Reset when nobody does.
#[derive(Debug)]
struct MemoryArrival(Option<MemoryStream>);

impl AppArrival for MemoryArrival {
    fn into_stream(mut self: Box<Self>) -> io::Result<Box<dyn AppStream>> {
        let stream = self.0.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Box::new(stream))
    }

    fn refuse(self: Box<Self>) {}
}

impl Drop for MemoryArrival {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            Box::new(stream).abort();
        }
    }
}

#[cfg(test)]
mod tests;
