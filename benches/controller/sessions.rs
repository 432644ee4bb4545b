//! Nodes that are only sessions: they speak the control protocol, and nothing else.
//!
//! Each has a certificate of its own from the mesh's authority and its own socket, a service that it serves and two
//! that it calls, a report every second, and the back-off of a real node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
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
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::api::Api;
use crate::support::{Mesh, now_us, until};

/// Joins at once while the mesh is set up; more than the controller takes are refused.
const JOINING: usize = 32;
/// Services of the mesh: each is served by sessions / services nodes.
const SERVICES: usize = 100;
/// The back-off of a real node.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the sessions of all nodes have come to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Dials so far.
    pub(crate) attempts: AtomicU64,
    /// Dials that came to nothing.
    pub(crate) failures: AtomicU64,
    /// Sessions that were welcomed since the controller's last start.
    pub(crate) welcomed: AtomicUsize,
    /// Those that have taken a snapshot or difference, too.
    pub(crate) current: AtomicUsize,
}

/// Lets `count` nodes join; their sessions live until the set is dropped.
pub(crate) async fn start(mesh: &Mesh, count: usize) -> (Arc<Counts>, JoinSet<()>) {
    let counts = Arc::new(Counts::default());
    let mut sessions = JoinSet::new();
    for (index, credentials) in join_all(mesh, count).await.into_iter().enumerate() {
        let (counts, address) = (Arc::clone(&counts), mesh.controller_address());
        sessions.spawn(async move { counts.live(index, credentials, address).await });
    }
    (counts, sessions)
}

impl Counts {
    /// Waits until so many have taken a snapshot since [`welcomed`](Self::welcomed) was reset.
    pub(crate) async fn all_current(&self, count: usize) {
        while self.current.load(Relaxed) < count {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// One node's control side, for ever.
    async fn live(&self, index: usize, credentials: Credentials, controller: SocketAddr) {
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
        clock_ms: now_us() / 1000,
        links: vec![],
        endpoints: vec![],
        ext: vec![],
    }
}

/// Makes a token for each node and joins with it.
async fn join_all(mesh: &Mesh, count: usize) -> Vec<Credentials> {
    let room = Arc::new(tokio::sync::Semaphore::new(JOINING));
    let mut joins = JoinSet::new();
    let api = Arc::new(Api::of(mesh));
    for index in 0..count {
        let permit = Arc::clone(&room).acquire_owned().await.unwrap();
        let api = Arc::clone(&api);
        joins.spawn(async move {
            let credentials = join(&token(&api, index).await).await;
            drop(permit);
            (index, credentials)
        });
    }
    let mut all = joins.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, credentials)| credentials).collect()
}

async fn token(api: &Api, index: usize) -> Token {
    let body = serde_json::json!({
        "node": format!("n{index}"), "services": [service(index)], "ttlSeconds": 900,
    });
    let answer = api.call("POST", "/v1/tokens", &body).await;
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
