//! Requests with numbers, the services that write each of them down, and the applications that send them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Mesh, Record, Service, now_us};

/// How long a service thinks between a request and its answer.
const THINKING: Duration = Duration::from_millis(2);

/// How long a patient application says nothing, at most.
const PAUSE_MAX_MS: u64 = 20;

/// A request that takes longer hangs: everything else here ends sooner.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How an application begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It sends its request at once.
    Eager,
    /// It sends its request a little later.
    Patient,
    /// It sends its request when the service has greeted it.
    Greeted,
    /// It sends its request when it is told to.
    Silent,
}

/// What services have seen, in order. All clones are one.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    entries: watch::Sender<Vec<Entry>>,
    /// The host that is stopped as soon as one of its services has read a request, and its process.
    trap: Arc<Mutex<Option<(&'static str, Pid)>>>,
    services: Arc<Mutex<Vec<(&'static str, Service)>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    host: &'static str,
    request: u64,
    /// Whether it was answered, too.
    answered: bool,
}

impl Ledger {
    /// Starts the two services of a node: one that waits for a request, and one that greets first.
    pub(crate) async fn services(&self, host: &'static str) -> (SocketAddr, SocketAddr) {
        let (ledger, other) = (self.clone(), self.clone());
        let clerk = Service::start(move |stream| ledger.clone().serve(stream, host, false)).await;
        let usher = Service::start(move |stream| other.clone().serve(stream, host, true)).await;
        let addresses = (clerk.address(), usher.address());
        self.services.lock().unwrap().extend([(host, clerk), (host, usher)]);
        addresses
    }

    async fn serve(self, mut stream: TcpStream, host: &'static str, greets: bool) -> io::Result<()> {
        let (up, mut down) = stream.split();
        let mut up = BufReader::new(up);
        if greets {
            down.write_all(format!("{host}\n").as_bytes()).await?;
        }
        let mut line = String::new();
        up.read_line(&mut line).await?;
        self.spring_trap(host);
        let request = line.trim().parse().map_err(io::Error::other)?;
        self.entries.send_modify(|all| all.push(Entry { host, request, answered: false }));
        sleep(THINKING).await;
        down.write_all(format!("{request} {host}\n").as_bytes()).await?;
        self.entries.send_modify(|all| {
            let own = all.iter_mut().filter(|entry| entry.request == request && entry.host == host);
            own.for_each(|entry| entry.answered = true);
        });
        down.shutdown().await?;
        up.read_to_end(&mut Vec::new()).await.map(drop)
    }

    /// Stops the process of `host` the moment that one of its services has read a request: not even what it
    /// has at hand leaves it then.
    pub(crate) fn set_trap(&self, host: &'static str, process: u32) {
        let pid = Pid::from_raw(process.try_into().expect("a process id"));
        *self.trap.lock().unwrap() = Some((host, pid));
    }

    /// Lets go of a trap: from here on the process may be gone.
    pub(crate) fn clear_trap(&self) {
        *self.trap.lock().unwrap() = None;
    }

    fn spring_trap(&self, host: &str) {
        let mut trap = self.trap.lock().unwrap();
        if let Some((_, pid)) = trap.take_if(|(trapped, _)| *trapped == host) {
            kill(pid, Signal::SIGSTOP).expect("a process that was not waited for has its id");
        }
    }

    /// How many requests were read so far.
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Connections that the services of `host` have accepted.
    pub(crate) fn accepted(&self, host: &str) -> u64 {
        let services = self.services.lock().unwrap();
        services.iter().filter(|(name, _)| *name == host).map(|(_, service)| service.accepted()).sum()
    }

    /// Waits until `host` has read a request that is not among the first `since`.
    pub(crate) async fn delivered(&self, host: &str, since: usize) {
        self.one(|all| all[since..].iter().any(|entry| entry.host == host)).await;
    }

    /// Waits until `host` has answered one.
    pub(crate) async fn answered(&self, host: &str, since: usize) {
        self.one(|all| all[since..].iter().any(|entry| entry.host == host && entry.answered)).await;
    }

    async fn one(&self, there: impl Fn(&[Entry]) -> bool) {
        let mut entries = self.entries.subscribe();
        entries.wait_for(|all| there(all)).await.expect("the ledger has its sender");
    }

    /// By how many services, or how often, a request was read.
    pub(crate) fn readers_of(&self, request: u64) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.request == request).count()
    }

    /// How many requests the services of `host` have read.
    pub(crate) fn read_at(&self, host: &str) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.host == host).count()
    }

    /// Requests that were read more than once.
    pub(crate) fn doubles(&self) -> Vec<u64> {
        let mut all: Vec<_> = self.entries.borrow().iter().map(|entry| entry.request).collect();
        all.sort_unstable();
        let mut doubles: Vec<_> = all.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        doubles.dedup();
        doubles
    }
}

