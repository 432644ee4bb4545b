//! What stands behind this node: the table of endpoints at work.
//!
//! [`Hosting`] holds the [`Table`] under a short lock, runs its checks, and shares what an inbound stream needs of
//! it as one [`Place`] for each slot, found with one load. Whoever tells others of it follows its version
//! ([`Telling`]).
//!
//! A check connects, ends its own direction, and waits for the service to say or end anything: a process that was
//! stopped is not found by connecting alone, since its kernel goes on accepting. A service that answers a caller
//! while a check waits has answered the check: one that works on one connection at a time may be too busy for it.

mod place;
mod registered;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sinew_api::admin::NodeEndpoint;
use sinew_api::hosting::{Health, HealthCheck, Probe, Serve};
use sinew_api::snapshot::Assigned;
use sinew_node_core::hosting::{Finding, Hosted, Table};
use sinew_node_core::{Guard, ServeConfig};
use sinew_transport::{Clock, Runtime};
use sinew_transport_core::ids::ServiceName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::drain::until_idle;
use crate::local::is_out_of_descriptors;
use crate::metrics::Metrics;

pub(crate) use place::{InFlight, Place};
pub(crate) use registered::{RegisteredFile, Untaken};
pub(crate) use telling::Telling;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Hosting {
    runtime: Arc<dyn Runtime>,
    metrics: Arc<Metrics>,
    clock: Clock,
    table: Mutex<Table>,
    places: ArcSwap<BTreeMap<u16, Arc<Place>>>,
    version: watch::Sender<u64>,
    /// Held by whoever changes what is registered, until it is on disk and in the table.
    registering: Mutex<()>,
    /// What the operator declared, and the node's grants.
    assigned: ArcSwap<(Vec<Assigned>, BTreeSet<ServiceName>)>,
    /// Wakes the checks when something may be due sooner than they know.
    wake: Notify,
    /// Wakes whoever waits for [`Hosting::idle`].
    emptied: Notify,
    /// Streams refused because their endpoint drains.
    turned_away: AtomicU64,
}

impl Hosting {
    /// The endpoints of the configuration, none of them checked yet.
    pub(crate) fn new(
        serves: &[ServeConfig],
        runtime: &Arc<dyn Runtime>,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let version = u64::try_from(runtime.wall_now().as_micros()).unwrap_or(u64::MAX / 2);
        let hosting = Self {
            runtime: Arc::clone(runtime),
            metrics: Arc::clone(metrics),
            clock,
            table: Mutex::new(Table::new(version)),
            places: ArcSwap::default(),
            version: watch::Sender::new(version),
            registering: Mutex::new(()),
            assigned: ArcSwap::default(),
            wake: Notify::new(),
            emptied: Notify::new(),
            turned_away: AtomicU64::new(0),
        };
        hosting.reconfigure(serves);
        hosting
    }

    /// Makes the configuration's endpoints these; what is no more among them finishes what runs, and goes.
    pub(crate) fn reconfigure(&self, serves: &[ServeConfig]) {
        // At start there are no others, and the configuration was checked for duplicates.
        for (service, reason) in self.change(|table, now_us| table.reconfigure(now_us, serves)) {
            tracing::error!(%service, reason, "a [[serve]] entry is left out");
        }
        self.wake.notify_one();
    }

    /// What stands in a slot.
    pub(crate) fn place(&self, slot: u16) -> Option<Arc<Place>> {
        self.places.load().get(&slot).cloned()
    }

    /// All that others are told, and its version.
    pub(crate) fn serves(&self) -> (u64, BTreeMap<u16, Serve>) {
        let table = self.lock();
        (table.version(), table.serves())
    }

    /// The version, as it changes.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits until every endpoint was checked once, so that whoever is told first is told how things are.
    pub(crate) async fn first_findings(&self) {
        let mut versions = self.versions();
        while self.look(|table| table.all().any(|(_, hosted)| hosted.health() == Health::Starting)) {
            if versions.changed().await.is_err() {
                return;
            }
        }
    }

