//! One more address of a node's data socket: what comes to it is passed on, both ways, unless it is blocked. A
//! blocked way swallows everything, as a firewall does, and tells nobody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// The way.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Where it leads.
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often a port is looked for that is free at both.
const ATTEMPTS: usize = 20;

/// Longer than any packet of ours.
const PACKET_MAX: usize = 2048;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Way {
    address: SocketAddr,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    blocked: AtomicBool,
    packets: AtomicU64,
}

impl Way {
    /// One that passes everything on.
    pub(crate) async fn open() -> Self {
        Self::start(false).await
    }

    /// One that passes nothing on.
    pub(crate) async fn blocked() -> Self {
        Self::start(true).await
    }

    #[allow(clippy::unused_async, reason = "sockets must be made inside the runtime")]
    async fn start(blocked: bool) -> Self {
        let socket = socket();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(State { blocked: blocked.into(), packets: AtomicU64::new(0) });
        let mut task = JoinSet::new();
        task.spawn(pass_on(socket, SocketAddr::new(THERE, address.port()), Arc::clone(&state)));
        Self { address, state, _task: task }
    }

    /// The address that it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a node must listen for which it shall be one: the same port at another address.
    pub(crate) fn leads_to(&self) -> SocketAddr {
        SocketAddr::new(THERE, self.address.port())
    }

    /// Packets that came from callers.
    pub(crate) fn packets(&self) -> u64 {
        self.state.packets.load(Relaxed)
    }

    /// From now on nothing goes through.
    pub(crate) fn block(&self) {
        self.state.blocked.store(true, Relaxed);
    }
}

/// A socket at the way's address, with a port that nobody uses where it leads.
fn socket() -> UdpSocket {
    for _ in 0..ATTEMPTS {
        let socket = StdUdpSocket::bind((HERE, 0)).expect("loopback is a whole network");
        let port = socket.local_addr().unwrap().port();
        if StdUdpSocket::bind((THERE, port)).is_ok() {
            socket.set_nonblocking(true).unwrap();
            return UdpSocket::from_std(socket).unwrap();
        }
    }
    panic!("no port is free at {HERE} and {THERE}");
}

/// Each caller gets a socket of its own toward the node, as in a translation of addresses.
async fn pass_on(socket: UdpSocket, to: SocketAddr, state: Arc<State>) {
    let socket = Arc::new(socket);
    let mut callers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut backs = JoinSet::new();
    let mut packet = [0; PACKET_MAX];
    loop {
        let Ok((len, caller)) = socket.recv_from(&mut packet).await else { continue };
        state.packets.fetch_add(1, Relaxed);
        if state.blocked.load(Relaxed) {
            continue;
        }
        let own = match callers.get(&caller) {
            Some(own) => Arc::clone(own),
            None => {
                let own = Arc::new(UdpSocket::bind((THERE, 0)).await.unwrap());
                own.connect(to).await.unwrap();
                backs.spawn(pass_back(Arc::clone(&own), Arc::clone(&socket), caller, Arc::clone(&state)));
                callers.insert(caller, Arc::clone(&own));
                own
            }
        };
        let _ = own.send(&packet[..len]).await;
    }
}

async fn pass_back(from: Arc<UdpSocket>, to: Arc<UdpSocket>, caller: SocketAddr, state: Arc<State>) {
    let mut packet = [0; PACKET_MAX];
    loop {
        let Ok(len) = from.recv(&mut packet).await else { continue };
        if !state.blocked.load(Relaxed) {
            let _ = to.send_to(&packet[..len], caller).await;
        }
    }
}
