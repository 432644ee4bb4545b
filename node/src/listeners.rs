//! The listeners of this node: which are wanted by its configuration and by the operator, and what became of the
//! operator's. The configuration's are opened at start, where a failure ends the node; from then on, all come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sinew_api::admin::NodeListener;
use sinew_api::snapshot::AssignedListener;
use sinew_node_core::{LISTENER_CONNECTIONS, Limit, ListenConfig};
use tokio::sync::watch;

/// Wanted by the snapshot, opened by the shards, shown by the admin pages.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    wanted: watch::Sender<Arc<BTreeSet<AssignedListener>>>,
    /// What the operator declared, and what the configuration says.
    sources: Mutex<(Vec<AssignedListener>, Vec<AssignedListener>)>,
    /// Those of the configuration that were opened at start, and by which shard.
    initial: BTreeMap<AssignedListener, u16>,
    /// Where those are bound, which matters for the ones that left their port open.
    bound: Mutex<BTreeMap<SocketAddr, AssignedListener>>,
    /// How many connections each may carry.
    rooms: Mutex<BTreeMap<AssignedListener, Limit>>,
    /// Where each listens, or why it can't. Those whose shard has not come to it yet are missing.
    states: Mutex<BTreeMap<AssignedListener, Result<SocketAddr, String>>>,
}

impl Listeners {
    /// With the configuration's, which are spread over so many shards.
    pub(crate) fn new(configured: &[ListenConfig], shards: u16) -> Self {
        let spread = configured.iter().zip((0..shards.max(1)).cycle());
        let this = Self {
            initial: spread.map(|(listen, shard)| (listener(listen), shard)).collect(),
            ..Self::default()
        };
        this.reconfigure(configured);
        this
    }

    /// What is wanted, as it changes.
    pub(crate) fn wanted(&self) -> watch::Receiver<Arc<BTreeSet<AssignedListener>>> {
        self.wanted.subscribe()
    }

    /// The shard that opened it at start, or another at its address: whoever opens one where another was must be
    /// the one that closed it.
    pub(crate) fn opened_by(&self, listener: &AssignedListener) -> Option<u16> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        self.initial.get(listener).or_else(|| self.initial.get(bound.get(&listener.address)?)).copied()
    }

    /// Tells where one of the configuration was bound at start.
    pub(crate) fn on_bound(&self, listener: &AssignedListener, address: SocketAddr) {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).insert(address, listener.clone());
    }

    /// Takes what a snapshot declares.
    pub(crate) fn want(&self, listeners: &[AssignedListener]) {
        self.change(|(declared, _)| *declared = listeners.to_vec());
    }

    /// How many connections a listener may carry, now and after the next reload.
    pub(crate) fn room(&self, listener: &AssignedListener) -> Limit {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(listener.clone()).or_insert_with(|| Limit::new(LISTENER_CONNECTIONS as usize)).clone()
    }

    /// Takes what the configuration says.
    pub(crate) fn reconfigure(&self, listens: &[ListenConfig]) {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // One that left its port open and now names the port that it got is the same.
        let same = |wanted: AssignedListener| match bound.get(&wanted.address) {
            Some(open) if (&open.service, &open.source) == (&wanted.service, &wanted.source) => open.clone(),
            _ => wanted,
        };
        let listeners: Vec<_> = listens.iter().map(|listen| same(listener(listen))).collect();
        for (listener, listen) in listeners.iter().zip(listens) {
            self.room(listener).set_max(listen.max_connections as usize);
        }
        self.change(|(_, configured)| *configured = listeners);
    }

    fn change(&self, change: impl FnOnce(&mut (Vec<AssignedListener>, Vec<AssignedListener>))) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let all: BTreeSet<_> = sources.0.iter().chain(&sources.1).cloned().collect();
        self.rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|listener, _| all.contains(listener));
        self.wanted.send_if_modified(|wanted| {
            let changed = **wanted != all;
            if changed {
                *wanted = Arc::new(all);
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
            tracing::warn!(%service, %address, error, "a listener can't be opened; is another program using the port, or does it need a privilege?");
        }
    }

    /// Every one that the operator declared, in order.
    pub(crate) fn shown(&self) -> Vec<NodeListener> {
        let wanted = self.sources.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
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

fn listener(listen: &ListenConfig) -> AssignedListener {
    let ListenConfig { service, source, address, .. } = listen.clone();
    AssignedListener { service, source, address }
}
