//! A thousand nodes that lose their controller and come back at once: how long until all are back, and what
//! that costs the controller.
//!
//! The controller is the program; the nodes are sessions in this process that speak the control protocol, each
//! with a certificate of its own from the same authority, a service that it serves and two that it calls, a
//! report every second, and the back-off of a real node. How many: `SINEW_STORM_SESSIONS`, 1,000 unless told.
//! The figures are printed: `cargo test --release --test identity storm -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sinew_api::Delta;
use sinew_api::control::{Ack, Farewell, Listen, Register, Report, SnapshotChunk, Welcome};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::join::{JoinAnswer, JoinRequest, Token};
use sinew_node_core::Backoff;
use sinew_transport::session::{dial_control, dial_join};
use sinew_transport::verify::Refusals;
use sinew_transport::{Credentials, OsRuntime, Runtime};
use sinew_transport_core::ids::{Revision, ServiceName};
use sinew_transport_core::wire::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::connections::now;
use crate::support::{Mesh, until};

/// Sessions unless told otherwise.
const SESSIONS: usize = 1000;
/// Joins at once while the mesh is set up; more than the controller takes are refused.
const JOINING: usize = 32;
/// Services of the mesh: each is served by sessions / services nodes.
const SERVICES: usize = 100;
/// All must be back within this; a debug build on a busy machine is slow.
const LIMIT: Duration = Duration::from_mins(2);
/// The back-off of a real node.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement; takes a minute"]
async fn a_thousand_sessions_come_back_to_a_restarted_controller() {
    let told = std::env::var("SINEW_STORM_SESSIONS").ok().and_then(|told| told.parse().ok());
    let count = told.unwrap_or(SESSIONS);
    let mut mesh = Mesh::start().await;
    let began = Instant::now();
    let members = join_all(&mesh, count).await;
    println!("{count} nodes joined in {:?}", began.elapsed());

    let storm = Arc::new(Storm::default());
    let mut sessions = JoinSet::new();
    for (index, credentials) in members.into_iter().enumerate() {
        let storm = Arc::clone(&storm);
        let address = mesh.controller_address();
        sessions.spawn(async move { storm.live(index, credentials, address).await });
    }
    let first = storm.all(count, 0).await;
    println!("first start: {first}");
    println!("  controller: {}", Cost::of(mesh.controller_pid()));

    for (killed, kind) in [(true, "killed (SIGKILL)"), (false, "stopped (SIGTERM)")] {
        let (lost, attempts) = (Instant::now(), storm.attempts.load(Relaxed));
        if killed {
            mesh.kill_controller().await;
        } else {
            mesh.stop_controller().await;
        }
        storm.welcomed.store(0, Relaxed);
        storm.current.store(0, Relaxed);
        mesh.start_controller().await;
        let back = storm.all(count, attempts).await;
        println!("{kind}, back {:?} after: {back}", lost.elapsed());
        println!("  controller: {}", Cost::of(mesh.controller_pid()));
    }
    sessions.shutdown().await;
}

/// What the sessions of all nodes have come to.
#[derive(Debug, Default)]
struct Storm {
    /// Dials so far.
    attempts: AtomicU64,
    /// Dials that came to nothing.
    failures: AtomicU64,
    /// Sessions that were welcomed since the controller's last start.
    welcomed: AtomicUsize,
    /// Those that have taken a snapshot or difference, too.
    current: AtomicUsize,
}

impl Storm {
    /// Waits until all sessions are back, and says what that took.
    async fn all(&self, count: usize, attempts: u64) -> String {
        let began = Instant::now();
        let (mut half, mut most, mut welcomed) = (None, None, None);
        while self.current.load(Relaxed) < count {
            let now = self.welcomed.load(Relaxed);
            let reached = |share: usize| (now >= count * share / 100).then(|| began.elapsed());
            half = half.or_else(|| reached(50));
            most = most.or_else(|| reached(99));
            welcomed = welcomed.or_else(|| reached(100));
            assert!(began.elapsed() < LIMIT, "{now} of {count} welcomed, {self:?}");
            sleep(Duration::from_millis(5)).await;
        }
        let all = began.elapsed();
        let (half, most, welcomed) = (half.unwrap_or(all), most.unwrap_or(all), welcomed.unwrap_or(all));
        format!(
            "welcomed 50 % {half:.2?}, 99 % {most:.2?}, all {welcomed:.2?}; all with their snapshot {:.2?}; {} dials, {} failed so far",
            all,
            self.attempts.load(Relaxed) - attempts,
            self.failures.load(Relaxed),
        )
    }

    /// One node's control side, for ever.
    async fn live(&self, index: usize, credentials: Credentials, controller: std::net::SocketAddr) {
        let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
        let refusals = Arc::new(Refusals::default());
        let mut rng = fastrand::Rng::with_seed(index as u64);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut have = None;
        loop {
            self.attempts.fetch_add(1, Relaxed);
            match dial_control(&runtime, controller, &credentials, &refusals).await {
                Ok(session) => {
                    let register = register(index, have, credentials.expiry());
                    if self.hold(session, &register, &mut have, &credentials).await {
                        backoff.reset();
                    }
                }
                Err(_) => drop(self.failures.fetch_add(1, Relaxed)),
            }
            sleep(backoff.next(&mut rng)).await;
        }
    }

