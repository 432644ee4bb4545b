//! What nodes tell each other beside the streams: what stands behind them, as it comes and goes.
//!
//! A link begins with everything that its node hosts and goes on with what changes ([`NodeTeller`]). What a peer
//! tells waits in one short queue for [`follow`], which lays it over the snapshot and swaps the view; while that
//! queue is full, the peers' tells wait on their streams. So a peer that tells without end is slowed down, and costs
//! no more than a part of one core.

use std::sync::Arc;

use sinew_api::hosting::{Serve, Serving, Tell};
use sinew_transport::{BoxFuture, Link, Teller};
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::wire::{self, Malformed, Message};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};

use crate::hosting::Telling;
use crate::plane::Plane;

/// Tells that wait to be laid over the snapshot; then those who tell wait.
pub(crate) const HEARD_MAX: usize = 64;

/// How long tells are gathered before the view is made anew: many peers may tell of one event.
const GATHER: Duration = Duration::from_millis(2);

/// After a view was made, this many times what it took is left for other work.
const REST: u32 = 4;

/// What a peer told about itself.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) peer: NodeName,
    /// The run of its program.
    pub(crate) boot: u64,
    pub(crate) serving: Serving,
}

/// Takes what a peer tells; kinds that are not known here are skipped.
pub(crate) async fn hear(plane: &Plane, link: &Link, kind: u16, payload: Vec<u8>) -> Result<(), Malformed> {
    if kind == Tell::KIND {
        let Tell { serving } = wire::decode(&payload)?;
        let heard = Heard { peer: link.peer().clone(), boot: link.boot(), serving };
        // Nobody takes them any more only when the node stops.
        let _ = plane.heard.send(heard).await;
    }
    Ok(())
}

/// Keeps the view as new as what peers and this node's own table say, for ever.
pub(crate) async fn follow(plane: Arc<Plane>, mut heard: mpsc::Receiver<Heard>) {
    let mut own = plane.hosting.versions();
    loop {
        let news = tokio::select! {
            Some(heard) = heard.recv() => plane.hear(heard),
            Ok(()) = own.changed() => true,
            else => return,
        };
        if !news {
            continue;
        }
        sleep(GATHER).await;
        for _ in 0..HEARD_MAX {
            let Ok(more) = heard.try_recv() else { break };
            plane.hear(more);
        }
        let begun = Instant::now();
        plane.refresh();
        sleep(REST * begun.elapsed()).await;
    }
}

/// Tells one peer, on one link, what stands behind this node. A node that the snapshot does not name is told nothing
/// until one does: it has no business here.
pub(crate) struct NodeTeller {
    plane: Arc<Plane>,
    peer: NodeName,
    telling: Telling,
    begun: bool,
}

impl NodeTeller {
    pub(crate) fn new(plane: &Arc<Plane>, peer: &NodeName) -> Self {
        let telling = Telling::new(&plane.hosting);
        Self { plane: Arc::clone(plane), peer: peer.clone(), telling, begun: false }
    }

    /// Waits until a snapshot names the peer.
    async fn known(&self) {
        let mut revisions = self.plane.revision();
        while self.plane.view().peer(&self.peer).is_none() {
            if revisions.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Teller for NodeTeller {
    fn next(&mut self) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(async {
            self.known().await;
            let serving = if std::mem::replace(&mut self.begun, true) {
                self.telling.changed().await
            } else {
                self.telling.whole()
            };
            let mut frames = Vec::new();
            write(&mut frames, serving.version, serving.whole, &serving.changes);
            frames
        })
    }
}

/// Writes as many frames as it takes.
fn write(frames: &mut Vec<u8>, version: u64, whole: bool, changes: &[(u16, Option<Serve>)]) {
    let tell = Tell { serving: Serving { version, whole, changes: changes.to_vec() } };
    if wire::fits(&tell) {
        frames.extend(wire::encode(&tell));
    } else if let [_, _, ..] = changes {
        let (first, rest) = changes.split_at(changes.len() / 2);
        write(frames, version, whole, first);
        write(frames, version, false, rest);
    } else {
        tracing::error!("an endpoint's labels are too long to be told to other nodes; shorten them");
    }
}

#[cfg(test)]
mod tests {
    use sinew_api::hosting::{CAPACITY_DEFAULT, Health};
    use sinew_transport_core::ids::ServiceName;
    use sinew_transport_core::wire::{HEAD_LEN, Head};

    use super::*;

    #[test]
    fn what_does_not_fit_into_one_frame_is_told_in_several_of_one_version() {
        let serve = |slot| Serve {
            service: ServiceName::new("orders").expect("valid"),
            slot,
            labels: [("text".to_owned(), "x".repeat(250))].into(),
            capacity: CAPACITY_DEFAULT,
            health: Health::Up,
        };
        let changes: Vec<_> = (0..1000).map(|slot| (slot, Some(serve(slot)))).collect();

        let mut frames = Vec::new();
        write(&mut frames, 7, true, &changes);

        let (mut told, mut rest): (Vec<Serving>, &[u8]) = (Vec::new(), &frames);
        while let Some((head, tail)) = rest.split_first_chunk::<HEAD_LEN>() {
            let head = Head::parse(*head);
            assert!(head.skippable() && head.len <= sinew_transport::tell::TELL_MAX);
            let (payload, tail) = tail.split_at(head.len as usize);
            told.push(wire::decode::<Tell>(payload).expect("well-formed").serving);
            rest = tail;
        }
        assert!(told.len() > 1 && told[0].whole && told[1..].iter().all(|part| !part.whole));
        assert!(told.iter().all(|part| part.version == 7));
        assert_eq!(told.into_iter().flat_map(|part| part.changes).collect::<Vec<_>>(), changes);
    }
}
