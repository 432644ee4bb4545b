//! A controller in this process, on sockets of its own, and the far ends that talk to it.

#![allow(dead_code, unreachable_pub, reason = "a part of each file of tests, which uses its own part of it")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sinew_api::join::Token;
use sinew_controller::store::{DiskStore, StoreError};
use sinew_controller::{Config, Ports, RunError};
use sinew_transport::OsRuntime;
use sinew_transport::runtime::{Access, AppListener, AppStream, BoxFuture, Runtime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub mod node;
pub mod schema;

/// Longer than anything here takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The real world, but for two things: its clock can be set, and it tells when `ports.json` was written.
#[derive(Debug)]
pub struct TestRuntime {
    real: OsRuntime,
    clock_offset_s: AtomicI64,
    ports: watch::Sender<Option<Ports>>,
}

impl TestRuntime {
    fn new() -> Arc<Self> {
        let ports = watch::Sender::new(None);
        Arc::new(Self { real: OsRuntime, clock_offset_s: AtomicI64::new(0), ports })
    }

    /// Sets the wall clock forward, or back.
    pub fn shift_clock(&self, seconds: i64) {
        self.clock_offset_s.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Runtime for TestRuntime {
    fn bind_udp(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        self.real.bind_udp(address)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn AppListener>> {
        self.real.listen(address)
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn AppStream>>> {
        self.real.connect(address)
    }

    fn wall_now(&self) -> Duration {
        let offset = self.clock_offset_s.load(Ordering::Relaxed);
        let offset = Duration::from_secs(offset.unsigned_abs());
        let now = self.real.wall_now();
        if self.clock_offset_s.load(Ordering::Relaxed) < 0 { now - offset } else { now + offset }
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.real.read_file(path)
    }

    fn write_file(&self, path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        self.real.write_file(path, bytes, access)?;
        if path.ends_with(Ports::FILE) {
            self.ports.send_replace(Some(serde_json::from_slice(bytes).expect("ports")));
        }
        Ok(())
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        self.real.append(path)
    }
}

/// The store of a state directory, as soon as the controller before has let go of it.
#[allow(clippy::disallowed_methods, reason = "the test is the program here")]
async fn open_store(state: &Path) -> Arc<DiskStore> {
    let open = || {
        DiskStore::open(&state.join(DiskStore::FILE), |serve| {
            std::thread::Builder::new().spawn(serve).map(drop)
        })
    };
    let opened = async {
        loop {
            match open() {
                Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened.expect("a store"),
            }
        }
    };
    Arc::new(timeout(PATIENCE, opened).await.expect("nobody else has it"))
}

/// A running controller. Dropped, it is cut off like a killed process.
pub struct Controller {
    pub ports: Ports,
    pub runtime: Arc<TestRuntime>,
    pub state: Arc<TempDir>,
    stop: CancellationToken,
    running: JoinSet<Result<(), RunError>>,
}

impl Controller {
    /// A controller with a new authority.
    pub async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a directory"))).await
    }

    /// A controller on a state directory that may have been used before.
    pub async fn start_in(state: Arc<TempDir>) -> Self {
        let text = format!(
            "[controller]\nstate = {:?}\nlisten = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\n",
            state.path().display().to_string()
        );
        let config = Config::parse("controller.toml", &text).expect("a configuration");
        let (runtime, stop) = (TestRuntime::new(), CancellationToken::new());
        let mut ports = runtime.ports.subscribe();
        let mut running = JoinSet::new();
        let world: Arc<dyn Runtime> = runtime.clone();
        let store = open_store(state.path()).await;
        running.spawn(sinew_controller::run(config, world, store, stop.clone()));
        let ready = timeout(PATIENCE, ports.wait_for(Option::is_some));
        let ports = tokio::select! {
            ready = ready => (*ready.expect("in time").expect("it runs")).expect("there"),
            ended = running.join_next() => panic!("the controller ended: {ended:?}"),
        };
        Self { ports, runtime, state, stop, running }
    }

    /// Stops it as a signal would.
    pub async fn stop(mut self) -> Arc<TempDir> {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.running.join_next()).await.expect("in time").expect("one");
        ended.expect("no panic").expect("a clean end");
        self.state
    }

    /// The world in which it runs.
    pub fn world(&self) -> Arc<dyn Runtime> {
        self.runtime.clone()
    }

    pub fn admin_token(&self) -> String {
        let file = self.state.path().join("admin.token");
        std::fs::read_to_string(file).expect("an admin token").trim().to_owned()
    }

    /// A new token, by way of the API.
    pub async fn token(&self, node: &str, services: &[&str]) -> Token {
        let body = serde_json::json!({ "node": node, "services": services, "ttlSeconds": 900 }).to_string();
        let (status, answer) = self.post("/v1/tokens", &body).await;
        assert_eq!(status, 201, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        Token::parse(answer["token"].as_str().expect("a token")).expect("a good token")
    }

    pub async fn status(&self) -> sinew_api::status::Status {
        let (status, answer) = self.get("/v1/status").await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).expect("a status")
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let bearer = format!("Authorization: Bearer {}", self.admin_token());
        self.call("GET", path, &[&self.host(), &bearer], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let bearer = format!("Authorization: Bearer {}", self.admin_token());
        self.call("POST", path, &[&self.host(), &bearer, "Content-Type: application/json"], body).await
    }

    pub fn host(&self) -> String {
        format!("Host: {}", self.ports.api)
    }

    /// One HTTP call with exactly these headers.
    pub async fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.ports.api).await.expect("the API listens");
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer));
        read.await.expect("in time").expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status, body.expect("a body"))
    }

    /// The value of one metric, 0 when it has none yet.
    pub async fn metric(&self, name: &str) -> u64 {
        let (status, text) = self.call("GET", "/metrics", &[&self.host()], "").await;
        assert_eq!(status, 200, "{text}");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Waits until every node has acknowledged what it was to know.
    pub async fn calm(&self) {
        let calm = async {
            loop {
                let status = self.status().await;
                if status.nodes.iter().all(|node| node.acknowledged == status.revision) {
                    break;
                }
            }
        };
        timeout(PATIENCE, calm).await.expect("every node acknowledges");
    }

    /// Asks for a metric until it has this value.
    pub async fn metric_becomes(&self, name: &str, expected: u64) {
        let mut seen = 0;
        let asked = async {
            while seen != expected {
                seen = self.metric(name).await;
            }
        };
        let in_time = timeout(PATIENCE, asked).await.is_ok();
        assert!(in_time, "{name} is {seen}, not {expected}");
    }
}