    /// One session to its end; whether it was welcomed.
    async fn hold(
        &self,
        session: sinew_transport::Session,
        register: &Register,
        have: &mut Option<Revision>,
        credentials: &Credentials,
    ) -> bool {
        let sinew_transport::Session { mut sender, mut receiver, .. } = session;
        if sender.send(register).await.is_err() {
            return false;
        }
        let (frames, mut inbox) = tokio::sync::mpsc::channel(16);
        let reading = async move {
            while let Ok(frame) = receiver.next().await {
                if frames.send(frame).await.is_err() {
                    return;
                }
            }
        };
        let (mut welcomed, mut current) = (false, false);
        let talking = async {
            let mut reports = interval(Duration::from_secs(1));
            loop {
                let revision = tokio::select! {
                    frame = inbox.recv() => match frame {
                        None => return,
                        Some(frame) => match frame.kind() {
                            Welcome::KIND => {
                                welcomed = true;
                                self.welcomed.fetch_add(1, Relaxed);
                                // A node that already has the newest snapshot is sent none.
                                if have.is_some() {
                                    current = true;
                                    self.current.fetch_add(1, Relaxed);
                                }
                                continue;
                            }
                            SnapshotChunk::KIND => {
                                let chunk: SnapshotChunk = frame.decode().expect("a chunk");
                                if chunk.index + 1 < chunk.count {
                                    continue;
                                }
                                chunk.revision
                            }
                            Delta::KIND => frame.decode::<Delta>().expect("a difference").to,
                            Farewell::KIND => return,
                            _ => continue,
                        },
                    },
                    _ = reports.tick() => {
                        if sender.send(&report(credentials)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                };
                *have = Some(revision);
                if sender.send(&Ack { revision }).await.is_err() {
                    return;
                }
                if !std::mem::replace(&mut current, true) {
                    self.current.fetch_add(1, Relaxed);
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = talking => {}
        }
        welcomed
    }
}

fn service(index: usize) -> ServiceName {
    ServiceName::new(&format!("service-{}", index % SERVICES)).expect("valid")
}

fn register(index: usize, have: Option<Revision>, expiry: u64) -> Register {
    let listen = |other: usize| Listen { service: service(index + other), source: Some(service(index)) };
    Register {
        version: "storm".into(),
        boot: index as u64 + 1,
        addresses: vec![([127, 0, 0, 1], 7410).into()],
        zone: None,
        serves: vec![Serve {
            service: service(index),
            slot: 0,
            labels: BTreeMap::new(),
            capacity: CAPACITY_DEFAULT,
            health: Health::Up,
        }],
        serving: 1,
        listens: vec![listen(1), listen(7)],
        certificate_expiry: expiry,
        have,
        ext: vec![],
    }
}

fn report(credentials: &Credentials) -> Report {
    Report {
        certificate_expiry: credentials.expiry(),
        certificate_issued: credentials.validity().issued(),
        clock_ms: u64::try_from(now().as_millis()).expect("some 200 million years"),
        links: vec![],
        endpoints: vec![],
        ext: vec![],
    }
}

/// Makes a token for each node and joins with it.
async fn join_all(mesh: &Mesh, count: usize) -> Vec<Credentials> {
    let room = Arc::new(tokio::sync::Semaphore::new(JOINING));
    let mut joins = JoinSet::new();
    let admin = std::fs::read_to_string(mesh.controller_state().join("admin.token")).unwrap();
    let (api, admin): (_, Arc<str>) = (mesh.api_address(), admin.trim().into());
    for index in 0..count {
        let permit = Arc::clone(&room).acquire_owned().await.unwrap();
        let admin = Arc::clone(&admin);
        joins.spawn(async move {
            let credentials = join(&token(api, &admin, index).await).await;
            drop(permit);
            (index, credentials)
        });
    }
    let mut all = joins.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, credentials)| credentials).collect()
}

async fn token(api: std::net::SocketAddr, admin: &str, index: usize) -> Token {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let body = serde_json::json!({
        "node": format!("n{index}"), "services": [service(index)], "ttlSeconds": 900,
    });
    let body = body.to_string();
    let mut stream = TcpStream::connect(api).await.unwrap();
    let request = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {admin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    Token::parse(answer["token"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

async fn join(token: &Token) -> Credentials {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
    let joined = until("a node to join", || async {
        let (refusals, at) = (Arc::new(Refusals::default()), token.controllers[0]);
        let session = dial_join(&runtime, at, &token.trust_domain, token.root_pin, &refusals).await;
        let mut session = session.map_err(|error| error.to_string())?;
        let request = JoinRequest { secret: token.secret.expose().to_owned(), csr: csr.clone() };
        session.sender.send(&request).await.map_err(|error| error.to_string())?;
        let frame = timeout(Duration::from_secs(5), session.receiver.next()).await;
        let frame = frame.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        frame.decode::<JoinAnswer>().map_err(|error| error.to_string())
    });
    match joined.await.unwrap() {
        JoinAnswer::Joined { certificate, root } => {
            let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            Credentials::new(vec![CertificateDer::from(certificate)], key, CertificateDer::from(root))
                .unwrap()
        }
        refused => panic!("{refused:?}"),
    }
}

/// What a process has used.
struct Cost {
    cpu: Duration,
    peak_kib: u64,
}

impl Cost {
    fn of(pid: u32) -> Self {
        /// Of `/proc`: USER_HZ, the same on every Linux that we run on.
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let rest = stat.rsplit(") ").next().unwrap();
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib = peak.trim().trim_end_matches(" kB").parse().unwrap();
        Self { cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND), peak_kib }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} s of CPU since its start, {} MiB at most",
            self.cpu.as_secs_f64(),
            self.peak_kib / 1024
        )
    }
}
