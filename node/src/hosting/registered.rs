//! Endpoints that come and go by the word of somebody on the node's machine, within the node's grants.
//!
//! They are kept in `endpoints.json`, so that a restarted node has them again. The file is written before the word
//! counts: what was answered is what a restart finds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use sinew_api::admin::{CAPACITY_MAX, Deregistering, LABELS_MAX, NodeEndpoint, Origin, Registering};
use sinew_api::document::text::label;
use sinew_api::hosting::{CAPACITY_DEFAULT, HealthCheck};
use sinew_api::sockets::is_dialable;
use sinew_node_core::ServeLimits;
use sinew_node_core::hosting::{NotHosted, Table, Wanted};
use sinew_transport::Runtime;
use sinew_transport_core::ids::ServiceName;

use super::Hosting;
use crate::state::{StateError, StateFile, VERSION};

/// Why a word about endpoints is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    #[error(
        "`{service}` is not granted to this node (granted: {granted}); have the operator grant it in a resource \
         [[node]], or join again with a token that names it: sinew token create --service {service} …"
    )]
    NotGranted { service: ServiceName, granted: String },
    #[error(
        "this node has no snapshot yet, so it can't know what it is granted; is a controller reachable? Try again"
    )]
    NoSnapshot,
    #[error(transparent)]
    NotHosted(#[from] NotHosted),
    #[error("{0}")]
    Wrong(String),
    #[error(
        "`{service}` is not registered here{at}; `sinew register` registers, and `GET /v1/endpoints` shows what is"
    )]
    NotThere { service: ServiceName, at: String },
    #[error(transparent)]
    State(#[from] StateError),
}

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    endpoints: Vec<Registering>,
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct RegisteredFile(StateFile);

impl RegisteredFile {
    pub(crate) fn new(runtime: &Arc<dyn Runtime>, state: &Path) -> Self {
        let loss = "endpoints that were registered must be registered again";
        Self(StateFile::new(runtime, state.join("endpoints.json"), loss))
    }

    /// Writes what the table will hold.
    fn write(&self, endpoints: impl Iterator<Item = Registering>) -> Result<(), StateError> {
        self.0.write(&Kept { version: VERSION, endpoints: endpoints.collect() })
    }
}

impl Hosting {
    /// Takes in what an earlier run kept.
    ///
    /// # Errors
    /// [`StateError`] when the file can't be used.
    pub(crate) fn restore(&self, file: &RegisteredFile) -> Result<(), StateError> {
        let Some(kept) = file.0.read::<Kept>()? else { return Ok(()) };
        self.change(|table, now_us| {
            for endpoint in kept.endpoints {
                let service = endpoint.service.clone();
                if let Err(error) = table.add(now_us, Origin::Registered, wanted(endpoint)) {
                    tracing::warn!(%service, %error, "an endpoint that was registered is left out");
                }
            }
        });
        Ok(())
    }

    /// Takes an endpoint in, or brings it up to date.
    ///
    /// # Errors
    /// [`Untaken`]; nothing has changed then.
    pub(crate) fn register(
        &self,
        file: &RegisteredFile,
        granted: Option<&BTreeSet<ServiceName>>,
        new: Registering,
    ) -> Result<NodeEndpoint, Untaken> {
        let granted = granted.ok_or(Untaken::NoSnapshot)?;
        if !granted.contains(&new.service) {
            let names: Vec<_> = granted.iter().map(ServiceName::as_str).collect();
            let granted = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return Err(Untaken::NotGranted { service: new.service, granted });
        }
        check(&new)?;
        let wanted = wanted(new);
        // One at a time, and the table is not held while the disk is waited for.
        let _turn = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.look(Table::clone);
        next.add(self.clock.now_us(), Origin::Registered, wanted.clone())?;
        file.write(registered(&next))?;
        let slot = self.change(|table, now_us| table.add(now_us, Origin::Registered, wanted))?;
        self.endpoint(slot).ok_or_else(|| Untaken::Wrong("it is gone again".to_owned()))
    }

    /// Takes registered endpoints out, or lets them drain.
    ///
    /// # Errors
    /// [`Untaken`]; nothing has changed then.
    pub(crate) fn deregister(
        &self,
        file: &RegisteredFile,
        gone: &Deregistering,
    ) -> Result<Vec<NodeEndpoint>, Untaken> {
        let Deregistering { service, address, drain } = gone;
        let _turn = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.endpoints();
        let named = |endpoint: &&NodeEndpoint| {
            endpoint.service == *service && address.is_none_or(|address| endpoint.address == address)
        };
        let (ours, others): (Vec<_>, Vec<_>) =
            before.iter().filter(named).cloned().partition(|endpoint| endpoint.origin == Origin::Registered);
        if ours.is_empty() {
            return Err(match others.into_iter().next() {
                Some(NodeEndpoint { service, address, origin, .. }) => {
                    NotHosted::Declared { service, address, origin }.into()
                }
                None => {
                    let at = address.map(|address: SocketAddr| format!(" at {address}")).unwrap_or_default();
                    Untaken::NotThere { service: service.clone(), at }
                }
            });
        }
        let leave = |table: &mut Table| {
            for endpoint in &ours {
                if *drain {
                    table.drain(endpoint.slot);
                } else {
                    table.remove(endpoint.slot);
                }
            }
        };
        let mut next = self.look(Table::clone);
        leave(&mut next);
        file.write(registered(&next))?;
        self.change(|table, _| leave(table));
        self.reassign();
        let now = |endpoint: NodeEndpoint| self.endpoint(endpoint.slot).unwrap_or(endpoint);
        Ok(ours.into_iter().map(now).collect())
    }
}

/// What a table keeps over a restart: what drains is on its way out.
fn registered(table: &Table) -> impl Iterator<Item = Registering> {
    let kept = table.all().map(|(_, hosted)| hosted);
    kept.filter(|hosted| hosted.origin == Origin::Registered && !hosted.is_draining()).map(|hosted| {
        Registering {
            service: hosted.service.clone(),
            address: hosted.address,
            labels: hosted.labels.clone(),
            capacity: Some(hosted.capacity),
        }
    })
}

fn wanted(new: Registering) -> Wanted {
    Wanted {
        service: new.service,
        address: new.address,
        labels: new.labels,
        capacity: new.capacity.unwrap_or(CAPACITY_DEFAULT),
        check: HealthCheck::default(),
        limits: ServeLimits::default(),
    }
}

fn check(new: &Registering) -> Result<(), Untaken> {
    if !is_dialable(&new.address) {
        let address = new.address;
        return Err(Untaken::Wrong(format!("nobody can dial {address}; say where the service listens")));
    }
    if let Some(capacity) = new.capacity.filter(|capacity| !(1..=CAPACITY_MAX).contains(capacity)) {
        return Err(Untaken::Wrong(format!("the capacity {capacity} is not from 1 to {CAPACITY_MAX}")));
    }
    if new.labels.len() > LABELS_MAX {
        return Err(Untaken::Wrong(format!(
            "{} labels, an endpoint has at most {LABELS_MAX}",
            new.labels.len()
        )));
    }
    for text in new.labels.iter().flat_map(|(name, value)| [name, value]) {
        label(text).map_err(|why| Untaken::Wrong(format!("label {why}")))?;
    }
    Ok(())
}
