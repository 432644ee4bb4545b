//! Applications that call a greeter all the time, and what each of their calls saw.
//!
//! Half of them are polite and wait for the greeting before they say anything: until then they have sent no
//! payload. The others are eager and say everything at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Mesh, Record, now_us, until};

/// Applications.
const WORKERS: usize = 8;

/// What each does between two calls: together about a thousand calls a second.
const PAUSE: Duration = Duration::from_millis(5);

/// A call that takes longer hangs: a dead peer's streams are given up much sooner.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Polite,
    Eager,
}

/// One connection of an application.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) manner: Manner,
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    /// The application's end of it, by which the access log knows it.
    client: Option<SocketAddr>,
    /// Whether anything was handed to the mesh.
    pub(crate) sent: bool,
    pub(crate) greeted_by: Option<String>,
    pub(crate) failure: Option<String>,
}

/// Calls without end.
pub(crate) struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Load {
    /// Begins to call through `listener`.
    pub(crate) fn start(listener: SocketAddr) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (calls, stop) = (Arc::clone(&calls), stop.clone());
            let manner = if worker % 2 == 0 { Manner::Polite } else { Manner::Eager };
            workers.spawn(async move {
                while !stop.is_cancelled() {
                    let call = call(listener, manner).await;
                    calls.lock().unwrap().push(call);
                    sleep(PAUSE).await;
                }
            });
        }
        Self { calls, stop, workers }
    }

    /// Waits until `count` calls that began later than `after_us` have ended.
    pub(crate) async fn calls_after(&self, after_us: u64, count: usize) {
        let enough = until("calls that begin later", || async {
            let calls = self.calls.lock().unwrap();
            let ended = calls.iter().filter(|call| call.began_us > after_us).count();
            if ended >= count { Ok(()) } else { Err(format!("{ended} of {count}")) }
        });
        enough.await.unwrap();
    }

    /// Waits for a call that began later than `after_us` and was greeted by `name`; yields when it began.
    pub(crate) async fn greeted_by(&self, name: &str, after_us: u64) -> u64 {
        let greeted = until("a greeting of the one that returned", || async {
            let calls = self.calls.lock().unwrap();
            let theirs = |call: &&Call| call.greeted_by.as_deref() == Some(name) && call.began_us > after_us;
            let first = calls.iter().filter(theirs).map(|call| call.began_us).min();
            first.ok_or_else(|| format!("{} calls, none of them greeted by {name}", calls.len()))
        });
        greeted.await.unwrap()
    }

    /// Ends the load, and yields what it saw beside what the caller's node wrote of it. Of calls that began
    /// before `since_us`, only those that failed are sure to be in the log: one that has lost its peer ends
    /// when the peer is given up, also if its application was done.
    pub(crate) async fn stop(mut self, mesh: &Mesh, caller: &str, since_us: u64) -> Seen {
        self.stop.cancel();
        while let Some(worker) = self.workers.join_next().await {
            worker.unwrap();
        }
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        let known = || calls.iter().filter(|call| call.client.is_some());
        let late = known().filter(|call| call.began_us >= since_us).count();
        let failed = || known().filter(|call| call.failure.is_some());
        let enough = |records: &[Record]| {
            records.iter().filter(|record| record.started_us >= since_us).count() >= late
                && failed().all(|call| call.record(records).is_some())
        };
        let records = mesh.records_when(caller, enough).await;
        Seen { calls, records }
    }
}

/// What the applications and the caller's access log say.
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    pub(crate) records: Vec<Record>,
}

impl Seen {
    /// Calls that failed, each with its record. There is none for one that was over before its application
    /// knew its own address.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&Call, Option<&Record>)> {
        self.calls.iter().filter(|call| call.failure.is_some()).map(|call| (call, call.record(&self.records)))
    }
}

impl Call {
    /// What the caller's node wrote of it.
    pub(crate) fn record<'r>(&self, records: &'r [Record]) -> Option<&'r Record> {
        let client = self.client.map(|client| client.to_string()).unwrap_or_default();
        // A port may be used again, but not at the same time.
        let lived = self.began_us..=self.ended_us;
        let same = |r: &&Record| r.destination == "orders" && r.client == client;
        records.iter().filter(same).find(|record| lived.contains(&record.started_us))
    }
}

/// Calls once, and tells how it went.
pub(crate) async fn call(listener: SocketAddr, manner: Manner) -> Call {
    let mut call = Call {
        manner,
        began_us: now_us(),
        ended_us: 0,
        client: None,
        sent: false,
        greeted_by: None,
        failure: None,
    };
    call.failure = match timeout(CALL_TIMEOUT, talk(listener, &mut call)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("not over after {CALL_TIMEOUT:?}")),
    };
    call.ended_us = now_us();
    call
}

async fn talk(listener: SocketAddr, call: &mut Call) -> io::Result<()> {
    let mut app = TcpStream::connect(listener).await?;
    call.client = Some(app.local_addr()?);
    let (up, mut down) = app.split();
    let mut lines = BufReader::new(up).lines();
    if call.manner == Manner::Eager {
        call.sent = true;
        down.write_all(b"HELP\r\nQUIT\r\n").await?;
    }
    let greeting = lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let name = greeting.strip_prefix("220 ").ok_or_else(|| io::Error::other(greeting.clone()))?;
    call.greeted_by = Some(name.to_owned());
    if call.manner == Manner::Polite {
        call.sent = true;
        down.write_all(b"HELP\r\nQUIT\r\n").await?;
    }
    for expected in [Some(format!("250 {name} HELP")), Some(format!("221 {name}")), None] {
        let line = lines.next_line().await?;
        if line != expected {
            return Err(io::Error::other(format!("{line:?} instead of {expected:?}")));
        }
    }
    down.shutdown().await
}
