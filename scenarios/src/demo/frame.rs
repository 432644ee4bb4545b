//! What load and echo service say to each other: little-endian, no surprises.
//!
//! Request: `id u64 | length u32 | payload`. Answer: `id u64 | name length u16 | name | length u32 |
//! payload`. The answer repeats id and payload, so that whoever asked can tell a lost, doubled, swapped
//! or damaged byte.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest payload: 1 MiB, held in memory whole.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// The longest name: a node's label, a slash and a slot, with room.
const MAX_NAME: usize = 256;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which request this is.
    pub id: u64,
    /// What is to come back.
    pub payload: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which request it answers.
    pub id: u64,
    /// Who answers.
    pub name: String,
    /// What was asked.
    pub payload: Vec<u8>,
}

impl Request {
    /// The bytes of it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + self.payload.len());
        bytes.extend(self.id.to_le_bytes());
        extend_sized(&mut bytes, &self.payload);
        bytes
    }

    /// The next request, `None` at a clean end between two.
    ///
    /// # Errors
    /// The connection broke, or what came is no request.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut id = [0; 8];
        if from.read(&mut id[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut id[1..]).await?;
        let payload = read_payload(from).await?;
        Ok(Some(Self { id: u64::from_le_bytes(id), payload }))
    }
}

impl Answer {
    /// The bytes of it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + self.name.len() + self.payload.len());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(u16::try_from(self.name.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        extend_sized(&mut bytes, &self.payload);
        bytes
    }

    /// The next answer.
    ///
    /// # Errors
    /// The connection broke or ended (`UnexpectedEof`), or what came is no answer (`InvalidData`).
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let id = from.read_u64_le().await?;
        let name_len = usize::from(from.read_u16_le().await?);
        if name_len > MAX_NAME {
            return Err(no_frame("name", name_len));
        }
        let mut name = vec![0; name_len];
        from.read_exact(&mut name).await?;
        let name = String::from_utf8(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Self { id, name, payload: read_payload(from).await? })
    }
}

fn extend_sized(bytes: &mut Vec<u8>, payload: &[u8]) {
    bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(payload);
}

async fn read_payload(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let len = usize::try_from(from.read_u32_le().await?).unwrap_or(usize::MAX);
    if len > MAX_PAYLOAD {
        return Err(no_frame("payload", len));
    }
    let mut payload = vec![0; len];
    from.read_exact(&mut payload).await?;
    Ok(payload)
}

fn no_frame(what: &str, len: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a {what} of {len} bytes: these are no frames"))
}