/// One request, as its application saw it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    service: &'static str,
    client: Option<SocketAddr>,
    pub(crate) began_us: u64,
    /// Whether anything was handed to the mesh.
    pub(crate) sent: bool,
    /// Who answered, or what happened instead.
    pub(crate) answer: Result<String, String>,
    /// Whether a service has read it.
    pub(crate) was_read: bool,
}

impl Request {
    /// What the caller's node wrote of it.
    pub(crate) fn record<'r>(&self, records: &'r [Record]) -> Option<&'r Record> {
        let client = self.client.map(|client| client.to_string()).unwrap_or_default();
        // One port may be the client's end of a connection to each service.
        let same = |r: &&Record| r.client == client && r.destination == self.service;
        records.iter().filter(same).find(|record| record.started_us >= self.began_us)
    }
}

/// Requests in progress.
pub(crate) struct Requests {
    ledger: Ledger,
    tasks: JoinSet<Request>,
    /// How many have been sent.
    sent: watch::Sender<usize>,
    /// Whether the silent may speak.
    speak: watch::Sender<bool>,
    rng: fastrand::Rng,
}

impl Requests {
    pub(crate) fn new(ledger: &Ledger, rng: fastrand::Rng) -> Self {
        let (sent, speak) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { ledger: ledger.clone(), tasks: JoinSet::new(), sent, speak, rng }
    }

    /// Sends one of each.
    pub(crate) fn send(&mut self, mesh: &Mesh, manners: &[Manner]) {
        for manner in manners {
            let service = if *manner == Manner::Greeted { "usher" } else { "clerk" };
            let application = Application {
                service,
                listener: mesh.listener("caller", service),
                manner: *manner,
                id: self.rng.u64(..),
                pause: Duration::from_millis(self.rng.u64(..PAUSE_MAX_MS)),
                sent: self.sent.clone(),
                speak: self.speak.subscribe(),
            };
            self.tasks.spawn(application.run());
        }
    }

    /// How many have been sent so far.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.borrow()
    }

    /// Waits until more than so many have been sent.
    pub(crate) async fn more_are_sent(&self, than: usize) {
        self.sent.subscribe().wait_for(|sent| *sent > than).await.expect("the sender is here");
    }

    /// Lets the silent send theirs.
    pub(crate) fn speak(&self) {
        self.speak.send_replace(true);
    }

    /// Waits for all of them.
    pub(crate) async fn ended(self) -> Vec<Request> {
        let mut all = self.tasks.join_all().await;
        for request in &mut all {
            request.was_read = self.ledger.readers_of(request.id) > 0;
        }
        all
    }
}

/// One application, with one request.
struct Application {
    service: &'static str,
    listener: SocketAddr,
    manner: Manner,
    id: u64,
    /// How long it waits, if it is patient.
    pause: Duration,
    sent: watch::Sender<usize>,
    speak: watch::Receiver<bool>,
}

impl Application {
    async fn run(mut self) -> Request {
        let mut request = Request {
            id: self.id,
            service: self.service,
            client: None,
            began_us: now_us(),
            sent: false,
            answer: Err(format!("not over after {REQUEST_TIMEOUT:?}")),
            was_read: false,
        };
        if let Ok(answer) = timeout(REQUEST_TIMEOUT, self.ask(&mut request)).await {
            request.answer = answer.map_err(|error| error.to_string());
        }
        request
    }

    async fn ask(&mut self, request: &mut Request) -> io::Result<String> {
        let mut app = TcpStream::connect(self.listener).await?;
        request.client = Some(app.local_addr()?);
        let (up, mut down) = app.split();
        let mut lines = BufReader::new(up).lines();
        match self.manner {
            Manner::Eager => {}
            Manner::Patient => sleep(self.pause).await,
            Manner::Greeted => drop(lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?),
            Manner::Silent => drop(self.speak.wait_for(|speak| *speak).await),
        }
        request.sent = true;
        down.write_all(format!("{}\n", self.id).as_bytes()).await?;
        self.sent.send_modify(|count| *count += 1);
        down.shutdown().await?;
        let answer = lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some((about, host)) = answer.split_once(' ') else { return Err(io::Error::other(answer)) };
        assert_eq!(about, self.id.to_string(), "the answer to another request");
        Ok(host.to_owned())
    }
}
