//! The one loop that touches payload: between an application and whatever is upstream or downstream of
//! it, both directions at once, until both have ended cleanly or either has broken.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use sinew_node_core::Outcome;
use sinew_transport::{MTU_MAX, RecvStream, STREAM_WINDOW, SendStream, StreamError};
use sinew_transport_core::Code;
use tokio::time::{Instant, sleep};

use crate::app::{AppReader, AppWriter, READ_MAX};
use crate::plane::Plane;
use crate::stalls::Flow;

/// Pieces taken from QUIC at once.
const PIECES: usize = 64;

/// What waits here for a reader behind a stream from a peer, at most: what the stream allows and the pieces that were
/// taken, and half as much again for what quinn and the allocator need to keep it (1.2 to 1.6 times, measured).
const HELD_FROM_STREAM: u64 = (STREAM_WINDOW + (PIECES * MTU_MAX as usize) as u64) * 3 / 2;
/// What waits for any other reader: one read.
const HELD_FROM_APP: u64 = READ_MAX as u64;

/// An idle connection is looked at so often before its time is over: it ends at most an eighth late.
const IDLE_LOOKS: u32 = 8;

/// The direction away from the application: a stream to a peer, or a service on this node.
#[derive(Debug)]
pub(crate) enum Sink {
    Stream(SendStream),
    Local(AppWriter),
}

/// The direction to the application.
#[derive(Debug)]
pub(crate) enum Source {
    Stream(RecvStream),
    Local(AppReader),
}

/// Which side broke, and how.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The application at this end.
    Application(io::Error),
    /// The stream between the nodes.
    Stream(StreamError),
    /// A reader that did not read, among too many.
    Stalled,
    /// Nothing passed for as long as the endpoint allows.
    Idle(Duration),
}

impl Broken {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Application(_) => Outcome::ResetByApplication,
            other => other.code().into(),
        }
    }

    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Application(error) => error.to_string(),
            Self::Stream(error) => error.to_string(),
            Self::Stalled => {
                "its reader took nothing for the longest, and stalled connections held too much".into()
            }
            Self::Idle(limit) => {
                format!("nothing passed for {}", humantime::format_duration(*limit))
            }
        }
    }

    /// Why, when the peer itself is gone or going, and neither of the two applications ended it.
    pub(crate) fn peer_ended(&self) -> Option<&'static str> {
        match self {
            Self::Stream(StreamError::Lost(_)) => Some("LOST"),
            Self::Stream(StreamError::Reset(Code::Cut)) => Some(Code::Cut.name()),
            _ => None,
        }
    }

    /// What the other end is told.
    fn code(&self) -> Code {
        match self {
            Self::Application(_) => Code::ResetByApplication,
            Self::Stream(error) => error.code(),
            Self::Stalled => Code::Cut,
            Self::Idle(_) => Code::Idle,
        }
    }
}

impl Sink {
    /// Hands one piece over, and counts what of it has `passed`.
    pub(crate) async fn write(&mut self, bytes: Bytes, passed: &AtomicU64) -> Result<(), Broken> {
        match self {
            Self::Stream(stream) => {
                let len = bytes.len() as u64;
                stream.write(bytes).await.map_err(Broken::Stream)?;
                passed.fetch_add(len, Relaxed);
                Ok(())
            }
            Self::Local(app) => app.write(&mut [bytes], passed).await.map_err(far_side),
        }
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        match self {
            Self::Stream(stream) => {
                stream.finish();
                Ok(())
            }
            Self::Local(app) => app.finish().await.map_err(far_side),
        }
    }

    /// Waits until everything, the end included, has arrived.
    async fn delivered(&mut self) -> Result<(), Broken> {
        match self {
            Self::Stream(stream) => stream.delivered().await.map_err(Broken::Stream),
            Self::Local(_) => Ok(()),
        }
    }

    pub(crate) fn reset(&mut self, code: Code) {
        if let Self::Stream(stream) = self {
            stream.reset(code);
        }
    }
}

impl Source {
    async fn read(&mut self, pieces: &mut [Bytes; PIECES]) -> Result<Option<usize>, Broken> {
        match self {
            Self::Stream(stream) => stream.read(pieces).await.map_err(Broken::Stream),
            Self::Local(app) => {
                let Some(bytes) = app.read().await.map_err(far_side)? else { return Ok(None) };
                pieces[0] = bytes;
                Ok(Some(1))
            }
        }
    }

    pub(crate) fn stop(&mut self, code: Code) {
        if let Self::Stream(stream) = self {
            stream.stop(code);
        }
    }
}

/// A service on this node that broke looks like one behind a stream.
fn far_side(_: io::Error) -> Broken {
    Broken::Stream(StreamError::Reset(Code::ResetByApplication))
}

