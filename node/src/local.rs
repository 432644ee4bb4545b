//! The service at the end of the way: the verdict on a preamble, and the connection to the local socket.
//!
//! Streams from peers and connections of this node's own listeners come here alike: services on one node
//! are joined without QUIC, but not without a verdict.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use sinew_node_core::verdict::{Verdict, admit};
use sinew_transport::AppStream;
use sinew_transport_core::Code;
use sinew_transport_core::ids::NodeName;
use sinew_transport_core::wire::Preamble;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::copy::{Sink, Source};
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

/// Counts a connection in progress at a slot.
#[derive(Debug)]
pub(crate) struct Serving {
    plane: Arc<Plane>,
    slot: usize,
}

impl Serving {
    fn begin(plane: &Arc<Plane>, slot: usize) -> Self {
        plane.served[slot].fetch_add(1, Relaxed);
        Self { plane: Arc::clone(plane), slot }
    }

    pub(crate) fn load(&self) -> u32 {
        count(&self.plane, self.slot).load(Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        count(&self.plane, self.slot).fetch_sub(1, Relaxed);
    }
}

fn count(plane: &Plane, slot: usize) -> &AtomicU32 {
    &plane.served[slot]
}

/// Judges the preamble of `caller` and connects to the service it is for.
pub(crate) async fn serve(
    plane: &Arc<Plane>,
    caller: &NodeName,
    preamble: &Preamble,
) -> Result<(Box<dyn AppStream>, Serving), NotServed> {
    let slot = usize::from(judge(plane, caller, preamble).await?);
    let serving = Serving::begin(plane, slot);
    let address = plane.config.serves[slot].address;
    let wait = match preamble.remaining_ms {
        0 => CONNECT_TIME,
        ms => CONNECT_TIME.min(Duration::from_millis(ms.into())),
    };
    match timeout_at(Instant::now() + wait, plane.runtime.connect(address)).await {
        Ok(Ok(stream)) => Ok((stream, serving)),
        Ok(Err(error)) => Err(not_connected(address, &error)),
        Err(_) => Err(refused(format!("the service at {address} did not accept in {wait:?}"))),
    }
}

fn refused(reason: String) -> NotServed {
    NotServed { code: Code::Refused, reason }
}

fn not_connected(address: SocketAddr, error: &std::io::Error) -> NotServed {
    /// Too many open files, in this process or in the system.
    const DESCRIPTORS: [i32; 2] = [24, 23];
    if error.raw_os_error().is_some_and(|errno| DESCRIPTORS.contains(&errno)) {
        let reason = "this node is out of file descriptors: raise its limit on open files".into();
        return NotServed { code: Code::Overloaded, reason };
    }
    refused(format!("the service at {address}: {error}"))
}

/// The slot, or why not. A caller that chose by a newer snapshot than ours is given a moment.
async fn judge(plane: &Plane, caller: &NodeName, preamble: &Preamble) -> Result<u16, NotServed> {
    let mut revisions = plane.revision();
    let deadline = Instant::now() + SNAPSHOT_WAIT;
    loop {
        revisions.borrow_and_update();
        match admit(&plane.view(), &plane.config.serves, caller, preamble) {
            Verdict::Admit { slot } => return Ok(slot),
            Verdict::NoEndpoint => {
                let reason =
                    format!("slot {} here does not hold `{}`", preamble.endpoint, preamble.destination);
                return Err(NotServed { code: Code::NoEndpoint, reason });
            }
            Verdict::Deny { reason } => return Err(NotServed { code: Code::Denied, reason }),
            Verdict::Wait => {}
        }
        if timeout_at(deadline, revisions.changed()).await.is_err() {
            let reason = format!(
                "no snapshot as new as the caller's ({}) came in {SNAPSHOT_WAIT:?}",
                preamble.revision
            );
            return Err(NotServed { code: Code::Denied, reason });
        }
    }
}

/// A connection to a service on this node, for one of this node's own listeners.
#[derive(Debug)]
pub(crate) struct LocalService {
    app: App,
    _serving: Serving,
}

impl LocalService {
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
    Ok((Sink::Local(writer), Source::Local(reader), LocalService { app, _serving: serving }))
}
