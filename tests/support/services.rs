//! Small services inside the test. Each listens on a port of its own and can die with its connections, as
//! the service of a machine does, and come back at its address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Connections that wait to be accepted, for load tests that open many at once.
const BACKLOG: u32 = 1024;

/// How much is read or written at once.
const CHUNK_LEN: usize = 128 * 1024;

/// A service that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Service {
    /// A service that hands each connection to `handle`. An error of `handle` ends its connection only.
    pub async fn start<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), handle).await
    }

    /// The same at an address, e.g. of a service that was stopped.
    #[allow(clippy::unused_async, reason = "sockets must be made inside the runtime")]
    pub async fn start_at<F>(address: SocketAddr, handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = listen(address).unwrap_or_else(|error| panic!("listening on {address}: {error}"));
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            // Dropped with this task, and with it every connection.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_nodelay(true);
                connections.spawn(handle(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepted, task }
    }

    /// Gives back what it gets; ends when the caller does.
    pub async fn echo() -> Self {
        Self::start(|mut stream| async move {
            let (mut up, mut down) = stream.split();
            tokio::io::copy(&mut up, &mut down).await?;
            down.shutdown().await
        })
        .await
    }

    /// Speaks first: `220 NAME`, then for each line `250 NAME LINE`, and after `QUIT` `221 NAME` and the end.
    pub async fn greeter(name: &str) -> Self {
        Self::greeter_at(([127, 0, 0, 1], 0).into(), name).await
    }

    /// The same at an address.
    pub async fn greeter_at(address: SocketAddr, name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self::start_at(address, move |stream| greet(stream, Arc::clone(&name))).await
    }

    /// Reads until the caller's end, then answers the count of bytes and their SHA-256 in hex, and ends.
    pub async fn hasher() -> Self {
        Self::start(|mut stream| async move {
            let (len, digest) = digest_of_stream(&mut stream).await?;
            stream.write_all(format!("{len} {digest}\n").as_bytes()).await?;
            stream.shutdown().await
        })
        .await
    }

    /// Sends `len` bytes of [`bytes_of`] `seed` and ends its side, then gives what the caller answers to
    /// `answered`.
    pub async fn source(len: u64, seed: u64, answered: impl Fn(String) + Send + Sync + 'static) -> Self {
        let answered = Arc::new(answered);
        Self::start(move |mut stream| {
            let answered = Arc::clone(&answered);
            async move {
                send_bytes(&mut stream, len, seed).await?;
                stream.shutdown().await?;
                let mut answer = String::new();
                stream.take(CHUNK_LEN as u64).read_to_string(&mut answer).await?;
                answered(answer);
                Ok(())
            }
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Dies as if killed: its port is closed and its connections are gone when this returns.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn greet(mut stream: TcpStream, name: Arc<str>) -> std::io::Result<()> {
    let (up, mut down) = stream.split();
    down.write_all(format!("220 {name}\r\n").as_bytes()).await?;
    let mut lines = BufReader::new(up).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "QUIT" {
            down.write_all(format!("221 {name}\r\n").as_bytes()).await?;
            break;
        }
        down.write_all(format!("250 {name} {line}\r\n").as_bytes()).await?;
    }
    down.shutdown().await
}

/// Endless bytes that differ at every place and for every seed, by the chunk: nothing can be dropped,
/// doubled or swapped without changing their digest.
pub fn bytes_of(seed: u64) -> impl FnMut() -> Vec<u8> + Send {
    let mut random = fastrand::Rng::with_seed(seed);
    move || {
        let mut chunk = vec![0; CHUNK_LEN];
        random.fill(&mut chunk);
        chunk
    }
}

/// Writes the first `len` bytes of [`bytes_of`] `seed`; yields their SHA-256 in hex.
///
/// # Errors
/// Of the writer.
pub async fn send_bytes(to: &mut (impl AsyncWrite + Unpin), len: u64, seed: u64) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut next = bytes_of(seed);
    let mut left = len;
    while left > 0 {
        let mut chunk = next();
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_LEN));
        hash.update(&chunk);
        to.write_all(&chunk).await?;
        left -= chunk.len() as u64;
    }
    Ok(hex(&hash.finalize()))
}

/// Reads to the end; yields how many bytes there were, and their SHA-256 in hex.
///
/// # Errors
/// Of the reader.
pub async fn digest_of_stream(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_LEN];
    let mut len = 0;
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok((len, hex(&hash.finalize()))),
            read => {
                hash.update(&buffer[..read]);
                len += read as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
