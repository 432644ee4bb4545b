//! Frames: how messages look on a stream, and the only calls of bincode in the project.
//!
//! A frame is `len u32 | kind u16 | flags u16`, little-endian, then `len` bytes of bincode. Flag bit 0
//! says that a receiver which does not know the kind skips the frame. The head is laid by hand, so that
//! any version can step over what it does not know; bincode only fills the payload.
//!
//! The rules that keep this safe and lasting:
//! - a payload is decoded only under a limit, and must be consumed to its last byte;
//! - no zero-sized elements and no recursive types in a message (bincode's limit does not see them);
//! - enums only grow at their end; a payload that has shipped is frozen, a change is a new kind;
//! - golden bytes in `transport/core/tests/golden` are added to, never edited.

mod data;

pub use data::{
    Accepted, Capability, Class, ECHO, Echo, Echoed, Ext, Hello, Ping, Preamble, StreamKind, VOUCHES,
};

use bincode::{Decode, Encode};

/// Bytes of a frame's head.
pub const HEAD_LEN: usize = 8;

/// Flag bit 0: whoever does not know the kind skips the frame.
pub const SKIPPABLE: u16 = 1;

/// The most that decoding one frame of a data connection may allocate. A preamble is at most 4 KiB of
/// wire; in memory a string costs 24 bytes more than its text, so 16 times is ample.
const DATA_MEMORY: usize = 64 * 1024;

/// The most that decoding one control frame may allocate; control frames are at most 1 MiB of wire.
const CONTROL_MEMORY: usize = 16 * 1024 * 1024;

/// A message that travels as one frame.
pub trait Message: Encode + Decode<()> + Sized {
    /// The number of its kind; never used again for anything else.
    const KIND: u16;
    /// The longest payload that is read.
    const MAX_LEN: u32;
    /// Whether it is read under the memory limit of control frames instead of that of data frames.
    const CONTROL: bool = false;
    /// The flags it is sent with.
    const FLAGS: u16 = 0;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of payload that follow.
    pub len: u32,
    /// What the payload is.
    pub kind: u16,
    /// See [`SKIPPABLE`].
    pub flags: u16,
}

impl Head {
    /// Reads a head.
    #[must_use]
    pub fn parse(bytes: [u8; HEAD_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            len: u32::from_le_bytes([a, b, c, d]),
            kind: u16::from_le_bytes([e, f]),
            flags: u16::from_le_bytes([g, h]),
        }
    }

    /// The bytes of this head.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEAD_LEN] {
        let [a, b, c, d] = self.len.to_le_bytes();
        let [e, f] = self.kind.to_le_bytes();
        let [g, h] = self.flags.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Whether a receiver that does not know the kind steps over the frame.
    #[must_use]
    pub fn skippable(self) -> bool {
        self.flags & SKIPPABLE != 0
    }
}

/// Why bytes are no frame that is understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The payload is longer than its kind may be.
    #[error("a frame of kind {kind} claims {len} bytes, more than the {max} allowed")]
    TooLong {
        /// The frame's kind.
        kind: u16,
        /// The claimed length.
        len: u32,
        /// The limit of its kind.
        max: u32,
    },
    /// A frame of a kind that is not known here and may not be skipped.
    #[error("frame kind {0} is not known here and may not be skipped")]
    UnknownKind(u16),
    /// Skippable frames, one after the other, where something is due.
    #[error("more than {0} frames to be skipped before the one that is due")]
    Skipping(usize),
    /// A frame of a known kind where another is due.
    #[error("frame kind {found} where {expected} is due")]
    Unexpected {
        /// What came.
        found: u16,
        /// What was due.
        expected: u16,
    },
    /// The payload does not decode.
    #[error("the payload of frame kind {kind} does not decode: {reason}")]
    Payload {
        /// The frame's kind.
        kind: u16,
        /// What bincode says.
        reason: String,
    },
    /// The payload decodes before its end.
    #[error("the payload of frame kind {kind} has {extra} bytes too many")]
    Trailing {
        /// The frame's kind.
        kind: u16,
        /// How many bytes are left.
        extra: usize,
    },
}

/// The whole frame of a message.
///
/// # Panics
/// When our own message is longer than its kind allows or cannot be encoded: only a defect of ours can
/// cause that, since the senders cut what comes from outside to size.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let mut frame = vec![0; HEAD_LEN];
    let written = bincode::encode_into_std_write(message, &mut frame, bincode::config::standard());
    #[expect(clippy::expect_used, reason = "see Panics")]
    let len = u32::try_from(written.expect("our own messages encode")).expect("frames are short");
    assert!(len <= M::MAX_LEN, "frame kind {} of {len} bytes is over its own limit", M::KIND);
    frame[..HEAD_LEN].copy_from_slice(&Head { len, kind: M::KIND, flags: M::FLAGS }.to_bytes());
    frame
}

/// Whether a message fits its own limit: for those whose size follows what came from outside.
#[must_use]
pub fn fits<M: Message>(message: &M) -> bool {
    bincode::encode_to_vec(message, bincode::config::standard()).is_ok_and(|v| v.len() <= M::MAX_LEN as usize)
}

/// The bytes of a value that is a part of larger messages: a snapshot before it is cut into chunks.
#[must_use]
pub fn encode_part<T: Encode>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "encoding into memory fails only for types that we do not use")]
    bincode::encode_to_vec(value, bincode::config::standard()).expect("our own values encode")
}

/// Reads what [`encode_part`] wrote, under the memory limit of control messages.
///
/// # Errors
/// [`Malformed::Payload`] or [`Malformed::Trailing`], with `kind` 0.
pub fn decode_part<T: Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    decode_limited::<T>(0, bytes, true)
}

/// Checks a head against the message that is due: `Ok(false)` means "skip this frame".
///
/// # Errors
/// [`Malformed`] when it is another kind that may not be skipped, or too long.
pub fn expect<M: Message>(head: Head) -> Result<bool, Malformed> {
    if head.len > M::MAX_LEN {
        return Err(Malformed::TooLong { kind: head.kind, len: head.len, max: M::MAX_LEN });
    }
    if head.kind == M::KIND {
        return Ok(true);
    }
    if head.skippable() {
        return Ok(false);
    }
    Err(Malformed::Unexpected { found: head.kind, expected: M::KIND })
}

/// The message in a payload whose head said it is an `M`.
///
/// # Errors
/// [`Malformed`] when it does not decode within its limits, or not to its last byte.
pub fn decode<M: Message>(payload: &[u8]) -> Result<M, Malformed> {
    if payload.len() > M::MAX_LEN as usize {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        return Err(Malformed::TooLong { kind: M::KIND, len, max: M::MAX_LEN });
    }
    decode_limited(M::KIND, payload, M::CONTROL)
}

fn decode_limited<T: Decode<()>>(kind: u16, payload: &[u8], control: bool) -> Result<T, Malformed> {
    let config = bincode::config::standard();
    let decoded = if control {
        bincode::decode_from_slice(payload, config.with_limit::<CONTROL_MEMORY>())
    } else {
        bincode::decode_from_slice(payload, config.with_limit::<DATA_MEMORY>())
    };
    let (value, used) = decoded.map_err(|e| Malformed::Payload { kind, reason: e.to_string() })?;
    match payload.len() - used {
        0 => Ok(value),
        extra => Err(Malformed::Trailing { kind, extra }),
    }
}

#[cfg(test)]
mod tests;
