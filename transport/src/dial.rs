//! Who dials: every wanted peer has one [`keep`] task on each shard, which dials, waits for the end, and
//! dials again with back-off. A peer that moved or came back is dialled at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_transport_core::ids::NodeName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::greet::greet_peer;
use crate::lifetime::jitter;
use crate::link::Link;
use crate::peers::{Peer, Target};
use crate::shard::{Shard, begin};
use crate::tell::StreamHandler;

/// How long one dial may take before the next.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// Back-off between dials: at least, at most. A peer that returns gets its share back soon.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Keeps one [`keep`] task for every peer in the table.
pub(crate) async fn dial_all(shard: Arc<Shard>, handler: Arc<dyn StreamHandler>) {
    let mut changes = shard.common.peers.changes.subscribe();
    let mut keepers: HashMap<NodeName, (Arc<Peer>, CancellationToken)> = HashMap::new();
    loop {
        let peers = shard.common.peers.all();
        keepers.retain(|name, (peer, cancel)| {
            let stays = peers.iter().any(|p| p.name() == name && Arc::ptr_eq(p, peer));
            if !stays {
                cancel.cancel();
            }
            stays
        });
        for peer in peers {
            keepers.entry(peer.name().clone()).or_insert_with(|| {
                let cancel = shard.closing.child_token();
                let keeping = keep(Arc::clone(&shard), Arc::clone(&peer), Arc::clone(&handler));
                let cancelled = cancel.clone();
                shard.tracker.spawn(async move {
                    tokio::select! {
                        () = cancelled.cancelled() => {}
                        () = keeping => {}
                    }
                });
                (peer, cancel)
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps this shard's lane to a peer up for as long as it is wanted, and puts another connection in the place
/// of one whose certificates will end.
async fn keep(shard: Arc<Shard>, peer: Arc<Peer>, handler: Arc<dyn StreamHandler>) {
    let lane = shard.index;
    let mut target = peer.target.subscribe();
    let mut lanes = peer.lanes_wanted.subscribe();
    let mut backoff = BACKOFF.0;
    let mut began = Instant::now();
    loop {
        let address = match peer.lane(lane, lane) {
            // A connection serves this lane already, ours or the peer's.
            Some(link) => match to_replace(&peer, &link, lane).await {
                Some(address) => address,
                None => {
                    if link.is_closed() && began.elapsed() < BACKOFF.1 {
                        sleep(pause(&mut backoff)).await;
                    } else {
                        backoff = BACKOFF.0;
                    }
                    continue;
                }
            },
            None => wanted_address(&peer, lane, &mut target, &mut lanes).await,
        };
        match timeout(DIAL_TIME, greet_peer(&shard, &peer, lane, address)).await {
            Ok(Ok(greeted)) => {
                began = Instant::now();
                begin(&shard, greeted, Arc::clone(&handler));
            }
            failed => {
                let reason = match failed {
                    Ok(Err(reason)) => reason,
                    _ => format!("no answer in {DIAL_TIME:?}"),
                };
                peer.dial_failed();
                tracing::info!(peer = %peer.name(), %address, reason, retry_in = ?backoff, "peer can't be reached");
                tokio::select! {
                    () = sleep(pause(&mut backoff)) => {}
                    // A peer that moved or came back is dialled at once.
                    _ = target.changed() => backoff = BACKOFF.0,
                }
            }
        }
    }
}

/// How long to wait before the next dial; longer the next time. Half fixed, half random, so that nodes that
/// lost the same peer do not dial in step.
fn pause(backoff: &mut Duration) -> Duration {
    let pause = *backoff / 2 + backoff.mul_f64(0.5 * jitter());
    *backoff = (*backoff * 2).min(BACKOFF.1);
    pause
}

/// Waits until the link of a lane ends or should be replaced; where to dial in the latter case. A link that
/// nobody wants and nobody uses is not replaced.
async fn to_replace(peer: &Peer, link: &Link, lane: u16) -> Option<SocketAddr> {
    tokio::select! {
        _ = link.closed() => return None,
        () = link.turned() => {}
    }
    if link.retired() || link.is_closed() {
        return None;
    }
    let (address, wanted) = {
        let target = peer.target.borrow();
        let index = usize::from(lane) % target.addresses.len().max(1);
        (target.addresses.get(index).copied(), target.wanted)
    };
    if link.dialled_here() && (wanted || peer.has_streams()) {
        return Some(address.unwrap_or_else(|| link.remote()));
    }
    if !link.dialled_here() && wanted && address.is_some() {
        return address;
    }
    if link.dialled_here() {
        link.retire();
    } else {
        // Its dialler replaces it, or lets it go.
        link.closed().await;
    }
    None
}

/// Waits until this shard should have a lane to the peer, and says where to.
async fn wanted_address(
    peer: &Peer,
    lane: u16,
    target: &mut watch::Receiver<Target>,
    lanes: &mut watch::Receiver<u64>,
) -> SocketAddr {
    loop {
        let asked = *lanes.borrow_and_update() & (1 << (lane % 64)) != 0;
        let found = {
            let target = target.borrow_and_update();
            // Shard 0 keeps a lane to every wanted peer; the others once they carry something.
            let wanted = target.wanted && (lane == 0 || asked);
            let index = usize::from(lane) % target.addresses.len().max(1);
            target.addresses.get(index).copied().filter(|_| wanted)
        };
        if let Some(address) = found {
            return address;
        }
        tokio::select! {
            _ = target.changed() => {}
            _ = lanes.changed() => {}
        }
        tracing::trace!(peer = %peer.name(), lane, "target changed");
    }
}
