//! Applications that call all the time and note who answered, and services that can be slowed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Service, now_us, until};

/// What an application does between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// A call that takes longer hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A service that answers each connection with its name, after a while.
#[derive(Debug)]
pub(crate) struct Slowable {
    name: &'static str,
    service: Service,
    delay_us: Arc<AtomicU64>,
}

impl Slowable {
    /// Starts without delay.
    pub(crate) async fn start(name: &'static str) -> Self {
        let delay_us = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_us);
        let service = Service::start(move |mut stream| {
            let delay = Duration::from_micros(delay.load(Relaxed));
            async move {
                stream.read_u8().await?;
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                stream.write_all(name.as_bytes()).await?;
                stream.shutdown().await
            }
        });
        Self { name, service: service.await, delay_us }
    }

    /// Waits this long before each answer from now on.
    pub(crate) fn slow_by(&self, delay: Duration) {
        self.delay_us.store(u64::try_from(delay.as_micros()).unwrap(), Relaxed);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.service.address()
    }
}

/// A call that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) began_us: u64,
    pub(crate) answered_by: String,
}

/// Calls once; who answered.
pub(crate) async fn call(listener: SocketAddr) -> io::Result<String> {
    let talk = async {
        let mut app = TcpStream::connect(listener).await?;
        app.write_all(b"?").await?;
        let mut name = String::new();
        app.read_to_string(&mut name).await?;
        Ok(name)
    };
    timeout(CALL_TIMEOUT, talk).await.map_err(io::Error::from)?
}

/// Calls without end.
pub(crate) struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Load {
    /// So many applications begin to call through `listener`.
    pub(crate) fn start(listener: SocketAddr, applications: usize) -> Self {
        let (calls, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let mut workers = JoinSet::new();
        for _ in 0..applications {
            let (calls, stop) = (Arc::clone(&calls), stop.clone());
            workers.spawn(async move {
                while !stop.is_cancelled() {
                    let began_us = now_us();
                    let answered_by = call(listener).await.unwrap();
                    calls.lock().unwrap().push(Call { began_us, answered_by });
                    sleep(PAUSE).await;
                }
            });
        }
        Self { calls, stop, workers }
    }

    /// Waits until `count` calls that began later than `after_us` were answered; yields those.
    pub(crate) async fn calls_after(&self, after_us: u64, count: usize) -> Vec<Call> {
        let enough = until("calls that begin later", || async {
            let calls = self.calls.lock().unwrap();
            let late: Vec<_> = calls.iter().filter(|call| call.began_us > after_us).cloned().collect();
            if late.len() >= count { Ok(late) } else { Err(format!("{} of {count}", late.len())) }
        });
        enough.await.unwrap()
    }

    /// Ends the load. A call that failed fails here.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(worker) = self.workers.join_next().await {
            worker.unwrap();
        }
    }
}
