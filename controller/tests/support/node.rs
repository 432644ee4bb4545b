//! The far end of a controller: someone who joins, and a node with a session.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sinew_api::control::{Ack, Farewell, Listen, Register, Reject, Report, SnapshotChunk, Welcome};
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};
use sinew_api::join::{JoinAnswer, JoinRequest, Token};
use sinew_api::{Delta, Snapshot, delta};
use sinew_transport::session::{DialError, Session, SessionEnd, dial_control, dial_join};
use sinew_transport::tls::Credentials;
use sinew_transport::verify::Refusals;
use sinew_transport_core::ids::{Revision, ServiceName};
use sinew_transport_core::wire::{self, Message};

use super::*;

/// Joins with a token, in the role of a new node.
pub async fn join(controller: &Controller, token: &Token) -> Result<Credentials, JoinAnswer> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).expect("a request").der().to_vec();
    match join_with(controller, token, csr).await {
        JoinAnswer::Joined { certificate, root } => {
            let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            let (certificate, root) = (CertificateDer::from(certificate), CertificateDer::from(root));
            Ok(Credentials::new(vec![certificate], key, root).expect("usable"))
        }
        refused => Err(refused),
    }
}

/// Joins with a token and any bytes for a certificate request.
pub async fn join_with(controller: &Controller, token: &Token, csr: Vec<u8>) -> JoinAnswer {
    let mut session = dial(controller, token).await.expect("the pin is right");
    let request = JoinRequest { secret: token.secret.expose().to_owned(), csr };
    session.sender.send(&request).await.expect("sent");
    let frame = timeout(PATIENCE, session.receiver.next()).await.expect("in time").expect("an answer");
    frame.decode().expect("a join answer")
}

/// A connection for joining.
pub async fn dial(controller: &Controller, token: &Token) -> Result<Session, DialError> {
    let refusals = Arc::new(Refusals::default());
    let (address, domain) = (controller.ports.control, &token.trust_domain);
    dial_join(&controller.world(), address, domain, token.root_pin, &refusals).await
}

/// A registration that serves `serves`, and calls `calls` as `web`.
pub fn register(serves: &[&str], calls: &[&str]) -> Register {
    let service = |name: &str| ServiceName::new(name).expect("valid");
    Register {
        version: "test".into(),
        boot: 1,
        addresses: vec!["0.0.0.0:7410".parse().expect("valid")],
        zone: None,
        serves: serves
            .iter()
            .zip(0..)
            .map(|(name, slot)| Serve {
                service: service(name),
                slot,
                labels: Default::default(),
                capacity: CAPACITY_DEFAULT,
                health: Health::Up,
            })
            .collect(),
        listens: calls
            .iter()
            .map(|name| Listen { service: service(name), source: Some(service("web")) })
            .collect(),
        serving: 0,
        certificate_expiry: 2_000_000_000,
        have: None,
        ext: Vec::new(),
    }
}

/// What a node hears from its controller.
#[derive(Debug)]
pub enum Heard {
    Welcome(Welcome),
    Snapshot(Snapshot),
    Farewell(Farewell),
}

/// A node with a control session.
pub struct Node {
    pub session: Session,
    /// Of the last snapshot, or of the difference that led to it.
    pub revision: Revision,
    /// What is in use here.
    held: Snapshot,
    /// How the last snapshot came: as a difference of so many bytes.
    pub delta_len: Option<usize>,
}

impl Node {
    /// A node that joined, opened a session and was welcomed.
    pub async fn up(
        controller: &Controller,
        name: &str,
        serves: &[&str],
        calls: &[&str],
    ) -> (Self, Credentials) {
        let services: Vec<_> = serves.iter().copied().chain(["web"]).collect();
        let credentials = join(controller, &controller.token(name, &services).await).await.expect("joined");
        let node = Self::welcomed(controller, &credentials, serves, calls).await;
        (node, credentials)
    }

    /// A node that joined before: opens a session and is welcomed.
    pub async fn welcomed(
        controller: &Controller,
        credentials: &Credentials,
        serves: &[&str],
        calls: &[&str],
    ) -> Self {
        let mut node = Self::open(controller, credentials, &register(serves, calls)).await;
        let heard = node.hear().await;
        assert!(matches!(heard, Some(Heard::Welcome(_))), "{heard:?}");
        node
    }

