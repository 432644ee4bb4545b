//! Everything behind this node, by slot, and the version of it all.
//!
//! Endpoints come from three places: the configuration, the operator (the snapshot's `assigned`), and whoever
//! registers them on the machine while the node runs. **Slots grow:** the configuration's entries have 0, 1, 2 …,
//! each later endpoint the next one, and none is given away twice while the node runs, so that a caller that
//! chose by old news can't reach another service under an old number. **The version grows** with every change
//! that anybody else may see, from the wall clock's microseconds at the start: higher than all that an earlier
//! run of the node said, unless it changed more than a million times a second.
//!
//! One service at one address is one endpoint: whoever came first has it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sinew_api::admin::Origin;
use sinew_api::hosting::{Health, HealthCheck, Serve};
use sinew_api::snapshot::{Assigned, Labels};
use sinew_transport_core::ServiceName;

use super::health::{Checker, Finding};
use crate::config::{ServeConfig, ServeLimits};

/// The most endpoints behind one node: as many as a controller takes from it.
pub const HOSTED_MAX: usize = 1000;

/// The most bytes of all labels together: a registration must fit into a control frame of 1 MiB.
pub const LABELS_LEN_MAX: usize = 512 * 1024;

/// An endpoint as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The service.
    pub service: ServiceName,
    /// Where it listens.
    pub address: SocketAddr,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How much it can take beside the others.
    pub capacity: u32,
    /// How it is checked.
    pub check: HealthCheck,
    /// What connections to it may take. Nobody else is told.
    pub limits: ServeLimits,
}

impl From<ServeConfig> for Wanted {
    fn from(serve: ServeConfig) -> Self {
        let ServeConfig { service, address, labels, capacity, check, limits } = serve;
        Self { service, address, labels, capacity, check, limits }
    }
}

impl From<Assigned> for Wanted {
    fn from(assigned: Assigned) -> Self {
        let Assigned { service, address, labels, capacity, health } = assigned;
        Self { service, address, labels, capacity, check: health, limits: ServeLimits::default() }
    }
}

/// What stands in one slot.
#[derive(Debug, Clone)]
pub struct Hosted {
    /// Where it was declared.
    pub origin: Origin,
    /// The service.
    pub service: ServiceName,
    /// Where it listens.
    pub address: SocketAddr,
    /// What splits and subsets go by.
    pub labels: Labels,
    /// How much it can take beside the others.
    pub capacity: u32,
    /// What connections to it may take.
    pub limits: ServeLimits,
    draining: bool,
    checker: Checker,
}

impl Hosted {
    fn new(now_us: u64, origin: Origin, wanted: Wanted) -> Self {
        let Wanted { service, address, labels, capacity, check, limits } = wanted;
        let checker = Checker::new(now_us, check);
        Self { origin, service, address, labels, capacity, limits, draining: false, checker }
    }

    /// Whether it takes new connections, unless the whole node is [leaving](Table::leave).
    #[must_use]
    pub fn health(&self) -> Health {
        if self.draining { Health::Draining } else { self.checker.health() }
    }

    /// Whether it is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How it is checked.
    #[must_use]
    pub fn check(&self) -> HealthCheck {
        self.checker.check()
    }

    fn labels_len(&self) -> usize {
        labels_len(&self.labels)
    }
}

/// Why an endpoint is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHosted {
    /// There is one of another origin.
    #[error(
        "`{service}` at {address} is declared already, {}; change it there",
        match origin {
            Origin::Config => "by a [[serve]] entry of the node's configuration",
            Origin::Assigned => "by the operator's resources (`sinew get`)",
            Origin::Registered => "by `sinew register`",
        }
    )]
    Declared {
        /// The service.
        service: ServiceName,
        /// Where it listens.
        address: SocketAddr,
        /// Where it was declared.
        origin: Origin,
    },
    /// Too many.
    #[error("there are {HOSTED_MAX} endpoints behind this node already; divide them among several nodes")]
    TooMany,
    /// Too much text.
    #[error(
        "the labels of all endpoints behind this node would be longer than {LABELS_LEN_MAX} bytes together; shorten them"
    )]
    LabelsTooLong,
    /// Every number was used.
    #[error("all 65,536 slots of this node were used since it started; restart it to begin anew")]
    NoSlot,
}

/// All endpoints behind this node.
#[derive(Debug, Clone)]
pub struct Table {
    version: u64,
    /// Beyond `u16::MAX`: all were used.
    next_slot: u32,
    leaving: bool,
    slots: BTreeMap<u16, Hosted>,
    /// The version of each slot's last change, also of those that are empty now: at most as many as there are slots.
    touched: BTreeMap<u16, u64>,
}

