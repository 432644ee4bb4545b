//! Who holds a socket: found out by binding it, and, when that fails, by what the kernel shows in /proc.
//!
//! A program knows its own sockets by its `ports.json`; that file may be older than another program that took them,
//! so one of ours must also answer, or be what the kernel names.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use tokio::net::TcpSocket;

use super::Wanted;
use crate::check::facts::Held;

/// Names by which our own sockets are held: the program, and who keeps them while it restarts.
const OURS: [&str; 2] = ["sinew", "systemd"];

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
    uid: u32,
}

/// Who holds what, for one program of ours.
pub(super) struct Holders {
    /// What it wrote that it bound.
    own: Vec<SocketAddr>,
    /// Whether it answers.
    answers: bool,
    /// Processes by the inodes of their sockets.
    by_inode: HashMap<u64, Holder>,
}

impl Holders {
    /// Looks around for the program that keeps its state there.
    pub(super) fn look(state: &Path, answers: bool) -> Self {
        let ports = fs::read(state.join("ports.json")).unwrap_or_default();
        let mut own = Vec::new();
        collect(&serde_json::from_slice(&ports).unwrap_or_default(), &mut own);
        Self { own, answers, by_inode: sockets_of_processes() }
    }

    /// Who has this socket.
    pub(super) fn held(&self, protocol: &str, address: SocketAddr) -> Held {
        let Err(error) = bind(protocol, address) else { return Held::Free };
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = self.holder(protocol, address);
                let ours = holder.is_none_or(|holder| OURS.contains(&holder.name.as_str()));
                let own = self.own.contains(&address) && ours && (self.answers || holder.is_some());
                let name = holder.map(|Holder { pid, name, .. }| format!("{name} (pid {pid})"));
                if own { Held::Own } else { Held::Taken(name) }
            }
            io::ErrorKind::AddrNotAvailable => Held::NoSuchAddress,
            io::ErrorKind::PermissionDenied => Held::Privileged,
            _ => Held::Other(error.to_string()),
        }
    }

    /// The user as whom the program runs, if it does.
    pub(super) fn owner(&self, wanted: &[Wanted]) -> Option<u32> {
        self.program(wanted).map(|holder| holder.uid)
    }

    /// The program's process, if it runs.
    pub(super) fn pid(&self, wanted: &[Wanted]) -> Option<u32> {
        self.program(wanted).map(|holder| holder.pid)
    }

    /// How many files the program may open, and its name.
    pub(super) fn files_limit(&self, wanted: &[Wanted]) -> Option<(u64, String)> {
        let Holder { pid, name, .. } = self.program(wanted)?;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        Some((line.split_whitespace().next()?.parse().ok()?, format!("{name} (pid {pid})")))
    }

    /// The process that has the sockets which the program wrote down.
    fn program(&self, wanted: &[Wanted]) -> Option<&Holder> {
        let own = |protocol: &str| -> Vec<SocketAddr> {
            let listed = wanted.iter().any(|(_, known, _)| *known == protocol);
            self.own.iter().copied().filter(|_| listed).collect()
        };
        let (udp, tcp) = (own("UDP"), own("TCP"));
        let all = udp.iter().map(|a| ("UDP", *a)).chain(tcp.iter().map(|a| ("TCP", *a)));
        all.filter_map(|(protocol, address)| self.holder(protocol, address))
            .find(|holder| holder.name == OURS[0])
    }

    fn holder(&self, protocol: &str, address: SocketAddr) -> Option<&Holder> {
        let (tables, listening) = match protocol {
            "UDP" => (["/proc/net/udp", "/proc/net/udp6"], None),
            _ => (["/proc/net/tcp", "/proc/net/tcp6"], Some("0A")),
        };
        let texts = tables.into_iter().filter_map(|table| fs::read_to_string(table).ok());
        let inodes: Vec<u64> = texts.flat_map(|text| inodes(&text, address, listening)).collect();
        // The program itself, rather than who keeps its sockets for it.
        let holders = || inodes.iter().filter_map(|inode| self.by_inode.get(inode));
        holders().find(|holder| holder.name == OURS[0]).or_else(|| holders().next())
    }
}

/// Binds and lets go. Nobody can connect meanwhile: it does not listen.
fn bind(protocol: &str, address: SocketAddr) -> io::Result<()> {
    if protocol == "UDP" {
        return UdpSocket::bind(address).map(drop);
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Every address in a JSON document.
fn collect(value: &serde_json::Value, found: &mut Vec<SocketAddr>) {
    match value {
        serde_json::Value::String(text) => found.extend(text.parse::<SocketAddr>()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(values) => values.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The inodes of a table of sockets (proc(5)) that are in the way of `address`.
fn inodes(table: &str, address: SocketAddr, state: Option<&str>) -> Vec<u64> {
    let in_the_way = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
        let ip = local(ip)?;
        let overlaps = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
        let in_state = state.is_none_or(|state| fields.get(3) == Some(&state));
        fields.get(9)?.parse().ok().filter(|_| same_port && overlaps && in_state)
    };
    table.lines().skip(1).filter_map(in_the_way).collect()
}

/// An address as these tables write it: words of 32 bits in the machine's order.
fn local(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(8 * at..8 * at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(IpAddr::V4(Ipv4Addr::from(word(0)?)));
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    let ip = Ipv6Addr::from(bytes);
    Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
}

/// All sockets of all processes that we may look at.
fn sockets_of_processes() -> HashMap<u64, Holder> {
    let mut found = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let path = process.path();
        let Ok(descriptors) = fs::read_dir(path.join("fd")) else { continue };
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        let uid = fs::read_to_string(path.join("status")).ok().and_then(|status| effective_uid(&status));
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let Some(inode) = inode else { continue };
            let holder = Holder { pid, name: name.clone(), uid: uid.unwrap_or_default() };
            found
                .entry(inode)
                .and_modify(|known: &mut Holder| {
                    if known.name != OURS[0] {
                        *known = holder.clone();
                    }
                })
                .or_insert(holder);
        }
    }
    found
}

/// A process that forbids core dumps belongs to root in /proc, whoever runs it: `status` tells.
fn effective_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 333 1 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn who_listens_is_told_from_who_is_connected_and_from_other_addresses() {
        let at = |text: &str| inodes(TCP, text.parse().expect("an address"), Some("0A"));

        assert_eq!(at("127.0.0.1:8080"), [111]);
        assert_eq!(at("0.0.0.0:8080"), [111], "it would take 127.0.0.1, too");
        assert_eq!(at("10.0.0.1:80"), [222], "0.0.0.0 has it");
        assert!(at("127.0.0.2:8080").is_empty());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_ipv6_are_read_and_mapped_ones_are_of_ipv4() {
        let loopback = local("00000000000000000000000001000000");
        assert_eq!(loopback, Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(local("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(local("00"), None);
    }
}
