//! Streams that never end by accident.
//!
//! quinn's `SendStream` *finishes* when it is dropped: to the reader, a task that panicked or was
//! cancelled looks like a clean end. Here only [`SendStream::finish`] makes a clean end; a drop resets
//! with [`Code::Broken`]. Reading knows the same three ends: finished, reset with a [`Code`], lost.

use bytes::Bytes;
use quinn::VarInt;
use sinew_transport_core::Code;
use sinew_transport_core::wire::{self, HEAD_LEN, Head, Malformed, Message};

/// Frames that a peer may have us skip before the one that is due; more is taken for an attack.
const SKIPPED_MAX: usize = 16;

/// Why a stream can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The other end reset or stopped it.
    #[error("the other end ended the stream: {0}")]
    Reset(Code),
    /// The connection under it is gone; why.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// The other end finished it in the middle of something.
    #[error("the stream ended before {0}")]
    Cut(&'static str),
    /// A frame on it can't be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl StreamError {
    /// What the application's connection is to be ended with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Reset(code) => *code,
            Self::Lost(_) | Self::Cut(_) | Self::Malformed(_) => Code::Broken,
        }
    }
}

fn code_of(number: VarInt) -> Code {
    Code::from_number(number.into_inner())
}

fn varint(code: Code) -> VarInt {
    VarInt::from_u32(code.number())
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct SendStream {
    inner: quinn::SendStream,
    ended: bool,
}

impl SendStream {
    pub(crate) fn new(inner: quinn::SendStream) -> Self {
        Self { inner, ended: false }
    }

    /// Hands one piece to QUIC; waits while the peer's window is full. Cancelling loses the piece: the
    /// stream must then be reset.
    ///
    /// # Errors
    /// [`StreamError`] when the peer stopped the stream or the connection is lost.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.inner.write_chunk(bytes).await.map_err(write_error)
    }

    /// Hands a message to QUIC as one frame, with `first` bytes of payload behind it in the same packet.
    ///
    /// # Errors
    /// As [`SendStream::write`].
    pub async fn write_frame<M: Message>(&mut self, message: &M, first: Bytes) -> Result<(), StreamError> {
        let mut pieces = [Bytes::from(wire::encode(message)), first];
        self.inner.write_all_chunks(&mut pieces).await.map_err(write_error)
    }

    /// Ends it cleanly: everything handed over so far will arrive, then the end.
    pub fn finish(&mut self) {
        // Fails only when the peer stopped it already, which the reader of the other half sees.
        let _ = self.inner.finish();
        self.ended = true;
    }

    /// Ends it with a code. What was handed over and not yet delivered is dropped.
    pub fn reset(&mut self, code: Code) {
        let _ = self.inner.reset(varint(code));
        self.ended = true;
    }

    /// Waits until the peer acknowledged everything including the end, or stopped the stream.
    ///
    /// # Errors
    /// [`StreamError`] when it was stopped or lost instead.
    pub async fn delivered(&mut self) -> Result<(), StreamError> {
        match self.inner.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(StreamError::Reset(code_of(code))),
            Err(error) => Err(StreamError::Lost(error.to_string())),
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.inner.reset(varint(Code::Broken));
        }
    }
}

fn write_error(error: quinn::WriteError) -> StreamError {
    match error {
        quinn::WriteError::Stopped(code) => StreamError::Reset(code_of(code)),
        other => StreamError::Lost(lost(&other)),
    }
}

fn read_error(error: quinn::ReadError) -> StreamError {
    match error {
        quinn::ReadError::Reset(code) => StreamError::Reset(code_of(code)),
        other => StreamError::Lost(lost(&other)),
    }
}

/// quinn says "connection lost" and keeps the reason in the source.
fn lost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The receiving half of a stream. Dropping it before its end stops the sender with [`Code::Broken`].
#[derive(Debug)]
pub struct RecvStream {
    inner: quinn::RecvStream,
}

impl RecvStream {
    pub(crate) fn new(inner: quinn::RecvStream) -> Self {
        Self { inner }
    }

    /// The next pieces: how many of `pieces` were filled; `None` at the clean end. Cancel-safe.
    ///
    /// # Errors
    /// [`StreamError`] when it was reset or lost.
    pub async fn read(&mut self, pieces: &mut [Bytes]) -> Result<Option<usize>, StreamError> {
        self.inner.read_chunks(pieces).await.map_err(read_error)
    }

    /// Reads the message that is due, skipping frames of unknown kinds that say they may be skipped.
    ///
    /// # Errors
    /// [`StreamError`] when the stream ends instead, or something else is in its place.
    pub async fn read_frame<M: Message>(&mut self) -> Result<M, StreamError> {
        let mut skipped = 0;
        loop {
            let head = self.read_head().await?;
            let due = wire::expect::<M>(head)?;
            skipped += usize::from(!due);
            if skipped > SKIPPED_MAX {
                return Err(Malformed::Skipping(SKIPPED_MAX).into());
            }
            let mut payload = vec![0; head.len as usize];
            self.read_exact(&mut payload).await?;
            if due {
                return Ok(wire::decode(&payload)?);
            }
        }
    }

    /// The head of the next frame, whatever it is.
    ///
    /// # Errors
    /// As [`RecvStream::read_frame`].
    pub async fn read_head(&mut self) -> Result<Head, StreamError> {
        let mut head = [0; HEAD_LEN];
        self.read_exact(&mut head).await?;
        Ok(Head::parse(head))
    }

    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`StreamError::Cut`] when the stream ends before.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        self.inner.read_exact(buffer).await.map_err(|error| match error {
            quinn::ReadExactError::FinishedEarly(_) => StreamError::Cut("a whole frame"),
            quinn::ReadExactError::ReadError(error) => read_error(error),
        })
    }

    /// Tells the sender to stop, and why.
    pub fn stop(&mut self, code: Code) {
        let _ = self.inner.stop(varint(code));
    }
}
