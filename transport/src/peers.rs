//! The other nodes, and the links to each: one table for the whole node, shared by its shards.
//!
//! A link is known by its peer and its lane. When both nodes dial the same lane at once, the connection
//! dialled by the node with the lower name stays and the other is retired. A greeting with another boot
//! number means that the peer restarted: what is left of the old run is closed at once.
//!
//! Every change that could make a waiting connection's pick possible is told on one `watch`.

mod reach;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use sinew_transport_core::ids::{NodeName, Revision};
use sinew_transport_core::link::Verdict;
use sinew_transport_core::runs::Runs;
use sinew_transport_core::wire::Ext;
use tokio::sync::watch;

use crate::lifetime::{Fingerprint, VOUCHES_MAX};
use crate::link::Link;
use crate::quic::STREAMS_MAX;

pub use reach::{Reach, Target, Unreached};

/// Another node.
#[derive(Debug)]
pub struct Peer {
    name: NodeName,
    links: ArcSwap<Vec<Arc<Link>>>,
    /// Held while the list of links is rewritten.
    writing: Mutex<()>,
    pub(crate) target: watch::Sender<Target>,
    /// Set by a shard that wants a lane of its own to this peer: bit *i* for shard *i*.
    pub(crate) lanes_wanted: watch::Sender<u64>,
    failures: AtomicU64,
    /// What was dialled last in vain, and what came of it; none while it is reached.
    unreached: Mutex<Option<Unreached>>,
    /// Set for good the first time that it fell silent or its connection was lost.
    failed: AtomicBool,
    recoveries: AtomicU64,
    /// The runs of its program that were met.
    runs: Mutex<Option<Runs>>,
}

impl Peer {
    fn new(name: NodeName, target: Target) -> Self {
        Self {
            name,
            links: ArcSwap::default(),
            writing: Mutex::new(()),
            target: watch::Sender::new(target),
            lanes_wanted: watch::Sender::new(0),
            failures: AtomicU64::new(0),
            unreached: Mutex::default(),
            failed: AtomicBool::new(false),
            recoveries: AtomicU64::new(0),
            runs: Mutex::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Its links, the retired ones included.
    #[must_use]
    pub fn links(&self) -> Arc<Vec<Arc<Link>>> {
        self.links.load_full()
    }

    /// Whether it may be picked: it has a link, and owes no link an answer for too long.
    #[must_use]
    pub fn usable(&self) -> bool {
        let links = self.links.load();
        let mut some = false;
        for link in links.iter().filter(|link| !link.retired()) {
            if !link.usable() {
                return false;
            }
            some = true;
        }
        some
    }

    /// Whether it ever fell silent or lost a connection: a control experiment keeps away from it for good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// The run of its program that it greeted with last; none before the first greeting.
    #[must_use]
    pub fn boot(&self) -> Option<u64> {
        self.links.load().last().map(|link| link.boot())
    }

    /// Changes whenever it fell silent or answered again: what took from before to after such a change says
    /// how long the silence was, and nothing about its services.
    #[must_use]
    pub fn silences(&self) -> u64 {
        let silent = self.links.load().iter().any(|link| link.verdict() >= Verdict::Suspect);
        2 * self.recoveries.load(Relaxed) + u64::from(silent)
    }

    pub(crate) fn note_recovery(&self) {
        self.recoveries.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_failure(&self) {
        self.failed.store(true, Relaxed);
    }

    /// The link that a shard should use: its own, or any other while it has none; then it asks for its
    /// own.
    #[must_use]
    pub fn link_for(&self, shard: u16) -> Option<Arc<Link>> {
        let links = self.links.load();
        let live = || links.iter().filter(|link| !link.retired());
        if let Some(own) = live().find(|link| link.shard() == shard) {
            return Some(Arc::clone(own));
        }
        self.want_lane(shard);
        live().next().cloned()
    }

    fn want_lane(&self, shard: u16) {
        let bit = 1_u64 << (shard % 64);
        self.lanes_wanted.send_if_modified(|lanes| {
            let new = *lanes & bit == 0;
            *lanes |= bit;
            new
        });
    }

    /// How it is reached now.
    #[must_use]
    pub fn reach(&self) -> Reach {
        if !self.links.load().iter().any(|link| !link.retired()) {
            return match (self.target.borrow().wanted, self.failures.load(Relaxed)) {
                (false, _) => Reach::Idle,
                (true, 0) => Reach::Connecting,
                (true, _) => Reach::Down,
            };
        }
        if self.usable() { Reach::Up } else { Reach::Suspect }
    }

    pub(crate) fn dial_failed(&self, address: SocketAddr, reason: String) {
        let dials = self.failures.fetch_add(1, Relaxed) + 1;
        *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Unreached { address, reason, dials });
    }

    /// Why it can't be reached; none while it is.
    #[must_use]
    pub fn unreached(&self) -> Option<Unreached> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether we want a connection with it, because we call services there.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.target.borrow().wanted
    }

    /// Where it listens, as the snapshot says.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.target.borrow().addresses.clone()
    }

    /// The best of its links that is not about to go: one that answers, with the shortest round trip.
    #[must_use]
    pub fn best_link(&self) -> Option<Arc<Link>> {
        let links = self.links.load();
        let live = links.iter().filter(|link| !link.retired() && !link.is_closed());
        live.min_by_key(|link| (!link.usable(), link.round_trip())).cloned()
    }

    /// Whether another run of its program took over from this one, and is there.
    pub(crate) fn turns_away(&self, boot: u64) -> bool {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let superseded = runs.as_ref().is_some_and(|runs| runs.was_superseded(boot));
        superseded && self.links.load().iter().any(|link| link.boot() != boot && link.usable())
    }

