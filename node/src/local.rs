//! The service at the end of the way: the verdict on a preamble, and the connection to the local socket.
//!
//! Streams from peers and connections of this node's own listeners come here alike: services on one node
//! are joined without QUIC, but not without a verdict.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_node_core::verdict::{Verdict, admit};
use sinew_transport::AppStream;
use sinew_transport_core::Code;
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::wire::Preamble;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::copy::{Sink, Source};
use crate::hosting::{InFlight, Place};
use crate::plane::Plane;

/// How long a destination waits for the snapshot by which its caller chose.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(1);

/// How long connecting to a local service may take, whatever the caller would wait.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Why a stream is not connected to a service; the caller is told only the code.
#[derive(Debug)]
pub(crate) struct NotServed {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

/// Judges the preamble of `caller` and connects to the service it is for.
pub(crate) async fn serve(
    plane: &Arc<Plane>,
    caller: &NodeName,
    preamble: &Preamble,
) -> Result<(Box<dyn AppStream>, InFlight), NotServed> {
    let place = judge(plane, caller, preamble).await?;
    let (slot, address) = (place.slot, place.address);
    let overloaded = |reason: String| NotServed { code: Code::Overloaded, reason };
    let room = plane.room.try_enter().ok_or_else(|| {
        overloaded(format!("this node carries {} connections already (`max_connections`)", plane.room.max()))
    })?;
    let serving = plane.hosting.begin(place, room).ok_or_else(|| {
        overloaded(format!(
            "the endpoint at {address} has as many connections as its `max_connections` allows"
        ))
    })?;
    let wait = match preamble.remaining_ms {
        0 => CONNECT_TIME,
        ms => CONNECT_TIME.min(Duration::from_millis(ms.into())),
    };
    match timeout_at(Instant::now() + wait, plane.runtime.connect(address)).await {
        Ok(Ok(stream)) => Ok((stream, serving)),
        Ok(Err(error)) => {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                plane.hosting.on_refused(slot);
            }
            Err(not_connected(address, &error))
        }
        Err(_) => Err(refused(format!("the service at {address} did not accept in {wait:?}"))),
    }
}

fn refused(reason: String) -> NotServed {
    NotServed { code: Code::Refused, reason }
}

/// Whether the system says that there are too many open files, in this process or in all.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    const DESCRIPTORS: [i32; 2] = [24, 23];
    error.raw_os_error().is_some_and(|errno| DESCRIPTORS.contains(&errno))
}

fn not_connected(address: SocketAddr, error: &io::Error) -> NotServed {
    if is_out_of_descriptors(error) {
        let reason = "this node is out of file descriptors: raise its limit on open files".into();
        return NotServed { code: Code::Overloaded, reason };
    }
    refused(format!("the service at {address}: {error}"))
}

/// The place, or why not. A caller that chose by a newer snapshot than ours is given a moment.
async fn judge(plane: &Plane, caller: &NodeName, preamble: &Preamble) -> Result<Arc<Place>, NotServed> {
    let mut revisions = plane.revision();
    let deadline = Instant::now() + SNAPSHOT_WAIT;
    loop {
        revisions.borrow_and_update();
        let place = plane.hosting.place(preamble.endpoint);
        let verdict = admit(&plane.view(), place.as_ref().map(|place| &place.service), caller, preamble);
        match (verdict, place) {
            (Verdict::Admit, Some(place)) if place.is_draining() => {
                plane.hosting.turn_away();
                let reason = format!("the service at {} takes nothing new", place.address);
                return Err(NotServed { code: Code::Draining, reason });
            }
            (Verdict::Admit, Some(place)) => return Ok(place),
            (Verdict::NoEndpoint | Verdict::Admit, _) => {
                let reason =
                    format!("slot {} here does not hold `{}`", preamble.endpoint, preamble.destination);
                return Err(NotServed { code: Code::NoEndpoint, reason });
            }
            (Verdict::Deny { reason }, _) => return Err(NotServed { code: Code::Denied, reason }),
            (Verdict::Wait { reason }, _) => {
                if timeout_at(deadline, revisions.changed()).await.is_err() {
                    let of = preamble.revision;
                    let reason = format!(
                        "{reason}; no snapshot that says otherwise (the caller has {of}) came in {SNAPSHOT_WAIT:?}"
                    );
                    return Err(NotServed { code: Code::Denied, reason });
                }
            }
        }
    }
}

/// A connection to a service on this node, for one of this node's own listeners.
#[derive(Debug)]
pub(crate) struct LocalService {
    app: App,
    serving: InFlight,
}

impl LocalService {
    /// It said something.
    pub(crate) fn on_answer(&self) {
        self.serving.on_answer();
    }

    /// For how long nothing may pass.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.serving.idle_timeout()
    }

    /// Both directions came to their clean end.
    pub(crate) fn close_cleanly(self) {
        self.app.close_cleanly();
    }
}

/// Connects one of this node's listeners to a service on this node.
pub(crate) async fn open(
    plane: &Arc<Plane>,
    preamble: &Preamble,
) -> Result<(Sink, Source, LocalService), NotServed> {
    let (stream, serving) = serve(plane, &plane.me, preamble).await?;
    let (app, reader, writer) = App::new(stream);
    Ok((Sink::Local(writer), Source::Local(reader), LocalService { app, serving }))
}
