//! A controller's life, in the order in which it can fail: state, keys, sockets, and only then the word
//! that it is ready (`ports.json`). What is served, and how, is told in `accept` and `api`; here is what
//! begins, what ends, and who is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sinew_controller_core::{Answerer, Declared, Mesh};
use sinew_transport::http::HttpListener;
use sinew_transport::runtime::{Access, Phase, Runtime};
use sinew_transport::session::{BindError, SessionListener};
use sinew_transport::{Keyring, Trust};
use sinew_transport_core::ids::NodeName;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::accept::accept_all;
use crate::api::{self, Api};
use crate::authority::{Authority, AuthorityError};
use crate::config::Config;
use crate::credential::{admin_token, reset_keys};
use crate::files::{StateDir, StateError};
use crate::hub::{Hub, Live, Parts};
use crate::ledger::Ledger;
use crate::store::{DiskStore, Store, StoreError};

/// How often the controller compares its own certificate's life with the clock.
const RENEW_LOOK: Duration = Duration::from_hours(1);

/// Why a controller can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The authority can't be made or loaded.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The state directory can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authority is there, and what was kept with it is not.
    #[error(
        "{} is missing or empty, but the authority beside it is not new: was it left out of a restore? Restore it \
         from a backup. Without one, start once with --new-store: nodes that joined keep their certificates, but \
         must be granted again with `sinew apply` or new tokens", store.display()
    )]
    StoreLost {
        /// The file.
        store: PathBuf,
    },
    /// What was kept is there, and the authority is not.
    #[error(
        "{} and {certificate} are missing, but the store beside them has nodes that joined by them; restore both \
         from a backup, or choose another state directory to begin a new mesh, which every node must join",
        key.display()
    )]
    AuthorityLost {
        /// The file of its key.
        key: PathBuf,
        /// The name of its certificate's file.
        certificate: &'static str,
    },
    /// The sockets for sessions can't be had.
    #[error(transparent)]
    Sessions(#[from] BindError),
    /// The socket of the API can't be had.
    #[error(
        "listening for the API on {address}: {source}; is another controller running? Choose another `api`, or port 0 for any"
    )]
    Api {
        /// What was tried.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The socket for sessions was closed under us.
    #[error("the socket for sessions at {0} is gone; start the controller again")]
    SocketGone(SocketAddr),
}

/// Attempts to read the configuration again, the newest one only: the configuration, or its mistakes. None before the
/// first.
pub type Reloads = watch::Receiver<Option<Result<Config, String>>>;

/// Where a controller listens: the content of `ports.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Control sessions and joins, UDP.
    pub control: SocketAddr,
    /// The HTTP API.
    pub api: SocketAddr,
}

impl Ports {
    /// The name of its file in the state directory.
    pub const FILE: &'static str = "ports.json";
}

/// Runs a controller on a store until `stop`: opens its state, binds its sockets, says where it listens, and serves
/// sessions and the API; then says farewell and returns.
///
/// # Errors
/// [`RunError`] when it can't begin, or can't go on.
pub async fn run(
    config: Config,
    runtime: Arc<dyn Runtime>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let (_never, reloads) = watch::channel(None);
    run_reloading(config, reloads, runtime, store, stop).await
}