/// Bytes by direction, and whoever wants to know of each.
pub(crate) struct Meter<'a> {
    pub(crate) from_app: Arc<Flow>,
    pub(crate) to_app: Arc<Flow>,
    /// Whether a byte, or the far side's end, has reached anybody's hands: from then on nobody else may have
    /// the connection.
    pub(crate) touched: AtomicBool,
    /// Told after bytes from the application were handed over.
    pub(crate) on_from_app: &'a (dyn Fn() + Sync),
    /// Told when bytes for the application arrive.
    pub(crate) on_to_app: &'a (dyn Fn() + Sync),
    /// For how long nothing may pass.
    idle: Option<Duration>,
    plane: &'a Plane,
}

impl<'a> Meter<'a> {
    /// Begins with nothing counted.
    pub(crate) fn new(
        plane: &'a Plane,
        idle: Option<Duration>,
        on_from_app: &'a (dyn Fn() + Sync),
        on_to_app: &'a (dyn Fn() + Sync),
    ) -> Self {
        let (from_app, to_app) = (Arc::default(), Arc::default());
        let touched = AtomicBool::new(false);
        Self { from_app, to_app, touched, on_from_app, on_to_app, idle, plane }
    }

    /// Bytes that were handed over before the copy began.
    pub(crate) fn begin_with(&self, from_app: u64) {
        self.from_app.passed.store(from_app, Relaxed);
        self.touched.store(from_app > 0, Relaxed);
    }

    /// Payload from the application that was handed over.
    pub(crate) fn bytes_from_app(&self) -> u64 {
        self.from_app.passed.load(Relaxed)
    }

    /// Payload that the application took.
    pub(crate) fn bytes_to_app(&self) -> u64 {
        self.to_app.passed.load(Relaxed)
    }

    /// Writes, and lets the node give the connection up while the reader has it wait. A write that does not wait
    /// pays nothing for this.
    async fn may_wait(
        &self,
        flow: &Arc<Flow>,
        holds: u64,
        write: impl Future<Output = Result<(), Broken>>,
    ) -> Result<(), Broken> {
        let mut write = pin!(write);
        let mut given_up = pin!(flow.given_up());
        let mut waits = false;
        poll_fn(|context| {
            if let Poll::Ready(written) = write.as_mut().poll(context) {
                if waits {
                    flow.goes_on();
                }
                return Poll::Ready(written);
            }
            if !waits {
                waits = true;
                self.plane.stalls.wait(flow, holds);
            }
            given_up.as_mut().poll(context).map(|()| {
                self.plane.metrics.cut("stalled");
                Err(Broken::Stalled)
            })
        })
        .await
    }

    /// Waits until nothing has passed for as long as is allowed.
    async fn idle(&self) -> Duration {
        let Some(limit) = self.idle else { return std::future::pending().await };
        let passed = || self.bytes_from_app() + self.bytes_to_app();
        let mut last = (passed(), Instant::now());
        while last.1.elapsed() < limit {
            sleep(limit / IDLE_LOOKS).await;
            if passed() != last.0 {
                last = (passed(), Instant::now());
            }
        }
        limit
    }
}

/// Copies both ways until both ends have finished, and all of it was delivered.
///
/// # Errors
/// [`Broken`] says which side; the other side of the copy has been told by a reset.
pub(crate) async fn join(
    app: (&mut AppReader, &mut AppWriter),
    far: (&mut Sink, &mut Source),
    meter: &Meter<'_>,
) -> Result<(), Broken> {
    let (reader, writer) = app;
    let (sink, source) = far;
    let copied = async { tokio::try_join!(away(reader, sink, meter), toward(source, writer, meter)) };
    let outcome = tokio::select! {
        biased;
        copied = copied => copied.map(|_| ()),
        limit = meter.idle() => {
            meter.plane.metrics.cut("idle");
            Err(Broken::Idle(limit))
        }
    };
    if let Err(broken) = &outcome {
        sink.reset(broken.code());
        source.stop(broken.code());
    }
    outcome
}

async fn away(reader: &mut AppReader, sink: &mut Sink, meter: &Meter<'_>) -> Result<(), Broken> {
    let flow = &meter.from_app;
    while let Some(bytes) = reader.read().await.map_err(Broken::Application)? {
        meter.touched.store(true, Relaxed);
        meter.may_wait(flow, HELD_FROM_APP, sink.write(bytes, &flow.passed)).await?;
        (meter.on_from_app)();
    }
    sink.finish().await?;
    sink.delivered().await
}

async fn toward(source: &mut Source, writer: &mut AppWriter, meter: &Meter<'_>) -> Result<(), Broken> {
    let flow = &meter.to_app;
    let holds = match source {
        Source::Stream(_) => HELD_FROM_STREAM,
        Source::Local(_) => HELD_FROM_APP,
    };
    let mut pieces = [const { Bytes::new() }; PIECES];
    while let Some(count) = source.read(&mut pieces).await? {
        meter.touched.store(true, Relaxed);
        (meter.on_to_app)();
        let write =
            async { writer.write(&mut pieces[..count], &flow.passed).await.map_err(Broken::Application) };
        meter.may_wait(flow, holds, write).await?;
    }
    meter.touched.store(true, Relaxed);
    writer.finish().await.map_err(Broken::Application)
}
