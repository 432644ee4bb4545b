//! What sessions, joins and the API share: the mesh, the ledger, the authority, the clocks.
//!
//! The mesh's lock is short and never crosses an await; the ledger's waits for the disk, and holds up only
//! whoever writes, too. [`Hub::change`] is the only way to change the mesh so that
//! somebody may have to hear of it: it wakes every session, and each asks for its own turn. Nothing is
//! handed to them, so nothing piles up before a slow one.

mod attendance;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use sinew_api::control::Register;
use sinew_api::join::{MAX_TOKEN_LEN, Token};
use sinew_api::snapshot::DefaultPolicy;
use sinew_api::status::{API_VERSION, CreatedToken, NewToken, Status};
use sinew_controller_core::{Answerer, Declared, Grant, Mesh, Mistake, Outcome, SecretHash};
use sinew_transport::LogLimit;
use sinew_transport::runtime::Runtime;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};
use tokio::sync::{MutexGuard, watch};
use tokio::time::Instant;

pub(crate) use attendance::Attendance;

use crate::authority::Authority;
use crate::credential::random_secret;
use crate::ledger::{CreateError, Ledger};
use crate::metrics::Metrics;
use crate::store::StoreError;

/// How long registrations are collected before they are saved: a storm of them is one write. What a crash
/// loses of them the nodes bring back.
const SAVE_AFTER: Duration = Duration::from_millis(250);

/// After how many revisions it is tried again to reserve some, when the store failed: not with every change, of
/// which there may be thousands a second.
const RESERVE_AGAIN: u64 = 1000;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) authority: Authority,
    pub(crate) metrics: Metrics,
    /// What is logged of calls that the API refuses.
    pub(crate) api_refusals: LogLimit,
    answerer: Answerer,
    live: Mutex<Live>,
    runtime: Arc<dyn Runtime>,
    started: Instant,
    mesh: Mutex<Mesh>,
    /// Whoever changes it holds it while the disk writes; nothing that must be quick waits for it.
    ledger: tokio::sync::Mutex<Ledger>,
    changed: watch::Sender<()>,
    answered: watch::Sender<()>,
}

/// What may be changed while the controller runs.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// The life of a node's certificate.
    pub(crate) certificate_ttl: Duration,
    /// What tokens say about where controllers are.
    pub(crate) advertised: Vec<SocketAddr>,
}

/// What a hub is made of.
pub(crate) struct Parts {
    pub(crate) authority: Authority,
    pub(crate) live: Live,
    pub(crate) answerer: Answerer,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) mesh: Mesh,
    pub(crate) ledger: Ledger,
    /// The moment from which the mesh's times count.
    pub(crate) started: Instant,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoToken {
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error("the mesh is full: {0} nodes have joined; remove some, or begin another mesh")]
    Full(usize),
    #[error("the token would be longer than {MAX_TOKEN_LEN} bytes; name fewer services")]
    TooLong,
}

