//! Configuration that is read again while the node runs.
//!
//! Whoever starts the node reads and parses the file, when and how it sees fit, and passes each attempt on here. A bad
//! one changes nothing; of a good one the live keys come into use, and the others are named: they need a restart.

use std::sync::Arc;

use sinew_node_core::Config;
use tokio::sync::watch;

use crate::plane::Plane;

/// Attempts to read the configuration again, the newest one only: the configuration, or that it has mistakes. None
/// before the first.
pub type Reloads = watch::Receiver<Option<Result<Config, String>>>;

/// Takes every attempt, for ever.
pub(crate) async fn follow(plane: Arc<Plane>, mut reloads: Reloads) {
    read_well(&plane);
    while reloads.changed().await.is_ok() {
        match reloads.borrow_and_update().clone() {
            Some(Ok(config)) => {
                let restart = plane.reconfigure(config);
                read_well(&plane);
                if restart.is_empty() {
                    tracing::info!("configuration reloaded");
                } else {
                    tracing::warn!(keys = ?restart, "configuration reloaded; what these keys say needs a restart");
                }
            }
            Some(Err(mistakes)) => {
                plane.metrics.reload_successful.set(0);
                tracing::error!(%mistakes, "the configuration can't be used; the one before stays in use");
            }
            None => {}
        }
    }
}

fn read_well(plane: &Plane) {
    plane.metrics.reload_successful.set(1);
    let now = plane.runtime.wall_now().as_secs();
    plane.metrics.reload_success_time.set(i64::try_from(now).unwrap_or(i64::MAX));
}