/// The same, with a configuration that may be read again while the controller runs.
///
/// # Errors
/// As [`run`]. What is read later never ends it.
pub async fn run_reloading(
    config: Config,
    reloads: Reloads,
    runtime: Arc<dyn Runtime>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let state = StateDir::new(&config.state, &runtime);
    let (authority, mut ledger) = begin(&config, &state, store, runtime.wall_now()).await?;
    let (admin_token, keys) = (admin_token(&state)?, reset_keys(&state)?);
    let credentials = authority.issue_controller(&state, &config.name, runtime.wall_now())?;

    let keyring = Arc::new(Keyring::new(credentials));
    let trust = Arc::new(Trust::alone(config.expiry_grace));
    let own = Arc::clone(&keyring);
    let sessions = Arc::new(SessionListener::bind_with(&runtime, config.listen, own, &keys, &trust)?);
    let api_error = |source| RunError::Api { address: config.api, source };
    let api = runtime.listen(config.api).map_err(api_error)?;
    let ports = Ports { control: sessions.local_addr(), api: api.local_addr().map_err(api_error)? };
    let api = HttpListener::new(api);

    let started = Instant::now();
    let mut mesh = Mesh::new(config.default_policy, ledger.last_revision(), ledger.grants().clone());
    if !ledger.resources().is_empty() {
        mesh.declare(Declared::new(ledger.resources()));
    }
    mesh.restore(started.elapsed(), ledger.take_registrations());
    let supervised = Arc::clone(&runtime);
    let hub = Arc::new(Hub::new(Parts {
        answerer: Answerer {
            trust_domain: authority.trust_domain().clone(),
            controller: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        authority,
        live: live(&config, ports.control),
        runtime,
        mesh,
        ledger,
        started,
    }));
    state.write_json(Ports::FILE, &ports, Access::Public)?;
    supervised.tell_supervisor(Phase::Ready);
    supervised.retire_untaken();
    tracing::info!(control = %ports.control, api = %ports.api, trust_domain = %config.trust_domain, "controller ready");

    // When the socket for sessions is gone, the rest ends as if it was asked to.
    let ending = stop.child_token();
    let serving_sessions = async {
        accept_all(&hub, &sessions, ending.clone()).await;
        ending.cancel();
    };
    let serving_api = api::serve(api, Api::new(&hub, &sessions, admin_token), ending.clone());
    tokio::select! {
        ((), ()) = async { tokio::join!(serving_sessions, serving_api) } => {}
        () = hub.keep_time() => {}
        () = follow(&hub, &config, ports.control, reloads) => {}
        () = renew_own(&hub, &state, &config.name, &keyring) => {}
        () = tell_stopping(&*supervised, &stop) => {}
    }
    hub.save().await;
    if stop.is_cancelled() {
        tracing::info!("controller stopped");
        Ok(())
    } else {
        Err(RunError::SocketGone(ports.control))
    }
}

/// Authority and ledger, which belong together: one without the other is a half of what there was, and going on
/// with a new other half would take the mesh from its nodes.
async fn begin(
    config: &Config,
    state: &StateDir,
    store: Arc<dyn Store>,
    now: Duration,
) -> Result<(Authority, Ledger), RunError> {
    let mut ledger = Ledger::load(store).await?;
    let open = || Authority::open(state, &config.trust_domain, now);
    if Authority::is_in(state)? {
        if ledger.is_new() && !config.new_store {
            return Err(RunError::StoreLost { store: state.path(DiskStore::FILE) });
        }
        let authority = open()?;
        ledger.begin().await?;
        return Ok((authority, ledger));
    }
    if !ledger.is_bare() {
        let [key, certificate] = Authority::FILES;
        return Err(RunError::AuthorityLost { key: state.path(key), certificate });
    }
    // In this order: an authority never stands beside a store that was not begun.
    ledger.begin().await?;
    Ok((open()?, ledger))
}

/// Tells the service manager when the controller begins to stop; for as long as it is polled.
async fn tell_stopping(supervised: &dyn Runtime, stop: &CancellationToken) {
    stop.cancelled().await;
    supervised.tell_supervisor(Phase::Stopping);
    std::future::pending().await
}

/// Issues the controller's own certificate anew at half its life; for as long as it is polled.
async fn renew_own(hub: &Hub, state: &StateDir, name: &NodeName, keyring: &Keyring) {
    loop {
        let half = keyring.current().validity().half();
        // In short sleeps, so that a clock that was set is noticed.
        while hub.wall_now() < half {
            sleep(half.saturating_sub(hub.wall_now()).min(RENEW_LOOK)).await;
        }
        match hub.authority.issue_controller(state, name, hub.wall_now()) {
            Ok(credentials) => {
                keyring.exchange(credentials);
                tracing::info!("the controller's own certificate was renewed");
            }
            Err(error) => tracing::error!(%error, "the controller's own certificate was not renewed"),
        }
        sleep(RENEW_LOOK).await;
    }
}

fn live(config: &Config, bound: SocketAddr) -> Live {
    Live { certificate_ttl: config.certificate_ttl, advertised: advertised(config, bound) }
}

/// Takes every attempt to read the configuration again, for ever.
async fn follow(hub: &Hub, started: &Config, bound: SocketAddr, mut reloads: Reloads) {
    hub.metrics.read_well(hub.wall_now());
    while reloads.changed().await.is_ok() {
        match reloads.borrow_and_update().clone() {
            Some(Ok(config)) => {
                hub.reconfigure(live(&config, bound), config.default_policy);
                hub.metrics.read_well(hub.wall_now());
                match started.restart_keys(&config) {
                    keys if keys.is_empty() => tracing::info!("configuration reloaded"),
                    keys => {
                        tracing::warn!(?keys, "configuration reloaded; what these keys say needs a restart")
                    }
                }
            }
            Some(Err(mistakes)) => {
                hub.metrics.reload_successful.set(0);
                tracing::error!(%mistakes, "the configuration can't be used; the one before stays in use");
            }
            None => {}
        }
    }
    std::future::pending().await
}

/// What tokens say about where the controller is.
fn advertised(config: &Config, bound: SocketAddr) -> Vec<SocketAddr> {
    if !config.advertise.is_empty() {
        return config.advertise.clone();
    }
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    vec![SocketAddr::new(ip, bound.port())]
}
