//! Who is bound where on one host.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Ports that are given out when any will do, as Linux has it.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// The bound addresses of one protocol: at most one entry for each, so never more than a host has ports and
/// addresses.
#[derive(Debug)]
pub(crate) struct Ports<T>(Mutex<Table<T>>);

#[derive(Debug)]
struct Table<T> {
    bound: BTreeMap<SocketAddr, Bound<T>>,
    next: u16,
}

#[derive(Debug)]
struct Bound<T> {
    /// The program that holds it.
    owner: u64,
    what: T,
}

impl<T: Clone> Ports<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Table { bound: BTreeMap::new(), next: *EPHEMERAL.start() }))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Table<T>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Binds; port 0 takes any. Gives the address in full.
    pub(crate) fn bind(&self, owner: u64, wanted: SocketAddr, what: T) -> io::Result<SocketAddr> {
        self.with(|table| {
            let address = if wanted.port() == 0 {
                { EPHEMERAL }.find_map(|_| table.next_free(wanted.ip()))
            } else {
                Some(wanted).filter(|address| table.is_free(*address))
            };
            let address = address.ok_or(io::ErrorKind::AddrInUse)?;
            table.bound.insert(address, Bound { owner, what });
            Ok(address)
        })
    }

    /// A port for the near end of a connection: several connections may share it, as in a kernel.
    pub(crate) fn ephemeral(&self) -> u16 {
        self.with(Table::next_port)
    }

    /// What a packet to that address reaches.
    pub(crate) fn find(&self, to: SocketAddr) -> Option<T> {
        self.with(|table| {
            // A dual-stack socket on `::` takes IPv4, too.
            let ips = [to.ip(), Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            let mut places = ips.into_iter().map(|ip| SocketAddr::new(ip, to.port()));
            places.find_map(|place| table.bound.get(&place)).map(|bound| bound.what.clone())
        })
    }

    /// Gives an address up, if it is still the owner's.
    pub(crate) fn release(&self, owner: u64, address: SocketAddr) {
        self.with(|table| {
            if table.bound.get(&address).is_some_and(|bound| bound.owner == owner) {
                table.bound.remove(&address);
            }
        });
    }

    /// Gives up all that a program held.
    pub(crate) fn release_all(&self, owner: u64) {
        self.with(|table| table.bound.retain(|_, bound| bound.owner != owner));
    }
}

impl<T> Table<T> {
    fn next_port(&mut self) -> u16 {
        let port = self.next;
        self.next = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        port
    }

    /// The next port, if nobody has it.
    fn next_free(&mut self, ip: IpAddr) -> Option<SocketAddr> {
        let address = SocketAddr::new(ip, self.next_port());
        self.is_free(address).then_some(address)
    }

    fn is_free(&self, address: SocketAddr) -> bool {
        let overlap = |a: IpAddr, b: IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
        !self.bound.keys().any(|b| b.port() == address.port() && overlap(b.ip(), address.ip()))
    }
}
