//! What applications do: one service that does as it is told, and the calls of it, each of which knows what it must
//! see.
//!
//! A call begins with a line. `ECHO` gives back what comes. `TAKE` reads to the end and answers the count and digest.
//! `GIVE len seed` sends so many bytes. `BREAK len` sends so many and resets. Whoever connects and says nothing is a
//! health check.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Service, digest_of_stream, now_us, send_bytes};

/// A call that takes longer hangs; a dead peer's streams are given up much sooner.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// The longest transfer.
const TRANSFER_MAX: u64 = 4 * 1024 * 1024;

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Manner {
    /// A connection for one small request.
    Short,
    /// Many requests on one connection.
    Kept,
    /// Many bytes to the service, their digest back.
    Upload,
    /// Many bytes from the service, after the caller ended its own direction.
    Download,
    /// Nothing for a while.
    Idle,
    /// The caller resets in the middle.
    CallerResets,
    /// The service resets in the middle.
    ServiceResets,
}

/// All of them, and how many workers do each.
pub(crate) const MANNERS: [(Manner, usize); 7] = [
    (Manner::Short, 6),
    (Manner::Kept, 6),
    (Manner::Upload, 2),
    (Manner::Download, 2),
    (Manner::Idle, 6),
    (Manner::CallerResets, 2),
    (Manner::ServiceResets, 2),
];

/// How a call ended, as its application saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Well,
    /// Otherwise, and how.
    Failed(String),
}

/// One connection of an application.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) manner: Manner,
    pub(crate) client: SocketAddr,
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    /// Bytes that were handed to the mesh, and that came out of it.
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) end: End,
}

/// Calls once, and says how it went. `hurry` ends what only waits.
pub(crate) async fn call(
    listener: SocketAddr,
    manner: Manner,
    rng: &mut fastrand::Rng,
    hurry: &CancellationToken,
) -> Call {
    let began_us = now_us();
    let mut app = TcpStream::connect(listener).await.expect("the caller's node is never down");
    let client = app.local_addr().expect("a connected socket has an address");
    let mut call = Call { manner, client, began_us, ended_us: 0, up: 0, down: 0, end: End::Well };
    let seed = rng.u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let end = timeout(CALL_TIMEOUT, talk(&mut app, &mut call, &mut rng, hurry)).await;
    call.end = match end {
        Ok(Ok(())) => End::Well,
        Ok(Err(error)) => End::Failed(error.to_string()),
        Err(_) => End::Failed(format!("it hung for {CALL_TIMEOUT:?}")),
    };
    call.ended_us = now_us();
    call
}

async fn talk(
    app: &mut TcpStream,
    call: &mut Call,
    rng: &mut fastrand::Rng,
    hurry: &CancellationToken,
) -> io::Result<()> {
    app.set_nodelay(true)?;
    match call.manner {
        Manner::Short => {
            say(app, call, b"ECHO\n").await?;
            turn(app, call, rng, 4096).await?;
        }
        Manner::Kept => {
            say(app, call, b"ECHO\n").await?;
            for _ in 0..rng.u32(10..100) {
                turn(app, call, rng, 1024).await?;
                if hurry.is_cancelled() {
                    break;
                }
                sleep(Duration::from_millis(rng.u64(0..40))).await;
            }
        }
        Manner::Idle => {
            say(app, call, b"ECHO\n").await?;
            turn(app, call, rng, 64).await?;
            tokio::select! {
                () = sleep(Duration::from_millis(rng.u64(500..8000))) => {}
                () = hurry.cancelled() => {}
            }
            turn(app, call, rng, 64).await?;
        }
        Manner::Upload => return upload(app, call, rng).await,
        Manner::Download => return download(app, call, rng).await,
        Manner::CallerResets => {
            say(app, call, b"ECHO\n").await?;
            turn(app, call, rng, 4096).await?;
            return app.set_zero_linger();
        }
        Manner::ServiceResets => {
            let len = rng.u64(1..64 * 1024);
            say(app, call, format!("BREAK {len}\n").as_bytes()).await?;
            return match digest_of_stream(app).await {
                Ok((read, _)) => Err(other(format!("a clean end after {read} of a broken stream"))),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
                Err(error) => Err(error),
            };
        }
    }
    ends(app, call).await
}

