//! What nodes tell each other, laid over the snapshot: endpoints come and go although no controller lives.
//!
//! **The higher version wins.** A peer numbers what it hosts; the snapshot says by which number of each peer it was
//! made. What a peer has told since then replaces the peer's endpoints; when the snapshot has caught up, it is the
//! snapshot's again. What stands behind this node itself is always taken from its own table.
//!
//! **A peer is believed about itself only**, and only for services that the snapshot grants to it and leads to:
//! whoever holds a node holds those services and nothing else. What else it tells is kept, within limits, in case a
//! later snapshot knows more.

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::Snapshot;
use sinew_api::hosting::{Health, Serve, Serving};
use sinew_api::snapshot::{Endpoint, Service, WEIGHT_MAX};
use sinew_transport_core::{NodeName, ServiceName};

use crate::hosting::table::HOSTED_MAX;

/// The most nodes that are kept although the snapshot does not know them: it may be on its way.
pub const STRANGERS_MAX: usize = 64;

/// What peers told about themselves. See the module's text.
#[derive(Debug, Default)]
pub struct Overlay {
    told: BTreeMap<NodeName, Told>,
}

/// What one peer told.
#[derive(Debug, Clone)]
struct Told {
    /// The run of its program.
    boot: u64,
    version: u64,
    serves: BTreeMap<u16, Serve>,
}

/// More than a node may host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it tells of {0} endpoints, more than the {HOSTED_MAX} that a node may host")]
pub struct TooMany(usize);

impl Overlay {
    /// Takes what `peer`, in the run `boot` of its program, tells about itself. True when that is news. Parts of
    /// one version may come in any number, the first of them whole.
    ///
    /// # Errors
    /// [`TooMany`]; all that this peer told is forgotten then.
    pub fn hear(
        &mut self,
        snapshot: &Snapshot,
        peer: &NodeName,
        boot: u64,
        serving: Serving,
    ) -> Result<bool, TooMany> {
        let before = self.told.get(peer).filter(|told| told.boot == boot);
        let mut told = match before {
            Some(told) if serving.whole && serving.version <= told.version => return Ok(false),
            Some(told) if serving.version < told.version => return Ok(false),
            None if !serving.whole => return Ok(false),
            None if !self.has_room_for(snapshot, peer) => return Ok(false),
            Some(told) if !serving.whole => told.clone(),
            _ => Told { boot, version: serving.version, serves: BTreeMap::new() },
        };
        told.version = serving.version;
        for (slot, change) in serving.changes {
            match change {
                // The slot is said twice. What stands before counts, as at the controller: else two endpoints could
                // claim one slot, and no view could be made of what anybody tells.
                Some(serve) => drop(told.serves.insert(slot, Serve { slot, ..serve })),
                None => drop(told.serves.remove(&slot)),
            }
        }
        if told.serves.len() > HOSTED_MAX {
            self.told.remove(peer);
            return Err(TooMany(told.serves.len()));
        }
        let news = before.is_none_or(|before| before.serves != told.serves || before.version != told.version);
        self.told.insert(peer.clone(), told);
        Ok(news)
    }

    fn has_room_for(&self, snapshot: &Snapshot, peer: &NodeName) -> bool {
        let known: BTreeSet<_> = snapshot.peers.iter().map(|peer| &peer.node).collect();
        known.contains(peer)
            || self.told.contains_key(peer)
            || self.told.keys().filter(|name| !known.contains(name)).count() < STRANGERS_MAX
    }

    /// The snapshot as it would be had its controller heard all this. `own`: this node and what stands behind it.
    #[must_use]
    pub fn over(&self, snapshot: &Snapshot, own: (&NodeName, &BTreeMap<u16, Serve>)) -> Snapshot {
        let mut laid = snapshot.clone();
        // Only what a listener leads to is looked at, of which there may be none.
        if laid.services.is_empty() {
            return laid;
        }
        let newer = snapshot.peers.iter().filter_map(|peer| {
            let told = self.told.get(&peer.node).filter(|told| told.version > peer.serving)?;
            Some((&peer.node, &peer.granted, &told.serves))
        });
        for (node, granted, serves) in newer.chain([(own.0, &snapshot.granted, own.1)]) {
            let up = serves.values().filter(|s| s.health == Health::Up && granted.contains(&s.service));
            replace(&mut laid.services, node, up);
        }
        laid
    }
}

/// Makes the endpoints of `node` those of `serves`, sorted as before. Those that stay keep their weight; new ones
/// get the best: nothing was measured yet.
fn replace<'s>(services: &mut [Service], node: &NodeName, serves: impl Iterator<Item = &'s Serve>) {
    let mut by_service: BTreeMap<&ServiceName, Vec<&Serve>> = BTreeMap::new();
    for serve in serves {
        by_service.entry(&serve.service).or_default().push(serve);
    }
    for service in services {
        let wanted = by_service.remove(&service.name).unwrap_or_default();
        let (of_node, mut others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut service.endpoints).into_iter().partition(|endpoint| endpoint.node == *node);
        others.extend(wanted.into_iter().map(|serve| Endpoint {
            node: node.clone(),
            slot: serve.slot,
            labels: serve.labels.clone(),
            weight: of_node.iter().find(|e| e.slot == serve.slot).map_or(WEIGHT_MAX, |e| e.weight),
        }));
        others.sort_by(|a, b| (&a.node, a.slot).cmp(&(&b.node, b.slot)));
        service.endpoints = others;
    }
}

#[cfg(test)]
mod tests;
