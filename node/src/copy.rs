//! The one loop that touches payload: between an application and whatever is upstream or downstream of
//! it, both directions at once, until both have ended cleanly or either has broken.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use sinew_node_core::Outcome;
use sinew_transport::{RecvStream, SendStream, StreamError};
use sinew_transport_core::Code;

use crate::app::{AppReader, AppWriter};

/// Pieces taken from QUIC at once.
const PIECES: usize = 64;

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
}

impl Broken {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Application(_) => Outcome::ResetByApplication,
            Self::Stream(error) => error.code().into(),
        }
    }

    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Application(error) => error.to_string(),
            Self::Stream(error) => error.to_string(),
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
        }
    }
}

impl Sink {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Broken> {
        match self {
            Self::Stream(stream) => stream.write(bytes).await.map_err(Broken::Stream),
            Self::Local(app) => app.write(&mut [bytes]).await.map_err(far_side),
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
    pub(crate) from_app: AtomicU64,
    pub(crate) to_app: AtomicU64,
    /// Whether a byte, or the far side's end, has reached anybody's hands: from then on nobody else may have
    /// the connection.
    pub(crate) touched: AtomicBool,
    /// Told after bytes from the application were handed over.
    pub(crate) on_from_app: &'a (dyn Fn() + Sync),
    /// Told when bytes for the application arrive.
    pub(crate) on_to_app: &'a (dyn Fn() + Sync),
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
    let outcome = tokio::try_join!(away(reader, sink, meter), toward(source, writer, meter));
    if let Err(broken) = &outcome {
        sink.reset(broken.code());
        source.stop(broken.code());
    }
    outcome.map(|_| ())
}

async fn away(reader: &mut AppReader, sink: &mut Sink, meter: &Meter<'_>) -> Result<(), Broken> {
    while let Some(bytes) = reader.read().await.map_err(Broken::Application)? {
        meter.touched.store(true, Relaxed);
        let len = bytes.len() as u64;
        sink.write(bytes).await?;
        meter.from_app.fetch_add(len, Relaxed);
        (meter.on_from_app)();
    }
    sink.finish().await?;
    sink.delivered().await
}

async fn toward(source: &mut Source, writer: &mut AppWriter, meter: &Meter<'_>) -> Result<(), Broken> {
    let mut pieces = [const { Bytes::new() }; PIECES];
    while let Some(count) = source.read(&mut pieces).await? {
        meter.touched.store(true, Relaxed);
        (meter.on_to_app)();
        let pieces = &mut pieces[..count];
        let len: usize = pieces.iter().map(Bytes::len).sum();
        writer.write(pieces).await.map_err(Broken::Application)?;
        meter.to_app.fetch_add(len as u64, Relaxed);
    }
    meter.touched.store(true, Relaxed);
    writer.finish().await.map_err(Broken::Application)
}