/// Says something and reads it back.
async fn turn(app: &mut TcpStream, call: &mut Call, rng: &mut fastrand::Rng, max: usize) -> io::Result<()> {
    let mut asked = vec![0; rng.usize(1..=max)];
    rng.fill(&mut asked);
    say(app, call, &asked).await?;
    let mut answer = vec![0; asked.len()];
    app.read_exact(&mut answer).await?;
    call.down += answer.len() as u64;
    if answer == asked { Ok(()) } else { Err(other(format!("{} wrong bytes", answer.len()))) }
}

async fn upload(app: &mut TcpStream, call: &mut Call, rng: &mut fastrand::Rng) -> io::Result<()> {
    let (len, seed) = (rng.u64(1..TRANSFER_MAX), rng.u64(..));
    say(app, call, b"TAKE\n").await?;
    let digest = send_bytes(app, len, seed).await?;
    call.up += len;
    app.shutdown().await?;
    let mut answer = String::new();
    app.read_to_string(&mut answer).await?;
    call.down += answer.len() as u64;
    if answer == format!("{len} {digest}\n") { Ok(()) } else { Err(other(format!("{answer:?} for {len}"))) }
}

async fn download(app: &mut TcpStream, call: &mut Call, rng: &mut fastrand::Rng) -> io::Result<()> {
    let (len, seed) = (rng.u64(1..TRANSFER_MAX), rng.u64(..));
    say(app, call, format!("GIVE {len} {seed}\n").as_bytes()).await?;
    app.shutdown().await?;
    let wanted = send_bytes(&mut tokio::io::sink(), len, seed).await?;
    let (read, digest) = digest_of_stream(app).await?;
    call.down += read;
    if (read, digest) == (len, wanted) { Ok(()) } else { Err(other(format!("{read} of {len} bytes"))) }
}

async fn say(app: &mut TcpStream, call: &mut Call, bytes: &[u8]) -> io::Result<()> {
    app.write_all(bytes).await?;
    call.up += bytes.len() as u64;
    Ok(())
}

/// Ends the caller's direction, and sees the service's end.
async fn ends(app: &mut TcpStream, call: &mut Call) -> io::Result<()> {
    app.shutdown().await?;
    let (more, _) = digest_of_stream(app).await?;
    call.down += more;
    if more == 0 { Ok(()) } else { Err(other(format!("{more} bytes too many"))) }
}

fn other(what: String) -> io::Error {
    io::Error::other(what)
}

/// The service.
pub(crate) async fn service() -> Service {
    Service::start(|stream| async move {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let number = |index| -> u64 {
            let word = line.split_whitespace().nth(index);
            word.and_then(|word| word.parse().ok()).expect("our own calls say it well")
        };
        match line.split_whitespace().next() {
            Some("TAKE") => {
                let (len, digest) = digest_of_stream(&mut stream).await?;
                stream.write_all(format!("{len} {digest}\n").as_bytes()).await?;
                stream.shutdown().await
            }
            Some("GIVE") => {
                send_bytes(&mut stream, number(1), number(2)).await?;
                stream.shutdown().await
            }
            Some("BREAK") => {
                send_bytes(&mut stream, number(1), 0).await?;
                stream.flush().await?;
                stream.get_ref().set_zero_linger()
            }
            _ => {
                let (mut up, mut down) = tokio::io::split(stream);
                tokio::io::copy_buf(&mut BufReader::new(&mut up), &mut down).await?;
                down.shutdown().await
            }
        }
    })
    .await
}