    /// Takes a new link in. `me`: our own name, which settles who stays when both dialled.
    fn add(&self, link: &Arc<Link>, me: &NodeName) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        *runs = Some(runs.take().map_or_else(|| Runs::new(link.boot()), |runs| runs.then(link.boot())));
        drop(runs);
        let mut links = self.links.load().as_ref().clone();
        links.retain(|old| {
            if old.boot() == link.boot() {
                return true;
            }
            tracing::info!(peer = %self.name, "the peer restarted: closing what is left of its last run");
            old.close("you restarted");
            false
        });
        for old in links.iter().filter(|old| old.lane() == link.lane() && !old.retired()) {
            // The dialler with the lower name wins; of two dialled by the same end, the newer.
            // One that should be replaced is replaced, whoever does so.
            let new_wins = old.dialled_here() == link.dialled_here()
                || link.dialled_here() == (me < &self.name)
                || old.is_due();
            if new_wins { old.retire() } else { link.retire() }
        }
        for old in &links {
            link.vouch_for(old);
        }
        links.push(Arc::clone(link));
        self.links.store(Arc::new(links));
        self.failures.store(0, Relaxed);
        *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remove(&self, link: &Arc<Link>) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut links = self.links.load().as_ref().clone();
        links.retain(|old| !Arc::ptr_eq(old, link));
        self.links.store(Arc::new(links));
    }

    /// The own lane of a shard, while it is up.
    pub(crate) fn lane(&self, lane: u16, shard: u16) -> Option<Arc<Link>> {
        let serves =
            |l: &&Arc<Link>| l.lane() == lane && l.shard() == shard && !l.retired() && !l.is_closed();
        self.links.load().iter().find(serves).cloned()
    }

    /// Whether we may open another stream to it: it takes [`STREAMS_MAX`](crate::quic::STREAMS_MAX) of ours.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let opened = |link: &Arc<Link>| link.streams().saturating_sub(link.incoming());
        self.links.load().iter().map(opened).sum::<u32>() < STREAMS_MAX
    }

    /// Whether it has more streams open than it may, on all its links together.
    pub(crate) fn is_beyond_limit(&self) -> bool {
        self.links.load().iter().map(|link| link.incoming()).sum::<u32>() > STREAMS_MAX
    }

    /// Whether any stream is in progress with it.
    pub(crate) fn has_streams(&self) -> bool {
        self.links.load().iter().any(|link| link.streams() > 0)
    }

    /// What a greeting says to vouch for the connections that exist: those that end first, first.
    pub(crate) fn vouches(&self) -> Ext {
        let mut links = self.links.load().as_ref().clone();
        links.sort_by_key(|link| link.vouched_until());
        let named = links.iter().filter_map(|link| link.fingerprint());
        named.take(VOUCHES_MAX).map(Fingerprint::to_ext).collect()
    }
}

/// All other nodes.
#[derive(Debug)]
pub struct Peers {
    me: NodeName,
    table: RwLock<HashMap<NodeName, Arc<Peer>>>,
    /// Counts changes of the table: shards follow it to start and stop dialling.
    pub(crate) changes: watch::Sender<u64>,
    /// Counts what may make a pick possible: a link came up, a suspect answered.
    news: watch::Sender<u64>,
    revision: AtomicU64,
}

impl Peers {
    /// An empty table of the node `me`.
    #[must_use]
    pub fn new(me: NodeName) -> Self {
        Self {
            me,
            table: RwLock::default(),
            changes: watch::Sender::new(0),
            news: watch::Sender::new(0),
            revision: AtomicU64::new(0),
        }
    }

    /// Our own name.
    #[must_use]
    pub fn me(&self) -> &NodeName {
        &self.me
    }

    /// The peer of that name.
    #[must_use]
    pub fn get(&self, name: &NodeName) -> Option<Arc<Peer>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every peer, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Peer>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = table.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Takes what a snapshot of `revision` says about the others. Links with nodes that are no longer in
    /// it live until their streams end; nothing dials them.
    pub fn set(&self, revision: Revision, targets: impl IntoIterator<Item = (NodeName, Target)>) {
        self.revision.store(revision.0, Relaxed);
        let mut targets: HashMap<_, _> = targets.into_iter().filter(|(name, _)| *name != self.me).collect();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|name, peer| match targets.remove(name) {
            Some(target) => {
                peer.target.send_if_modified(|old| std::mem::replace(old, target.clone()) != target);
                true
            }
            None => {
                peer.target.send_replace(Target::default());
                !peer.links.load().is_empty()
            }
        });
        for (name, target) in targets {
            table.insert(name.clone(), Arc::new(Peer::new(name, target)));
        }
        drop(table);
        self.changes.send_modify(|n| *n += 1);
        self.tell_news();
    }

    /// The revision that our greetings carry.
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision.load(Relaxed))
    }

    /// Something that changes when a pick may have become possible.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(crate) fn tell_news(&self) {
        self.news.send_modify(|n| *n += 1);
    }

    /// Takes a link in that just came up. A caller that our snapshot does not name yet is let in: whether
    /// it may do anything is decided for each stream.
    pub(crate) fn add(&self, link: &Arc<Link>) -> Arc<Peer> {
        let known = self.get(link.peer());
        let peer = known.unwrap_or_else(|| {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Peer::new(link.peer().clone(), Target::default()));
            Arc::clone(table.entry(link.peer().clone()).or_insert_with(new))
        });
        peer.add(link, &self.me);
        self.tell_news();
        peer
    }

    pub(crate) fn remove(&self, link: &Arc<Link>, peer: &Peer) {
        if !link.retired() {
            peer.note_failure();
        }
        peer.remove(link);
        self.tell_news();
    }
}
