//! Listeners that the operator declares, and those of a configuration that was read again: opened and closed while
//! the node runs. Connections that came in by one that is closed live on.
//!
//! Each shard opens its share, told by the port, so that a listener stays where it is when others come and go. A
//! socket that can't be had is tried again every [`RETRY`], shown and counted; it never ends the node, whose other
//! listeners have nothing to do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sinew_api::snapshot::AssignedListener;
use sinew_node_core::{LISTENER_CONNECTIONS, ListenConfig};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Outbound;
use crate::plane::Accepting;

/// Between two attempts to have a socket: whatever holds it may end, and a person watches.
const RETRY: Duration = Duration::from_secs(2);

impl Outbound {
    /// Opens and closes this shard's share, until all close. `open` are those that it opened already.
    pub(crate) async fn follow_wanted(
        self,
        mut open: BTreeMap<AssignedListener, JoinHandle<()>>,
        _accepting: Accepting,
    ) {
        let mut news = self.plane.listeners.wanted();
        loop {
            let wanted = news.borrow_and_update().clone();
            let mine: BTreeSet<_> = wanted.iter().filter(|listener| self.is_mine(listener)).collect();
            let gone: Vec<_> = open.keys().filter(|listener| !mine.contains(listener)).cloned().collect();
            for listener in gone {
                if let Some(accepting) = open.remove(&listener) {
                    // Its socket is closed when its task is gone: another may want the address.
                    accepting.abort();
                    let _ = accepting.await;
                    self.plane.runtime.retire(listener.address);
                }
                self.plane.listeners.on_closed(&listener);
            }
            let mut missing = false;
            for listener in mine {
                if !open.contains_key(listener) {
                    match self.open(listener) {
                        Some(accepting) => drop(open.insert(listener.clone(), accepting)),
                        None => missing = true,
                    }
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => return,
                changed = news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(RETRY), if missing => {}
            }
        }
    }

    fn is_mine(&self, listener: &AssignedListener) -> bool {
        let by_port = usize::from(listener.address.port()) % self.handover.len().max(1);
        let shard = self.plane.listeners.opened_by(listener).map_or(by_port, usize::from);
        shard == usize::from(self.shard)
    }

    fn open(&self, listener: &AssignedListener) -> Option<JoinHandle<()>> {
        let AssignedListener { service, source, address } = listener.clone();
        let opened = self.plane.runtime.listen(address);
        let opened = opened.and_then(|socket| Ok((socket.local_addr()?, socket)));
        match opened {
            Ok((bound, socket)) => {
                self.plane.listeners.on_opened(listener, bound);
                let max_connections = LISTENER_CONNECTIONS;
                let config = Arc::new(ListenConfig { service, source, address, max_connections });
                let (room, accepting) = (self.plane.listeners.room(listener), self.plane.accept());
                Some(self.tracker.spawn(self.clone().listen(config, room, socket, accepting)))
            }
            Err(error) => {
                self.plane.metrics.listeners_failed.inc();
                self.plane.listeners.on_failed(listener, &error.to_string());
                None
            }
        }
    }
}
