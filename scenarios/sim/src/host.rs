//! A machine: its address, its ports, its disk, and the cable to the network.
//!
//! Programs come and go on it ([`MemoryProgram`]); what they wrote stays, and so do programs that were not
//! killed. Cutting a host off takes the cable out: what is on the host goes on, and hears nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::files::Files;
use crate::ports::Ports;
use crate::program::MemoryProgram;
use crate::tcp::Door;
use crate::udp::Inbox;
use crate::world::World;

/// A machine in a [`MemoryWorld`](crate::MemoryWorld). Clones are the same machine.
#[derive(Debug, Clone)]
pub struct MemoryHost {
    pub(crate) world: Arc<World>,
    pub(crate) host: Arc<Host>,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) ip: IpAddr,
    cut: AtomicBool,
    programs: AtomicU64,
    pub(crate) udp: Ports<Arc<Inbox>>,
    pub(crate) tcp: Ports<Door>,
    pub(crate) files: Files,
}

impl MemoryHost {
    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.host.ip
    }

    /// Starts a program that has not asked for anything yet.
    #[must_use]
    pub fn program(&self) -> MemoryProgram {
        MemoryProgram::new(self.clone(), self.host.programs.fetch_add(1, Relaxed))
    }

    /// Takes the cable out: packets from and to other hosts are lost without a word, those on their way
    /// included.
    pub fn cut(&self) {
        self.host.cut.store(true, Relaxed);
    }

    /// Puts the cable back in.
    pub fn mend(&self) {
        self.host.cut.store(false, Relaxed);
    }

    /// What is in a file; none when there is no such file.
    #[must_use]
    pub fn file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.host.files.read(path.as_ref())
    }

    /// Puts a file on the disk, as an operator does.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn put_file(&self, path: impl Into<PathBuf>, bytes: &[u8]) {
        let written = self.host.files.write(path.into(), bytes);
        assert!(written.is_ok(), "a file could not be put on {}: {written:?}", self.host.ip);
    }

    /// Takes a file away, if it is there.
    pub fn remove_file(&self, path: impl AsRef<Path>) {
        self.host.files.remove(path.as_ref());
    }

    /// Waits until a file satisfies `enough`, and gives it. Looks each time that something was written.
    pub async fn file_when(&self, path: impl AsRef<Path>, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut changes = self.host.files.changes();
        loop {
            changes.borrow_and_update();
            if let Some(bytes) = self.file(&path).filter(|bytes| enough(bytes)) {
                return bytes;
            }
            if changes.changed().await.is_err() {
                // The disk is ours: it can't be gone while we wait for it.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Host {
    pub(crate) fn new(ip: IpAddr) -> Self {
        Self {
            ip,
            cut: AtomicBool::new(false),
            programs: AtomicU64::new(0),
            udp: Ports::new(),
            tcp: Ports::new(),
            files: Files::default(),
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Whether packets to that address stay here.
    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        ip == self.ip || ip.is_loopback()
    }

    /// Whether a socket may be bound there.
    pub(crate) fn binds(&self, ip: IpAddr) -> bool {
        self.owns(ip) || ip.is_unspecified()
    }

    /// The address that a packet to `to` comes from, when its socket is bound to all of them.
    pub(crate) fn address_towards(&self, to: IpAddr) -> IpAddr {
        match to {
            IpAddr::V4(to) if to.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(to) if to.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            _ => self.ip,
        }
    }
}