impl Table {
    /// An empty table; `version` is the wall clock's microseconds since 1970.
    #[must_use]
    pub fn new(version: u64) -> Self {
        Self { version, next_slot: 0, leaving: false, slots: BTreeMap::new(), touched: BTreeMap::new() }
    }

    /// The number of this state; higher after every change that others may see.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What stands in a slot.
    #[must_use]
    pub fn hosted(&self, slot: u16) -> Option<&Hosted> {
        self.slots.get(&slot)
    }

    /// All slots that hold something.
    pub fn all(&self) -> impl Iterator<Item = (u16, &Hosted)> {
        self.slots.iter().map(|(slot, hosted)| (*slot, hosted))
    }

    /// The slot of a service at an address.
    #[must_use]
    pub fn find(&self, service: &ServiceName, address: SocketAddr) -> Option<u16> {
        self.all().find(|(_, h)| h.service == *service && h.address == address).map(|(slot, _)| slot)
    }

    /// What others are told, by slot.
    #[must_use]
    pub fn serves(&self) -> BTreeMap<u16, Serve> {
        self.all().map(|(slot, hosted)| (slot, self.serve(slot, hosted))).collect()
    }

    /// Every slot that changed since `version`, as it is now; none: it is empty. Whoever knows `version` or any
    /// later state knows the present one by it, also when it has heard of changes in between by another way.
    #[must_use]
    pub fn changes_since(&self, version: u64) -> Vec<(u16, Option<Serve>)> {
        let touched = self.touched.iter().filter(|(_, at)| **at > version);
        let serve = |slot: &u16| self.slots.get(slot).map(|hosted| self.serve(*slot, hosted));
        touched.map(|(slot, _)| (*slot, serve(slot))).collect()
    }

    fn serve(&self, slot: u16, hosted: &Hosted) -> Serve {
        Serve {
            service: hosted.service.clone(),
            slot,
            labels: hosted.labels.clone(),
            capacity: hosted.capacity,
            health: self.health(hosted),
        }
    }

    /// One version more, by a change of this slot.
    fn touch(&mut self, slot: u16) {
        self.version += 1;
        self.touched.insert(slot, self.version);
    }

    /// Takes an endpoint in, or brings the one of the same origin, service and address up to date: it keeps its
    /// slot, and takes new connections again if it was draining.
    ///
    /// # Errors
    /// [`NotHosted`]; nothing has changed then.
    pub fn add(&mut self, now_us: u64, origin: Origin, wanted: Wanted) -> Result<u16, NotHosted> {
        let known = self.find(&wanted.service, wanted.address);
        if let Some(slot) = known
            && self.slots[&slot].origin != origin
        {
            let Wanted { service, address, .. } = wanted;
            return Err(NotHosted::Declared { service, address, origin: self.slots[&slot].origin });
        }
        let others = self.all().filter(|(slot, _)| Some(*slot) != known);
        let labels: usize = others.map(|(_, hosted)| hosted.labels_len()).sum();
        if labels + labels_len(&wanted.labels) > LABELS_LEN_MAX {
            return Err(NotHosted::LabelsTooLong);
        }
        if let Some(slot) = known {
            self.update(now_us, slot, wanted);
            return Ok(slot);
        }
        if self.slots.len() >= HOSTED_MAX {
            return Err(NotHosted::TooMany);
        }
        let slot = u16::try_from(self.next_slot).map_err(|_| NotHosted::NoSlot)?;
        self.next_slot += 1;
        self.slots.insert(slot, Hosted::new(now_us, origin, wanted));
        self.touch(slot);
        Ok(slot)
    }

    fn update(&mut self, now_us: u64, slot: u16, wanted: Wanted) {
        let Some(hosted) = self.slots.get_mut(&slot) else { return };
        let Wanted { service: _, address: _, labels, capacity, check, limits } = wanted;
        let before = (hosted.health(), hosted.labels.clone(), hosted.capacity, hosted.limits);
        (hosted.labels, hosted.capacity, hosted.limits) = (labels, capacity, limits);
        hosted.draining = false;
        if hosted.checker.check() != check {
            hosted.checker = Checker::new(now_us, check);
        }
        // Limits are nobody else's matter, but whoever looks at the table by its version must see them.
        if before != (hosted.health(), hosted.labels.clone(), hosted.capacity, hosted.limits) {
            self.touch(slot);
        }
    }

