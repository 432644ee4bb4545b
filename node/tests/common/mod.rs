//! A whole node in the test's own process, and the two ends it talks to in the test's hands: its controller
//! ([`Controller`]) and a peer ([`Peer`]), both with valid certificates and free to write any bytes.
//!
//! Everything runs on the test's own thread, so a log line or a counter that a stream caused is there before
//! its peer sees the answer.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "stories in the real world; each uses a part of this"
)]

#[path = "../../../transport/tests/common/authority.rs"]
pub(crate) mod authority;
mod controller;
#[path = "../../../transport/tests/common/log.rs"]
pub(crate) mod log;
mod peer;
#[path = "../../../transport/tests/common/raw.rs"]
pub(crate) mod raw;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sinew_node::{RunError, run};
use sinew_node_core::Config;
use sinew_transport::{BoxFuture, OsRuntime, Runtime, ShardHost};
use sinew_transport_core::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use authority::Authority;
use log::Log;
use raw::soon;

pub(crate) use controller::{Answer, Controller, Session, chunk, snapshot};
pub(crate) use peer::{Peer, codes, preamble, reset_code, served};

/// The slot of `orders`, an echo.
pub(crate) const ORDERS: u16 = 0;
/// The slot of `billing`, where nobody listens, which is not checked.
pub(crate) const BILLING: u16 = 1;

/// A node `self` that serves `orders` and `billing`, told by its controller that the peer `n1` may speak for
/// `web`.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) controller: Controller,
    pub(crate) session: Session,
    pub(crate) log: Arc<Log>,
    /// The node's data socket.
    pub(crate) data: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    _services: JoinSet<()>,
    /// Bound and not listening: nobody else gets the port, and whoever connects is refused.
    _nobody: TcpSocket,
    _state: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::set_in(Arc::new(OsRuntime)).await
    }

    /// The same in another world.
    pub(crate) async fn set_in(runtime: Arc<dyn Runtime>) -> Self {
        let (log, authority) = (Log::start(), Authority::new());
        let controller = Controller::start(&authority);
        let state = tempfile::tempdir().expect("a directory");
        write_identity(state.path(), &authority, controller.address());
        let (orders, services) = echo().await;
        let (nobody, billing) = nobody();
        let config = format!(
            r#"
            [node]
            state = {:?}
            data = "127.0.0.1:0"
            shards = 1
            admin = "127.0.0.1:0"
            access_log = "-"
            [[serve]]
            service = "orders"
            address = "{orders}"
            health = false
            [[serve]]
            service = "billing"
            address = "{billing}"
            health = false
            "#,
            state.path()
        );
        let config = Config::parse("node.toml", &config).expect("no mistake");
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(config, runtime, Arc::new(Tasks::default()), stop.clone().into()));

        let mut session = controller.session().await;
        session.welcome().await;
        assert_eq!(session.tell(&snapshot(5, &[("n1", "web")])).await, Answer::ack(5));
        let ports = std::fs::read(state.path().join("ports.json")).expect("written before it registers");
        let ports: serde_json::Value = serde_json::from_slice(&ports).expect("JSON");
        let address = |value: &serde_json::Value| value.as_str().expect("text").parse().expect("an address");
        Self {
            data: address(&ports["data"][0]),
            admin: address(&ports["admin"]),
            authority,
            controller,
            session,
            log,
            stop,
            running,
            _services: services,
            _nobody: nobody,
            _state: state,
        }
    }

    /// The peer that the snapshot names, greeted.
    pub(crate) async fn peer(&self) -> Peer {
        Peer::greet("n1", &self.authority, self.data).await
    }

    /// The next line of the access log.
    pub(crate) async fn record(&self) -> serde_json::Value {
        let line = self.log.next("an ended stream", |line| line.target == "access").await;
        serde_json::from_str(&line.message).expect("JSON")
    }

    /// How many lines the access log has.
    pub(crate) fn records(&self) -> usize {
        self.log.all().iter().filter(|line| line.target == "access").count()
    }

    /// What the node counts, by the text before the value.
    pub(crate) async fn metrics(&self) -> Metrics {
        let mut stream = soon("admin", TcpStream::connect(self.admin)).await.expect("it listens");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        soon("metrics", stream.read_to_string(&mut answer)).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let lines = answer.lines().filter_map(|line| line.rsplit_once(' '));
        Metrics(lines.filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?))).collect())
    }

    /// Ends the node, which must have nothing to complain about.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        soon("the node's end", self.running).await.expect("no panic").expect("it ran");
    }
}

/// One look at `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// A series by its full name; 0 when it is not there yet.
    pub(crate) fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    /// Streams that were answered with a code, by code.
    pub(crate) fn refused_streams(&self) -> BTreeMap<&'static str, f64> {
        let count =
            |code: Code| self.get(&format!("sinew_streams_refused_total{{code=\"{}\"}}", code.name()));
        Code::ALL.into_iter().map(|code| (code.name(), count(code))).filter(|(_, n)| *n > 0.0).collect()
    }

    /// Connections of peers that were refused for that reason.
    pub(crate) fn refused_peers(&self, reason: &str) -> f64 {
        self.get(&format!("sinew_peers_refused_total{{reason=\"{reason}\"}}"))
    }
}

/// Runs shards as tasks of the test.
#[derive(Debug, Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl ShardHost for Tasks {
    fn parallelism(&self) -> usize {
        1
    }

    fn start(&self, _: String, shard: BoxFuture<'static, ()>) -> io::Result<()> {
        self.0.lock().expect("nobody panics with it").spawn(shard);
        Ok(())
    }
}

/// What a node that joined has in its state directory.
fn write_identity(state: &Path, authority: &Authority, controller: SocketAddr) {
    let issued = authority.issue_node("self");
    let pem = |tag, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
    let keys = serde_json::json!({
        "version": 1,
        "reset_key": "1a".repeat(32),
        "token_key": "2b".repeat(32),
        "connection_id_key": 3,
        "controllers": [controller],
    });
    let files = [
        ("identity.pem", pem("CERTIFICATE", &issued.chain[0]) + &pem("PRIVATE KEY", &issued.key)),
        ("root.cert.pem", pem("CERTIFICATE", authority.root())),
        ("keys.json", keys.to_string()),
    ];
    for (name, text) in files {
        std::fs::write(state.join(name), text).expect("written");
    }
}

/// A service that sends everything back.
async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut services = JoinSet::new();
    services.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (address, services)
}

fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("valid")).expect("a port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}
