//! Application → mesh: listeners, and the life of each connection that arrives on one.
//!
//! A connection is accepted here, handed to a shard once, and from then on is one task: find an endpoint
//! ([`connect`]), join the two ends ([`connected`]), record the outcome exactly once.

mod assigned;
mod connect;
mod connected;
mod pick;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use sinew_node_core::{Direction, Guard, Limit, ListenConfig, Outcome, Record, Refused, speaks_for};
use sinew_transport::{AppArrival, AppListener};
use sinew_transport_core::ids::ServiceName;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connected::Copied;
use crate::app::{App, AppReader, AppWriter};
use crate::local::is_out_of_descriptors;
use crate::plane::{Accepting, Plane};

/// Connections that wait to be taken up by another shard; beyond it they are refused and counted.
pub(crate) const HANDOVER_MAX: usize = 1024;

/// A listener that can't accept (EMFILE, ENFILE, ENOBUFS) tries again after this, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Endpoints that accept one connection and fall silent before its first byte, at most: the second of them is
/// already hard to find.
const MOVES_MAX: u8 = 16;

/// A shard is left alone until another has this many connections less: staying saves a wake-up.
const LEAN: u32 = 2;

/// An application's connection on its way to a shard.
#[derive(Debug)]
pub(crate) struct Arrived {
    app: Box<dyn AppArrival>,
    client: SocketAddr,
    listener: Arc<ListenConfig>,
    place: Place,
}

/// A connection's places among those that its listener may carry, and its node.
type Places = [Guard; 2];

/// Counts a connection on its shard for as long as it lives.
#[derive(Debug)]
struct Place {
    plane: Arc<Plane>,
    shard: u16,
    _places: Places,
}

impl Place {
    fn take(plane: &Arc<Plane>, shard: u16, places: Places) -> Self {
        plane.active[usize::from(shard)].fetch_add(1, Relaxed);
        Self { plane: Arc::clone(plane), shard, _places: places }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Counted before it is asked whether anybody waits, as in `crate::hosting`.
        if self.plane.active[usize::from(self.shard)].fetch_sub(1, SeqCst) == 1 {
            self.plane.on_emptied();
        }
    }
}

/// The outbound half of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub(crate) plane: Arc<Plane>,
    pub(crate) shard: u16,
    /// To every shard, by index.
    pub(crate) handover: Vec<mpsc::Sender<Arrived>>,
    pub(crate) tracker: TaskTracker,
    /// Listeners close.
    pub(crate) closing: CancellationToken,
    /// What runs is cut.
    pub(crate) stop: CancellationToken,
}

