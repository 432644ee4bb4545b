//! Who dials: every wanted peer has one [`keep`] task on each shard, which dials, waits for the end, and
//! dials again with back-off. A peer that moved or came back is dialled at once.
//!
//! A peer with several addresses is dialled at one after the other, without waiting for those that say nothing
//! ([`STAGGER`]), and the first that greets is it. When that falls silent the others are dialled beside it: they
//! may be ways of their own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sinew_transport_core::ids::NodeName;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::greet::{Greeted, greet_peer};
use crate::lifetime::jitter;
use crate::link::Link;
use crate::peers::{Peer, Target};
use crate::shard::{Shard, begin};
use crate::tell::StreamHandler;

/// How long one dial may take.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// How long one address is given before the peer's next is dialled beside it: some round trips of a long way.
const STAGGER: Duration = Duration::from_millis(300);
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
    // Where it was reached last.
    let mut last = None;
    loop {
        let addresses = match peer.lane(lane, lane) {
            // A connection serves this lane already, ours or the peer's.
            Some(link) => match to_replace(&peer, &link, lane).await {
                Some(addresses) => addresses,
                None => {
                    if link.is_closed() && began.elapsed() < BACKOFF.1 {
                        sleep(pause(&mut backoff)).await;
                    } else {
                        backoff = BACKOFF.0;
                    }
                    continue;
                }
            },
            None => wanted_addresses(&peer, lane, &mut target, &mut lanes).await,
        };
        match first_to_greet(&shard, &peer, lane, beginning_with(last, addresses), backoff).await {
            Ok(greeted) => {
                began = Instant::now();
                last = Some(greeted.link.remote().ip().to_canonical());
                begin(&shard, greeted, Arc::clone(&handler));
            }
            Err((address, reason)) => {
                peer.dial_failed(address, reason);
                tokio::select! {
                    () = sleep(pause(&mut backoff)) => {}
                    // A peer that moved or came back is dialled at once.
                    _ = target.changed() => backoff = BACKOFF.0,
                }
            }
        }
    }
}

/// Dials one address after the other until somebody greets: after a refusal the next at once, without an answer after
/// [`STAGGER`], beside those that were dialled before. When nobody does: the address that failed last, and how.
async fn first_to_greet(
    shard: &Arc<Shard>,
    peer: &Arc<Peer>,
    lane: u16,
    addresses: Vec<SocketAddr>,
    retry_in: Duration,
) -> Result<Greeted, (SocketAddr, String)> {
    let mut left = addresses.into_iter().peekable();
    let mut dials = JoinSet::new();
    let mut failed = (SocketAddr::from(([0, 0, 0, 0], 0)), "it has no address".to_owned());
    loop {
        if let Some(address) = left.next() {
            let (shard, peer) = (Arc::clone(shard), Arc::clone(peer));
            dials.spawn(async move {
                let greeted = timeout(DIAL_TIME, greet_peer(&shard, &peer, lane, address)).await;
                let greeted = greeted.unwrap_or_else(|_| Err(format!("no answer in {DIAL_TIME:?}")));
                greeted.map_err(|reason| {
                    tracing::info!(peer = %peer.name(), %address, reason, ?retry_in, "peer can't be reached");
                    (address, reason)
                })
            });
        } else if dials.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            dialled = dials.join_next() => match dialled {
                Some(Ok(Ok(greeted))) => return Ok(greeted),
                Some(Ok(Err(why))) => failed = why,
                _ => {}
            },
            () = sleep(STAGGER), if left.peek().is_some() => {}
        }
    }
}

/// The addresses at which a lane may be dialled, in the peer's order: of each of its own, that of the lane's shard.
fn places(target: &Target, lane: u16) -> Vec<SocketAddr> {
    let places = target.addresses.chunk_by(|one, next| one.ip() == next.ip());
    places.map(|shards| shards[usize::from(lane) % shards.len()]).collect()
}

/// The same, and the one that answered last comes first.
fn beginning_with(last: Option<IpAddr>, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|address| Some(address.ip().to_canonical()) != last);
    addresses
}

/// The same without this one.
fn others(mut addresses: Vec<SocketAddr>, than: IpAddr) -> Vec<SocketAddr> {
    addresses.retain(|address| address.ip().to_canonical() != than.to_canonical());
    addresses
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
async fn to_replace(peer: &Peer, link: &Link, lane: u16) -> Option<Vec<SocketAddr>> {
    let silent = tokio::select! {
        _ = link.closed() => return None,
        () = link.turned() => false,
        // Its dialler knows where else the other end is.
        () = link.suspected(), if link.dialled_here() => true,
    };
    if link.retired() || link.is_closed() {
        return None;
    }
    let (mut addresses, wanted) = {
        let target = peer.target.borrow();
        (places(&target, lane), target.wanted)
    };
    let used = wanted || peer.has_streams();
    if silent {
        let others = others(addresses, link.remote().ip());
        if used && !others.is_empty() {
            return Some(others);
        }
        // It is the only way: it answers again, or is given up.
        tokio::select! {
            _ = link.closed() => {}
            () = link.relieved() => {}
        }
        return None;
    }
    if link.dialled_here() && used {
        if addresses.is_empty() {
            addresses.push(link.remote());
        }
        return Some(addresses);
    }
    if !link.dialled_here() && wanted && !addresses.is_empty() {
        return Some(addresses);
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
async fn wanted_addresses(
    peer: &Peer,
    lane: u16,
    target: &mut watch::Receiver<Target>,
    lanes: &mut watch::Receiver<u64>,
) -> Vec<SocketAddr> {
    loop {
        let asked = *lanes.borrow_and_update() & (1 << (lane % 64)) != 0;
        let found = {
            let target = target.borrow_and_update();
            // Shard 0 keeps a lane to every wanted peer; the others once they carry something.
            let wanted = target.wanted && (lane == 0 || asked);
            if wanted { places(&target, lane) } else { Vec::new() }
        };
        if !found.is_empty() {
            return found;
        }
        tokio::select! {
            _ = target.changed() => {}
            _ = lanes.changed() => {}
        }
        tracing::trace!(peer = %peer.name(), lane, "target changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn each_address_of_a_peer_has_a_socket_for_every_lane() {
        let all = ["[fd00::1]:1", "[fd00::1]:2", "10.0.0.1:1", "10.0.0.1:2"];
        let target = Target { addresses: addresses(&all), wanted: true };

        assert_eq!(places(&target, 0), addresses(&["[fd00::1]:1", "10.0.0.1:1"]));
        assert_eq!(places(&target, 1), addresses(&["[fd00::1]:2", "10.0.0.1:2"]));
        // A lane beyond the peer's shards is one more at the first.
        assert_eq!(places(&target, 2), places(&target, 0));
        assert_eq!(places(&Target::default(), 0), []);
    }

    #[test]
    fn the_address_that_answered_last_is_dialled_first_and_a_silent_one_not_at_all() {
        let all = addresses(&["[fd00::1]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        // As a socket for both families shows it.
        let mapped = "::ffff:10.0.0.1".parse::<IpAddr>().expect("an address");

        let first = beginning_with(Some(mapped.to_canonical()), all.clone());

        assert_eq!(first, addresses(&["10.0.0.1:1", "[fd00::1]:1", "10.0.0.2:1"]));
        assert_eq!(others(all.clone(), mapped), addresses(&["[fd00::1]:1", "10.0.0.2:1"]));
        assert_eq!(beginning_with(None, all.clone()), all);
    }
}