    /// Looks at the table.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the table, and tells whoever must hear of it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Table, u64) -> T) -> T {
        let mut table = self.lock();
        let before = table.version();
        let result = change(&mut table, self.clock.now_us());
        if table.version() != before {
            self.publish(&table);
            self.version.send_replace(table.version());
            self.wake.notify_one();
        }
        result
    }

    /// Everything, for the admin pages.
    pub(crate) fn endpoints(&self) -> Vec<NodeEndpoint> {
        self.look(|table| table.all().map(|(slot, hosted)| self.shown(table, slot, hosted)).collect())
    }

    /// What stands in a slot, for the admin pages.
    pub(crate) fn endpoint(&self, slot: u16) -> Option<NodeEndpoint> {
        self.look(|table| table.hosted(slot).map(|hosted| self.shown(table, slot, hosted)))
    }

    fn shown(&self, table: &Table, slot: u16, hosted: &Hosted) -> NodeEndpoint {
        NodeEndpoint {
            service: hosted.service.clone(),
            slot,
            address: hosted.address,
            labels: hosted.labels.clone(),
            capacity: hosted.capacity,
            health: table.health(hosted),
            origin: hosted.origin,
            connections: self.place(slot).map_or(0, |place| place.in_flight()),
        }
    }

    /// Makes the operator's endpoints those of a snapshot.
    pub(crate) fn assign(&self, assigned: &[Assigned], granted: &BTreeSet<ServiceName>) {
        let wanted = Arc::new((assigned.to_vec(), granted.clone()));
        if **self.assigned.load() == *wanted {
            return;
        }
        self.assigned.store(wanted);
        self.reassign();
    }

    /// Takes in what the operator declared, as far as it is not there: something else may have had its place.
    pub(crate) fn reassign(&self) {
        let wanted = self.assigned.load();
        let (assigned, granted) = &**wanted;
        for (service, reason) in self.change(|table, now_us| table.assign(now_us, assigned, granted)) {
            tracing::warn!(%service, reason, "an endpoint that the operator declared for this node is left out");
        }
    }

    /// Tells that a caller's connection to the service in this slot was refused.
    pub(crate) fn on_refused(&self, slot: u16) {
        if let Some(health) = self.change(|table, now_us| table.on_refused(now_us, slot)) {
            self.tell(slot, health);
        }
    }

    /// The node stops: nothing new is taken, and everybody is told.
    pub(crate) fn leave(&self) {
        self.change(|table, _| table.leave());
    }

    /// Connections in progress at all endpoints.
    pub(crate) fn in_flight(&self) -> u32 {
        self.places.load().values().map(|place| place.in_flight()).sum()
    }

    /// Waits until there are none. For a node that [leaves](Self::leave).
    pub(crate) async fn idle(&self) {
        until_idle(&self.emptied, || self.in_flight() == 0).await;
    }

    /// Notes that a stream was refused because its endpoint drains.
    pub(crate) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    /// How many were.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }

    /// Counts a connection to the service of a place, for as long as what is yielded lives. None when there are as many
    /// as its endpoint takes.
    pub(crate) fn begin(self: &Arc<Self>, place: Arc<Place>, room: Guard) -> Option<InFlight> {
        place.enter().then(|| InFlight::new(self, place, room))
    }

    /// Tells that a place which drains has no connection left.
    fn on_emptied(&self) {
        self.emptied.notify_waiters();
        self.wake.notify_one();
    }

    /// Runs the checks, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut checks = JoinSet::new();
        loop {
            self.forget_drained();
            let now_us = self.clock.now_us();
            let begun = self.lock().poll_checks(now_us);
            for (slot, address, check) in begun {
                let hosting = Arc::clone(&self);
                checks.spawn(async move { (slot, hosting.check(slot, address, check).await) });
            }
            let due_us = self.lock().poll_timeout();
            let rest = due_us.map(|due_us| Duration::from_micros(due_us.saturating_sub(now_us)));
            tokio::select! {
                Some(Ok((slot, finding))) = checks.join_next() => self.found(slot, finding),
                () = sleep(rest.unwrap_or_default()), if rest.is_some() => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn check(&self, slot: u16, address: SocketAddr, check: HealthCheck) -> Finding {
        let place = self.place(slot);
        if let Some(place) = &place {
            place.ask();
        }
        let time = Duration::from_millis(check.timeout_ms.into());
        let found = timeout(time, ask(&self.runtime, address, check.probe)).await;
        match found.unwrap_or(Finding::Silent) {
            Finding::Silent if place.is_some_and(|place| place.has_answered()) => Finding::Answered,
            found => found,
        }
    }

    fn found(&self, slot: u16, finding: Finding) {
        self.metrics.checked(finding);
        if let Some(health) = self.change(|table, now_us| table.handle_finding(now_us, slot, finding)) {
            self.tell(slot, health);
        }
    }

    fn tell(&self, slot: u16, health: Health) {
        let Some(place) = self.place(slot) else { return };
        let (service, address) = (&place.service, place.address);
        match health {
            Health::Up => tracing::info!(%service, slot, %address, "endpoint up"),
            _ => tracing::info!(%service, slot, %address, "endpoint down: its service does not answer"),
        }
    }

    /// Takes out what drained and has nothing left to do.
    fn forget_drained(&self) {
        let places = self.places.load();
        let done: Vec<_> =
            places.values().filter(|p| p.is_draining() && p.in_flight() == 0).map(|p| p.slot).collect();
        for slot in done {
            self.change(|table, _| {
                // Somebody may have wanted it again in the meantime.
                if table.hosted(slot).is_some_and(|hosted| hosted.health() == Health::Draining) {
                    table.remove(slot);
                }
            });
        }
    }

    /// Shares the table's slots; those that stay keep what was counted.
    fn publish(&self, table: &Table) {
        let before = self.places.load();
        let place = |(slot, hosted): (u16, &Hosted)| {
            let place = before.get(&slot).cloned().unwrap_or_else(|| Arc::new(Place::new(slot, hosted)));
            place.update(hosted, table.health(hosted) == Health::Draining);
            (slot, place)
        };
        self.places.store(Arc::new(table.all().map(place).collect()));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a service whether it is there. Whoever calls this says how long it may take.
async fn ask(runtime: &Arc<dyn Runtime>, address: SocketAddr, probe: Probe) -> Finding {
    let mut stream = match runtime.connect(address).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Finding::Refused,
        Err(error) if is_out_of_descriptors(&error) => return Finding::Unknown,
        // No route, no answer: as much as silence.
        Err(_) => return Finding::Silent,
    };
    if probe == Probe::Answer {
        // An error says that the service has ended the connection: it lives.
        let _ = stream.shutdown().await;
        let _ = stream.read(&mut [0]).await;
    }
    Finding::Answered
}