    /// Makes the operator's endpoints those of `assigned` whose services are among `granted`, and yields what
    /// can't be taken in, each with the reason.
    pub fn assign(
        &mut self,
        now_us: u64,
        assigned: &[Assigned],
        granted: &BTreeSet<ServiceName>,
    ) -> Vec<(ServiceName, String)> {
        let wanted = |hosted: &Hosted| {
            assigned.iter().any(|a| a.service == hosted.service && a.address == hosted.address)
                && granted.contains(&hosted.service)
        };
        let gone: Vec<_> = self.all().filter(|(_, h)| h.origin == Origin::Assigned && !wanted(h)).collect();
        for slot in gone.into_iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.remove(slot);
        }
        let mut refused = Vec::new();
        for endpoint in assigned {
            let service = endpoint.service.clone();
            if !granted.contains(&service) {
                refused.push((service, "it is not granted to this node".to_owned()));
                continue;
            }
            match self.add(now_us, Origin::Assigned, endpoint.clone().into()) {
                // What stands there already is the same endpoint.
                Ok(_) | Err(NotHosted::Declared { .. }) => {}
                Err(why) => refused.push((service, why.to_string())),
            }
        }
        refused
    }

    /// Makes the configuration's endpoints those of `serves`; what is no more among them drains. Yields what can't be
    /// taken in, each with the reason.
    pub fn reconfigure(&mut self, now_us: u64, serves: &[ServeConfig]) -> Vec<(ServiceName, String)> {
        let wanted = |hosted: &Hosted| {
            serves.iter().any(|s| s.service == hosted.service && s.address == hosted.address)
        };
        let gone: Vec<_> = self.all().filter(|(_, h)| h.origin == Origin::Config && !wanted(h)).collect();
        for slot in gone.into_iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.drain(slot);
        }
        let added = serves.iter().map(|serve| {
            let added = self.add(now_us, Origin::Config, serve.clone().into());
            added.err().map(|why| (serve.service.clone(), why.to_string()))
        });
        added.flatten().collect()
    }

    /// Takes an endpoint out.
    pub fn remove(&mut self, slot: u16) -> Option<Hosted> {
        let removed = self.slots.remove(&slot)?;
        self.touch(slot);
        Some(removed)
    }

    /// From now on an endpoint takes nothing new.
    pub fn drain(&mut self, slot: u16) {
        if let Some(hosted) = self.slots.get_mut(&slot)
            && !std::mem::replace(&mut hosted.draining, true)
        {
            self.touch(slot);
        }
    }

    /// The node stops: from now on everything here drains, also what comes. What each endpoint was is not forgotten,
    /// so what is registered survives.
    pub fn leave(&mut self) {
        self.leaving = true;
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            self.touch(slot);
        }
    }

    /// What others are told of an endpoint: whether it takes new connections.
    #[must_use]
    pub fn health(&self, hosted: &Hosted) -> Health {
        if self.leaving { Health::Draining } else { hosted.health() }
    }

    /// When [`Table::poll_checks`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.slots.values().filter(|h| !h.draining).filter_map(|h| h.checker.poll_timeout()).min()
    }

    /// The checks that begin now: where, and how. Each is answered by [`Table::handle_finding`].
    pub fn poll_checks(&mut self, now_us: u64) -> Vec<(u16, SocketAddr, HealthCheck)> {
        let due = |h: &mut Hosted| !h.draining && h.checker.poll_check(now_us);
        let all = self.slots.iter_mut();
        all.filter_map(|(slot, h)| due(h).then(|| (*slot, h.address, h.check()))).collect()
    }

    /// Takes what a check found. The new health when it changed.
    pub fn handle_finding(&mut self, now_us: u64, slot: u16, finding: Finding) -> Option<Health> {
        self.tell(slot, |checker| checker.handle_finding(now_us, finding))
    }

    /// Tells that a caller's connection was refused. The new health when it changed.
    pub fn on_refused(&mut self, now_us: u64, slot: u16) -> Option<Health> {
        self.tell(slot, |checker| checker.on_refused(now_us))
    }

    fn tell(&mut self, slot: u16, tell: impl FnOnce(&mut Checker) -> bool) -> Option<Health> {
        let hosted = self.slots.get_mut(&slot)?;
        let changed = tell(&mut hosted.checker) && !hosted.draining;
        let health = hosted.health();
        if changed {
            self.touch(slot);
        }
        changed.then_some(health)
    }
}

fn labels_len(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests;
