//! Demo services: tiny programs behind endpoints, told by flags how to behave and by lines on standard
//! input to change it while they run.
//!
//! They know nothing of the mesh; a node reaches them through a localhost port like any service. On
//! standard output stand `listening ADDRESS` first, and then the answer to each line:
//!
//! | line | answer | effect |
//! |---|---|---|
//! | `latency 102ms` | `latency 102ms` | from now on, every answer waits so long |
//! | anything else | `unknown LINE` | none |
//!
//! What they do with a connection is their [`Behaviour`].

mod echo;
pub mod frame;
mod http;
mod line;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::scenario::Behaviour;

/// The most connections at once; further ones wait in the listener's backlog. Well below the usual limit
/// of 1,024 open files of a process.
const MAX_CONNECTIONS: usize = 900;

/// How long to wait after a failed accept (out of file descriptors), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How a demo service begins.
#[derive(Debug, Clone)]
pub struct DemoService {
    /// What it calls itself in its answers.
    pub name: String,
    /// What it does with a connection.
    pub behaviour: Behaviour,
    /// How long it takes before it answers.
    pub latency: Duration,
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Whether the end of standard input ends it, so that it never outlives who started it.
    pub until_stdin_ends: bool,
}

/// What all connections of a service share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    latency_us: AtomicU64,
}

impl Shared {
    fn new(name: &str, latency: Duration) -> Arc<Self> {
        let shared = Self { name: name.to_owned(), latency_us: AtomicU64::new(0) };
        shared.set_latency(latency);
        Arc::new(shared)
    }

    fn set_latency(&self, latency: Duration) {
        self.latency_us.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Waits as long as an answer takes now.
    async fn wait(&self) {
        let latency = Duration::from_micros(self.latency_us.load(Relaxed));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

impl DemoService {
    /// Serves until `commands` end (if it is told to), forever otherwise.
    ///
    /// # Errors
    /// The address can't be bound, or nobody reads `answers`.
    pub async fn run(
        self,
        commands: impl AsyncRead + Unpin,
        mut answers: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let listener = TcpListener::bind(self.listen).await.map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("demo service {} cannot listen on {}: {e}", self.name, self.listen),
            )
        })?;
        answers.write_all(format!("listening {}\n", listener.local_addr()?).as_bytes()).await?;
        answers.flush().await?;

        let shared = Shared::new(&self.name, self.latency);
        let mut serving = JoinSet::new();
        match self.behaviour {
            Behaviour::Http => serving.spawn(http::serve(listener, shared.clone())),
            Behaviour::EchoId | Behaviour::Line => {
                serving.spawn(accept_all(listener, self.behaviour, shared.clone()))
            }
        };
        obey(commands, &mut answers, &shared).await?;
        if !self.until_stdin_ends {
            serving.join_next().await;
        }
        Ok(())
    }
}

/// Carries out one line after another until there are no more.
async fn obey(
    commands: impl AsyncRead + Unpin,
    answers: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<()> {
    let mut lines = BufReader::new(commands).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line.trim().split_once(' ').map(|(word, value)| (word, value.trim())) {
            Some(("latency", value)) => match humantime::parse_duration(value) {
                Ok(latency) => {
                    shared.set_latency(latency);
                    line
                }
                Err(why) => format!("unknown {line} ({why})"),
            },
            _ => format!("unknown {line}"),
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
        answers.flush().await?;
    }
    Ok(())
}

async fn accept_all(listener: TcpListener, behaviour: Behaviour, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = shared.clone();
                connections.spawn(async move {
                    // A connection that breaks is its caller's matter; the next one is served.
                    let _ = converse(stream, behaviour, &shared).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse(stream: TcpStream, behaviour: Behaviour, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match behaviour {
        Behaviour::Line => line::converse(stream, shared).await,
        Behaviour::EchoId | Behaviour::Http => echo::converse(stream, shared).await,
    }
}

#[cfg(test)]
mod tests;
