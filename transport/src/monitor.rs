//! Judges the links of a shard: asks for keep-alives, and turns silence into *suspect* and *dead*.
//!
//! One task for the whole shard, since looking at a link costs some loads of atomics. It looks every
//! [`LOOK`] while anything waits for an answer, and every [`REST`] otherwise; the first stream on an idle
//! link wakes it. A look that came late is no evidence: whoever was not scheduled has not listened
//! either.

use std::sync::Arc;
use std::time::Duration;

use sinew_transport_core::link::Verdict;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::lifetime::Age;
use crate::link::Link;
use crate::peers::{Peer, Peers};
use crate::runtime::Runtime;
use crate::validity::Trust;

/// Between two looks while something waits for an answer: finer than the least time to *suspect*.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks otherwise: the shortest keep-alive.
const REST: Duration = Duration::from_millis(250);
/// A look that comes later than this after it was due does not accuse anybody.
const LATE: Duration = Duration::from_millis(20);

pub(crate) struct Monitor {
    pub(crate) shard: u16,
    pub(crate) peers: Arc<Peers>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) dead_after: Duration,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) trust: Arc<Trust>,
    /// False in a control experiment: nobody is ever suspect.
    pub(crate) suspicion: bool,
}

impl Monitor {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut busy = false;
        while !stop.is_cancelled() {
            let pause = if busy { LOOK } else { REST };
            let due = Instant::now() + pause;
            // Woken: there is nothing to judge yet, but from now on we look often.
            let on_time = timeout(pause, self.wake.notified()).await.is_err() && Instant::now() < due + LATE;
            busy = self.look_at_all(on_time);
        }
    }

    /// Looks at every link of this shard; true when one of them waits for an answer or has streams.
    fn look_at_all(&self, on_time: bool) -> bool {
        let mut busy = false;
        let now = self.runtime.wall_now();
        for peer in self.peers.all() {
            for link in peer.links().iter().filter(|link| link.shard() == self.shard) {
                self.look_at(&peer, link, on_time);
                self.look_at_age(link, now);
                busy |= link.waiting() || link.streams() > 0;
            }
        }
        busy
    }

    /// No connection is older than its certificates: what is left of it is given up.
    fn look_at_age(&self, link: &Link, now: Duration) {
        if link.age(now, &self.trust) == Age::Over && !link.is_closed() {
            let streams = link.streams();
            if streams > 0 {
                tracing::warn!(peer = %link.peer(), lane = link.lane(), streams, "a certificate ended, and no newer connection vouches for this one: giving up its streams");
            }
            link.close("a certificate ended");
        }
    }

    fn look_at(&self, peer: &Peer, link: &Link, on_time: bool) {
        link.look_for_arrivals();
        if link.ping_due() {
            link.pinged();
            link.ping.notify_one();
        }
        let before = link.verdict();
        let mut verdict = link.judge(self.dead_after);
        if verdict > before && verdict >= Verdict::Suspect && !on_time {
            return;
        }
        if !self.suspicion {
            verdict = verdict.min(Verdict::Doubtful);
        }
        if !link.settle(verdict) {
            return;
        }
        match (before, verdict) {
            (_, Verdict::Dead) => {
                tracing::warn!(peer = %link.peer(), lane = link.lane(), silent = ?self.dead_after, "peer is dead: giving up its streams");
                link.close("you did not answer");
            }
            (Verdict::Alive | Verdict::Doubtful, Verdict::Suspect) => {
                tracing::info!(peer = %link.peer(), lane = link.lane(), streams = link.streams(), "peer is suspect: no new picks");
                peer.note_failure();
                self.peers.tell_news();
            }
            (Verdict::Suspect | Verdict::Dead, Verdict::Alive | Verdict::Doubtful) => {
                tracing::info!(peer = %link.peer(), lane = link.lane(), "peer answers again");
                peer.note_recovery();
                self.peers.tell_news();
            }
            _ => {}
        }
    }
}