    /// Opens a session and registers.
    pub async fn open(controller: &Controller, credentials: &Credentials, register: &Register) -> Self {
        let refusals = Arc::new(Refusals::default());
        let mut session = dial_control(&controller.world(), controller.ports.control, credentials, &refusals)
            .await
            .expect("a session");
        session.sender.send(register).await.expect("sent");
        Self { session, revision: Revision(0), held: Snapshot::default(), delta_len: None }
    }

    /// The next thing that the controller says; none when the session ended.
    pub async fn hear(&mut self) -> Option<Heard> {
        let mut bytes = Vec::new();
        loop {
            let frame = timeout(PATIENCE, self.session.receiver.next()).await.expect("in time").ok()?;
            match frame.kind() {
                Welcome::KIND => return Some(Heard::Welcome(frame.decode().expect("a welcome"))),
                Farewell::KIND => return Some(Heard::Farewell(frame.decode().expect("a farewell"))),
                SnapshotChunk::KIND => {
                    let chunk: SnapshotChunk = frame.decode().expect("a chunk");
                    bytes.extend(chunk.bytes);
                    if chunk.index + 1 == chunk.count {
                        let snapshot: Snapshot = wire::decode_part(&bytes).expect("a snapshot");
                        assert_eq!(snapshot.revision, chunk.revision);
                        self.revision = snapshot.revision;
                        self.delta_len = None;
                        return Some(Heard::Snapshot(snapshot));
                    }
                }
                Delta::KIND => {
                    let delta: Delta = frame.decode().expect("a difference");
                    self.delta_len = Some(wire::encode(&delta).len());
                    self.revision = delta.to;
                    let snapshot = delta::apply(&self.held, delta).expect("it starts from what is in use");
                    return Some(Heard::Snapshot(snapshot));
                }
                kind => panic!("frame kind {kind}"),
            }
        }
    }

    /// The next snapshot, whole or as a difference; not answered.
    pub async fn offered(&mut self) -> Snapshot {
        match self.hear().await {
            Some(Heard::Snapshot(snapshot)) => snapshot,
            other => panic!("a snapshot was due, not {other:?}"),
        }
    }

    /// The next snapshot, which is acknowledged.
    pub async fn snapshot(&mut self) -> Snapshot {
        self.held = self.offered().await;
        self.ack().await;
        self.held.clone()
    }

    /// Begins with what was in use before.
    pub fn holds(&mut self, snapshot: Snapshot) {
        self.held = snapshot;
    }

    /// The next snapshot of which this is true.
    pub async fn snapshot_where(&mut self, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        loop {
            let snapshot = self.snapshot().await;
            if wanted(&snapshot) {
                return snapshot;
            }
        }
    }

    /// The controller's last words, whatever came before them.
    pub async fn farewell(&mut self) -> Farewell {
        loop {
            match self.hear().await {
                Some(Heard::Farewell(farewell)) => return farewell,
                Some(_) => {}
                None => panic!("the session ended without a farewell"),
            }
        }
    }

    /// How the session ended.
    pub async fn ended(&self) -> SessionEnd {
        timeout(PATIENCE, self.session.closer().closed()).await.expect("in time")
    }

    async fn ack(&mut self) {
        self.session.sender.send(&Ack { revision: self.revision }).await.expect("sent");
    }

    pub async fn reject(&mut self, name: &str, reason: &str) {
        let reject = Reject { revision: self.revision, name: name.into(), reason: reason.into() };
        self.session.sender.send(&reject).await.expect("sent");
    }

    pub async fn report(&mut self, report: &Report) {
        self.session.sender.send(report).await.expect("sent");
    }

    /// Ends the session as a node that stops.
    pub fn close(self) {
        self.session.closer().close("the node stops");
    }
}

/// The endpoints of a snapshot, as `service at node/slot`.
pub fn endpoints(snapshot: &Snapshot) -> Vec<String> {
    let of = |s: &sinew_api::snapshot::Service| {
        s.endpoints.iter().map(|e| format!("{} at {}/{}", s.name, e.node, e.slot)).collect::<Vec<_>>()
    };
    snapshot.services.iter().flat_map(of).collect()
}
