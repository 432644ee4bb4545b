//! Choosing an endpoint for one connection, and waiting while none may be chosen.

use std::time::Duration;

use sinew_node_core::choose::{Candidate, Unavailable, choose_by};
use sinew_transport::Reach;
use sinew_transport_core::ids::EndpointId;
use tokio::time::{Instant, timeout_at};

use super::Connection;
use crate::plane::Way;

/// How long a connection waits while every endpoint left has refused lately. Their nodes answer, so
/// their services are down: the application should hear of it soon, but a restart may end sooner.
const ALL_OPEN_WAIT: Duration = Duration::from_secs(1);

/// Looks again at least this often while it waits: a breaker's probe falls due without any news.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// For how long, from its first snapshot on, a node lets connections wait for an endpoint that is much better
/// than those whose nodes answered first and is still being dialled. Otherwise whoever is first to answer would
/// get the first connections, whatever its weight. A handshake takes two round trips; who needs more than this
/// is not much better.
const BEGINNING: Duration = Duration::from_millis(500);

/// An endpoint, picked.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub(super) way: Way,
    /// The revision of the view that it was picked from.
    pub(super) revision: sinew_transport_core::Revision,
}

/// Picks an endpoint of the listener's service that is not among `tried`, waiting until `deadline`.
///
/// A connection routes by the view that it began with; only while that offers nothing, a newer one is
/// looked at.
pub(super) async fn pick(
    connection: &Connection,
    tried: &[EndpointId],
    deadline: Instant,
    rng: &mut fastrand::Rng,
) -> Result<Pick, Unavailable> {
    let plane = &connection.plane;
    let begun = Instant::now();
    let mut news = None;
    loop {
        wait_for_much_better(connection).await;
        let why = match pick_now(connection, tried, rng) {
            Ok(pick) => return Ok(pick),
            Err(why) => why,
        };
        // Subscribed before the second look, so that no news in between is missed.
        let Some(news) = news.as_mut() else {
            news = Some(plane.peers.news());
            continue;
        };
        let until = if why == Unavailable::AllOpen { deadline.min(begun + ALL_OPEN_WAIT) } else { deadline };
        let now = Instant::now();
        if !why.can_wait() || now >= until {
            return Err(why);
        }
        let _ = timeout_at(until.min(now + LOOK_AGAIN), news.changed()).await;
    }
}

/// Waits while the node begins and a much better endpoint than those that can be picked is being dialled.
async fn wait_for_much_better(connection: &Connection) {
    let plane = &connection.plane;
    let Some(until) = plane.begun().map(|begun| begun + BEGINNING) else { return };
    if !plane.config.mechanisms.weights || Instant::now() >= until {
        return;
    }
    let mut news = plane.peers.news();
    let worth_it = || {
        let Some(route) = plane.route(&connection.listener.service) else { return false };
        let here = |index: usize| route.ways[index].peer.as_ref().is_none_or(|peer| peer.usable());
        let reach = |index: usize| route.ways[index].peer.as_ref().map(|peer| peer.reach());
        let coming = |index: usize| reach(index) == Some(Reach::Connecting);
        route.shares.much_better_is_coming(route.ways.len(), here, coming)
    };
    while worth_it() && timeout_at(until, news.changed()).await.is_ok_and(|news| news.is_ok()) {}
}

fn pick_now(
    connection: &Connection,
    tried: &[EndpointId],
    rng: &mut fastrand::Rng,
) -> Result<Pick, Unavailable> {
    let plane = &connection.plane;
    let mechanisms = plane.config.mechanisms;
    let Some(route) = plane.route(&connection.listener.service) else { return Err(Unavailable::NoEndpoint) };
    let candidate = |index: usize| {
        let Way { endpoint, peer } = &route.ways[index];
        // No peer: it is this node's own.
        let usable = peer.as_ref().is_none_or(|p| p.usable() && (mechanisms.probation || !p.has_failed()));
        let tried = tried.contains(&endpoint.id);
        Candidate { load: &endpoint.load, breaker: &endpoint.breaker, usable, tried }
    };
    let index = choose_by(plane.clock.now_us(), rng, route.ways.len(), &route.shares, candidate, mechanisms)?;
    Ok(Pick { way: route.ways[index].clone(), revision: route.revision })
}
