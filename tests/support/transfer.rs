//! Transfers of many bytes that say how far they are, and readers that check every byte as it comes.
//!
//! The stream of a seed is the same at both ends ([`bytes_of`]), so that a reader notices at once what was
//! lost, doubled or swapped, and knows at the end whether it has everything.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part of this")]

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{PATIENCE, bytes_of};

/// How many bytes have passed; whoever has a clone can wait for more.
#[derive(Debug, Clone, Default)]
pub struct Progress(watch::Sender<u64>);

impl Progress {
    /// Bytes so far.
    pub fn now(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until `len` bytes have passed.
    pub async fn reaches(&self, len: u64) {
        let mut progress = self.0.subscribe();
        let reached = timeout(PATIENCE, progress.wait_for(|now| *now >= len)).await;
        assert!(reached.is_ok(), "after {PATIENCE:?} only {} of {len} bytes have passed", self.now());
    }

    fn add(&self, len: usize) {
        self.0.send_modify(|now| *now += len as u64);
    }
}

/// Writes the first `len` bytes of `seed`, and no end.
///
/// # Errors
/// Of the writer.
pub async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    len: u64,
    seed: u64,
    progress: &Progress,
) -> io::Result<()> {
    let mut next = bytes_of(seed);
    let mut left = len;
    while left > 0 {
        let mut chunk = next();
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
        to.write_all(&chunk).await?;
        progress.add(chunk.len());
        left -= chunk.len() as u64;
    }
    Ok(())
}

/// What a reader got.
#[derive(Debug)]
pub struct Received {
    /// How many bytes.
    pub len: u64,
    /// How it ended: cleanly, or with an error.
    pub end: io::Result<()>,
}

/// Reads to the end, whichever it is. Bytes that are not those of `seed` panic.
pub async fn receive(from: &mut (impl AsyncRead + Unpin), seed: u64, progress: &Progress) -> Received {
    let mut next = bytes_of(seed);
    let mut expected: &[u8] = &[];
    let mut chunk;
    let mut buffer = vec![0; 64 * 1024];
    let mut len = 0;
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) => return Received { len, end: Ok(()) },
            Ok(read) => read,
            Err(error) => return Received { len, end: Err(error) },
        };
        let mut got = &buffer[..read];
        while !got.is_empty() {
            if expected.is_empty() {
                chunk = next();
                expected = &chunk;
            }
            let both = got.len().min(expected.len());
            assert!(got[..both] == expected[..both], "wrong bytes from {len} on, within the next {both}");
            len += both as u64;
            (got, expected) = (&got[both..], &expected[both..]);
        }
        progress.add(read);
    }
}

impl Received {
    /// The same beside what the other half of its socket saw. A socket tells of a reset once: whichever half
    /// hears of it, the other then reads an end that looks clean.
    pub fn beside(mut self, other_half: io::Result<()>) -> Self {
        self.end = self.end.and(other_half);
        self
    }

    /// Everything, and a clean end.
    pub fn is_whole(&self, len: u64) -> bool {
        self.end.is_ok() && self.len == len
    }

    /// A clean end before everything was there: what must never be.
    pub fn is_short(&self, len: u64) -> bool {
        self.end.is_ok() && self.len < len
    }
}
