//! The listeners that the operator declared for this node: which are wanted, and what became of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sinew_api::admin::NodeListener;
use sinew_api::snapshot::AssignedListener;
use tokio::sync::watch;

/// Wanted by the snapshot, opened by the shards, shown by the admin pages.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    wanted: watch::Sender<Arc<Vec<AssignedListener>>>,
    /// Where each listens, or why it can't. Those whose shard has not come to it yet are missing.
    states: Mutex<BTreeMap<AssignedListener, Result<SocketAddr, String>>>,
}

impl Listeners {
    /// What is wanted, as it changes.
    pub(crate) fn wanted(&self) -> watch::Receiver<Arc<Vec<AssignedListener>>> {
        self.wanted.subscribe()
    }

    /// Takes what a snapshot declares.
    pub(crate) fn want(&self, listeners: &[AssignedListener]) {
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.as_slice() != listeners;
            if changed {
                *wanted = Arc::new(listeners.to_vec());
            }
            changed
        });
    }

    pub(crate) fn on_opened(&self, listener: &AssignedListener, bound: SocketAddr) {
        tracing::info!(service = %listener.service, %bound, "listener opened");
        self.note(listener, Some(Ok(bound)));
    }

    pub(crate) fn on_closed(&self, listener: &AssignedListener) {
        tracing::info!(service = %listener.service, address = %listener.address, "listener closed");
        self.note(listener, None);
    }

    /// Told once, until it says something else.
    pub(crate) fn on_failed(&self, listener: &AssignedListener, error: &str) {
        let before = self.note(listener, Some(Err(error.to_owned())));
        if before != Some(Err(error.to_owned())) {
            let (service, address) = (&listener.service, listener.address);
            tracing::warn!(%service, %address, error, "a listener that the operator declared can't be opened; is another program using the port, or does it need a privilege?");
        }
    }

    /// Every one that is wanted, in order.
    pub(crate) fn shown(&self) -> Vec<NodeListener> {
        let wanted = self.wanted.borrow().clone();
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |listener: &AssignedListener| {
            let (bound, error) = match states.get(listener) {
                Some(Ok(bound)) => (Some(*bound), String::new()),
                Some(Err(error)) => (None, error.clone()),
                None => (None, "not opened yet".to_owned()),
            };
            let AssignedListener { service, source, address } = listener.clone();
            NodeListener { service, source, address, bound, error }
        };
        wanted.iter().map(shown).collect()
    }

    fn note(
        &self,
        listener: &AssignedListener,
        state: Option<Result<SocketAddr, String>>,
    ) -> Option<Result<SocketAddr, String>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => states.insert(listener.clone(), state),
            None => states.remove(listener),
        }
    }
}