impl Outbound {
    /// Accepts until the listeners close.
    pub(crate) async fn listen(
        self,
        listener: Arc<ListenConfig>,
        room: Limit,
        mut socket: Box<dyn AppListener>,
        _accepting: Accepting,
    ) {
        loop {
            let accepted = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((app, client)) => match self.enter(&room) {
                    Ok(places) => self.place(app, client, &listener, places),
                    Err(reason) => self.refuse(app, &listener, reason),
                },
                Err(error) if is_passing(&error) => {}
                Err(error) if is_out_of_descriptors(&error) && socket.shed() => {
                    self.count_refused(&listener, Refused::NoDescriptors);
                }
                Err(error) => {
                    self.plane.metrics.refused_connection(Refused::AcceptFailed);
                    if let Some(withheld) = self.plane.refused_connections.admit() {
                        tracing::warn!(%error, service = %listener.service, withheld, "can't accept: out of descriptors or memory? Raise the limit on open files");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A place among those of a listener, and one among those of the node.
    fn enter(&self, room: &Limit) -> Result<Places, Refused> {
        let here = room.try_enter().ok_or(Refused::ListenerFull)?;
        let on_node = self.plane.room.try_enter().ok_or(Refused::NodeFull)?;
        Ok([here, on_node])
    }

    /// Ends a connection before it began.
    fn refuse(&self, app: Box<dyn AppArrival>, listener: &ListenConfig, reason: Refused) {
        app.refuse();
        self.count_refused(listener, reason);
    }

    fn count_refused(&self, listener: &ListenConfig, reason: Refused) {
        self.plane.metrics.refused_connection(reason);
        if let Some(withheld) = self.plane.refused_connections.admit() {
            let (service, remedy) = (&listener.service, reason.remedy());
            tracing::warn!(%service, reason = reason.name(), withheld, remedy, "an application is refused");
        }
    }

    /// Finds a shard for a connection: this one, unless another has clearly less to do.
    fn place(
        &self,
        app: Box<dyn AppArrival>,
        client: SocketAddr,
        listener: &Arc<ListenConfig>,
        places: Places,
    ) {
        let active = &self.plane.active;
        let here = active[usize::from(self.shard)].load(Relaxed);
        let (least, idlest) =
            active.iter().map(|n| n.load(Relaxed)).zip(0_u16..).min().unwrap_or((here, self.shard));
        let shard = if here > least + LEAN { idlest } else { self.shard };
        let place = Place::take(&self.plane, shard, places);
        let arrived = Arrived { app, client, listener: Arc::clone(listener), place };
        if shard == self.shard {
            self.take(arrived);
        } else if let Err(full) = self.handover[usize::from(shard)].try_send(arrived) {
            self.refuse(full.into_inner().app, listener, Refused::HandoverFull);
        }
    }

    /// Takes connections up that other shards accepted.
    pub(crate) async fn take_over(self, mut arrivals: mpsc::Receiver<Arrived>) {
        while let Some(arrived) = arrivals.recv().await {
            self.take(arrived);
        }
    }

    fn take(&self, arrived: Arrived) {
        let Arrived { app, client, listener, place } = arrived;
        match app.into_stream() {
            Ok(stream) => {
                let (plane, shard, stop) = (Arc::clone(&self.plane), self.shard, self.stop.clone());
                self.tracker.spawn(async move {
                    let _place = place;
                    let connection = Connection { plane, shard, client, listener };
                    connection.live(stream, stop).await;
                });
            }
            Err(error) => {
                self.plane.metrics.refused_connection(Refused::AcceptFailed);
                tracing::warn!(%error, "can't take up an accepted connection");
            }
        }
    }
}

/// Whether an accept failed because of that one connection (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// One application's connection.
#[derive(Debug)]
struct Connection {
    plane: Arc<Plane>,
    shard: u16,
    client: SocketAddr,
    listener: Arc<ListenConfig>,
}

impl Connection {
    /// From accepted to recorded.
    async fn live(self, stream: Box<dyn sinew_transport::AppStream>, stop: CancellationToken) {
        let plane = &self.plane;
        let begun_us = plane.clock.now_us();
        let (app, mut reader, mut writer) = App::new(stream);
        let mut record = Record::begin(Direction::Outbound, plane.unix_us());
        record.client = Some(self.client);
        record.destination = Some(self.listener.service.clone());
        let source = speaks_for(&self.listener, &plane.view().granted).cloned();
        record.source = source.as_ref().ok().or(self.listener.source.as_ref()).cloned();
        plane.metrics.opened(&record);

        let outcome = match source {
            Err(nobody) => (Outcome::Denied, nobody.to_string()),
            Ok(source) => {
                let cut = || {
                    plane.metrics.cut("stopping");
                    (Outcome::Cut, "the node stops".into())
                };
                tokio::select! {
                    biased;
                    // A stopping shard closes its links, too: what breaks by that was cut, whichever of the
                    // two is seen first. What is complete stays complete.
                    ended = self.carry(source, &mut record, &mut reader, &mut writer) => match ended {
                        (Outcome::Broken, _) if stop.is_cancelled() => cut(),
                        ended => ended,
                    },
                    () = stop.cancelled() => cut(),
                }
            }
        };
        if outcome.0 == Outcome::Ok {
            app.close_cleanly();
        } else {
            drop(app);
        }
        record.end(outcome.0, outcome.1, plane.clock.now_us() - begun_us);
        plane.metrics.closed_after(&record, record.outcome);
        plane.access.write(record);
    }

    /// Finds an endpoint and copies until the end. An endpoint that falls silent before a byte has passed
    /// either way is left for another: nothing was delivered.
    async fn carry(
        &self,
        source: ServiceName,
        record: &mut Record,
        reader: &mut AppReader,
        writer: &mut AppWriter,
    ) -> (Outcome, String) {
        for _ in 0..MOVES_MAX {
            let connected = match connect::connect(self, source.clone(), record, reader).await {
                Ok(connected) => connected,
                Err(failed) => return failed,
            };
            match connected.copy(&self.plane, record, reader, writer).await {
                Copied::Ended(outcome, reason) => return (outcome, reason),
                Copied::Untouched(why) => {
                    self.plane.metrics.moved(why);
                    record.left(why);
                }
            }
        }
        (Outcome::Broken, format!("{MOVES_MAX} endpoints accepted it and fell silent"))
    }
}