impl Hub {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            authority: parts.authority,
            metrics: Metrics::default(),
            api_refusals: LogLimit::default(),
            answerer: parts.answerer,
            live: Mutex::new(parts.live),
            runtime: parts.runtime,
            started: parts.started,
            mesh: Mutex::new(parts.mesh),
            ledger: tokio::sync::Mutex::new(parts.ledger),
            changed: watch::Sender::new(()),
            answered: watch::Sender::new(()),
        }
    }

    /// What may be changed while the controller runs.
    pub(crate) fn live(&self) -> Live {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a configuration that was read again.
    pub(crate) fn reconfigure(&self, live: Live, default: DefaultPolicy) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live;
        self.change(|mesh| mesh.set_default(default));
    }

    /// Who answers.
    pub(crate) fn answerer(&self) -> &Answerer {
        &self.answerer
    }

    /// Wall time since 1970.
    pub(crate) fn wall_now(&self) -> Duration {
        self.runtime.wall_now()
    }

    /// Something that notices every change from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Changes the mesh, and wakes whoever may have to hear of it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Mesh) -> T) -> T {
        let result = change(&mut lock(&self.mesh));
        self.changed.send_replace(());
        result
    }

    /// The ledger, sure of what is on disk.
    pub(crate) async fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, StoreError> {
        let mut ledger = self.ledger.lock().await;
        if ledger.make_sure().await? {
            let (declared, grants) = (Declared::new(ledger.resources()), ledger.grants().clone());
            self.change(|mesh| {
                grants.into_iter().for_each(|(node, services)| mesh.grant(&node, services));
                mesh.declare(declared)
            });
        }
        Ok(ledger)
    }

    /// Something that notices every answer of a node from now on.
    pub(crate) fn watch_answers(&self) -> watch::Receiver<()> {
        self.answered.subscribe()
    }

    /// Tells that a node has answered a push.
    pub(crate) fn on_answer(&self) {
        self.answered.send_replace(());
    }

    /// Looks at the mesh, or notes what nobody must hear of.
    pub(crate) fn mesh<T>(&self, note: impl FnOnce(&mut Mesh) -> T) -> T {
        note(&mut lock(&self.mesh))
    }

    /// Takes a node's registration; what comes back must be ended when the session is.
    pub(crate) fn register(
        self: &Arc<Self>,
        node: &NodeName,
        register: Register,
        from: IpAddr,
    ) -> Result<Attendance, Vec<Mistake>> {
        let registered = self.change(|mesh| mesh.register(node, register, from))?;
        if registered.another_run {
            tracing::warn!(%node, %from, "another process takes over a node from one that still had a session: a restart, or a copied state directory");
        }
        Ok(Attendance::new(self, node.clone(), registered.session, registered.granted))
    }

    /// Sleeps until the mesh has something to do by itself, and does it; keeps revisions from being handed out
    /// twice. For as long as it is polled.
    pub(crate) async fn keep_time(&self) {
        let mut changed = self.watch();
        let (mut save_at, mut reserved) = (None, Revision::default());
        loop {
            let (deadline, revision, unsaved) =
                self.mesh(|mesh| (mesh.poll_timeout(), mesh.revision(), mesh.has_unsaved()));
            if revision >= reserved {
                reserved = self.reserve(revision).await;
            }
            save_at = save_at.or_else(|| unsaved.then(|| Instant::now() + SAVE_AFTER));
            tokio::select! {
                _ = changed.changed() => {}
                () = sleep_until(save_at) => {
                    save_at = None;
                    self.save().await;
                }
                () = sleep_until(deadline.map(|at| self.started + at)) => {
                    let now = self.started.elapsed();
                    // Once a second weights are made; nobody is woken unless one moved.
                    if self.mesh(|mesh| mesh.handle_timeout(now)) {
                        self.change(|_| tracing::debug!("the mesh forgot a node, or has new weights"));
                    }
                }
            }
        }
    }

    /// Reserves revisions; up to which one nobody needs to ask again.
    async fn reserve(&self, revision: Revision) -> Revision {
        let reserved = async { self.ledger().await?.reserve(revision).await };
        reserved.await.unwrap_or_else(|error| {
            tracing::error!(%error, %revision, "revisions are not kept: after a restart their numbers would repeat");
            Revision(revision.0 + RESERVE_AGAIN)
        })
    }

    /// Saves who is registered with what.
    pub(crate) async fn save(&self) {
        let registrations = self.mesh(|mesh| mesh.take_unsaved());
        if registrations.is_empty() {
            return;
        }
        let saved = async { self.ledger().await?.save(&registrations).await };
        if let Err(error) = saved.await {
            tracing::error!(%error, "registrations are not saved: after a restart, nodes that are slow to come back are missed");
            self.mesh(|mesh| mesh.still_unsaved(registrations.into_keys()));
        }
    }

    /// The mesh as the API shows it.
    pub(crate) fn status(&self) -> Status {
        self.mesh(|mesh| mesh.status(&self.answerer))
    }

    /// Makes a token. Its text is in the answer and nowhere else.
    pub(crate) async fn create_token(&self, new: NewToken) -> Result<CreatedToken, NoToken> {
        let grant = Grant { node: new.node, services: new.services.into_iter().collect() };
        let (room, nodes) = self.mesh(|mesh| (mesh.has_room_for(&grant.node), mesh.grants().len()));
        if !room {
            return Err(NoToken::Full(nodes));
        }
        let secret = random_secret();
        let hash = hash_of(secret.expose());
        let token = Token {
            trust_domain: self.answerer.trust_domain.clone(),
            root_pin: sha256(self.authority.root()),
            controllers: self.live().advertised,
            node: grant.node.clone(),
            services: grant.services.iter().cloned().collect(),
            secret,
        };
        let text = token.to_text();
        if text.expose().len() > MAX_TOKEN_LEN {
            return Err(NoToken::TooLong);
        }
        let (now, ttl) = (self.wall_now().as_secs(), Duration::from_secs(new.ttl_seconds));
        let expires =
            self.ledger().await.map_err(CreateError::from)?.create_token(now, hash, grant, ttl).await?;
        self.metrics.tokens_created.inc();
        let services = token.services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(node = %token.node, services, expires, token = hash.short(), "token made");
        Ok(CreatedToken { api_version: API_VERSION.to_owned(), token: text.expose().to_owned(), expires })
    }

    /// What redeeming a secret would give; changes nothing.
    pub(crate) async fn look(&self, hash: &SecretHash) -> Result<Outcome, StoreError> {
        Ok(self.ledger().await?.look(self.wall_now().as_secs(), hash))
    }

    /// Uses a secret up, if it is good, and grants its services to its node.
    pub(crate) async fn redeem(&self, hash: &SecretHash) -> Result<Outcome, StoreError> {
        let outcome = self.ledger().await?.redeem(self.wall_now().as_secs(), hash).await?;
        if let Outcome::Granted(grant) = &outcome {
            self.change(|mesh| mesh.grant(&grant.node, grant.services.clone()));
        }
        Ok(outcome)
    }

    /// Brings the gauges up to date; that of tokens stays while the ledger waits for the disk.
    pub(crate) fn measure(&self) {
        let (nodes, revision, moved) =
            self.mesh(|mesh| (mesh.node_count(), mesh.revision(), mesh.weights_moved()));
        self.metrics.weights_moved.inner().store(moved, Relaxed);
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.nodes.set(gauge(nodes));
        self.metrics.tasks.set(gauge(tokio::runtime::Handle::current().metrics().num_alive_tasks()));
        self.metrics.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
        if let Ok(ledger) = self.ledger.try_lock() {
            self.metrics.tokens_outstanding.set(gauge(ledger.outstanding(self.wall_now().as_secs())));
        }
    }
}

/// SHA-256 of a secret as its token spells it.
pub(crate) fn hash_of(secret: &str) -> SecretHash {
    SecretHash(sha256(secret.as_bytes()))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// A panic while it was held was a defect of ours, and cost one session; the others go on with a mesh
/// that registrations correct.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until then; without a moment, forever.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
