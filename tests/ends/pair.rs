//! A caller, a host, and one transfer at a time between them, which can be cut at any byte.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{Mesh, NodePlan, PATIENCE, Service};
use crate::transfer::{Progress, Received, receive, send};

/// How long both ends may take to notice: `dead_after` is a second here.
const NOTICE_TIME: Duration = Duration::from_secs(20);

/// Which stream of bytes.
const SEED: u64 = 7;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the service.
    Up,
    /// From the service to the client.
    Down,
}

/// What happens in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// SIGKILL for the service's node.
    HostKilled,
    /// SIGKILL for the client's node.
    CallerKilled,
    /// SIGTERM for the service's node.
    HostStopped,
    /// SIGTERM for the client's node.
    CallerStopped,
    /// The service resets its connection.
    ServiceDies,
    /// The client resets its connection.
    ClientDies,
}

impl Cut {
    pub(crate) const ALL: [Self; 6] = [
        Self::HostKilled,
        Self::CallerKilled,
        Self::HostStopped,
        Self::CallerStopped,
        Self::ServiceDies,
        Self::ClientDies,
    ];

    /// Whether who reads is who dies.
    pub(crate) fn kills_reader(self, way: Way) -> bool {
        matches!((self, way), (Self::ServiceDies, Way::Up) | (Self::ClientDies, Way::Down))
    }

    /// Whether who writes is who dies.
    pub(crate) fn kills_writer(self, way: Way) -> bool {
        matches!((self, way), (Self::ServiceDies, Way::Down) | (Self::ClientDies, Way::Up))
    }
}

/// How a transfer ended at both ends.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) received: Received,
    pub(crate) sent: io::Result<()>,
}

/// One end's part of a transfer.
#[derive(Clone, Default)]
struct Part {
    /// Bytes to be sent, or none to receive.
    sends: Option<u64>,
    progress: Progress,
    /// Tells this end to die.
    die: Arc<Notify>,
}

/// What an end has to say.
enum End {
    Sent(io::Result<()>),
    Received(Received),
}

impl Part {
    async fn play(self, mut stream: TcpStream) -> End {
        let end = tokio::select! {
            end = self.transfer(&mut stream) => return end,
            () = self.die.notified() => io::Error::other("it died"),
        };
        stream.set_zero_linger().expect("a socket takes its options");
        match self.sends {
            Some(_) => End::Sent(Err(end)),
            None => End::Received(Received { len: self.progress.now(), end: Err(end) }),
        }
    }

    async fn transfer(&self, stream: &mut TcpStream) -> End {
        let Some(len) = self.sends else { return End::Received(receive(stream, SEED, &self.progress).await) };
        let sent = async {
            send(stream, len, SEED, &self.progress).await?;
            stream.shutdown().await?;
            // The other end has everything only when it says so by its own end.
            let answer = receive(stream, SEED, &Progress::default()).await;
            answer.end
        };
        End::Sent(sent.await)
    }
}

/// Two nodes and the service behind one of them.
pub(crate) struct Pair {
    mesh: Mesh,
    /// What the service does with its next connection.
    next: Arc<Mutex<Part>>,
    ends: mpsc::UnboundedReceiver<End>,
    _services: [Service; 2],
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let next = Arc::new(Mutex::new(Part::default()));
        let (told, ends) = mpsc::unbounded_channel();
        let parts = Arc::clone(&next);
        let service = Service::start(move |stream| {
            let (part, told) = (parts.lock().unwrap().clone(), told.clone());
            async move {
                let _ = told.send(part.play(stream).await);
                Ok(())
            }
        })
        .await;
        let mut mesh = Mesh::start().await;
        let soon = |plan: NodePlan| plan.set("dead_after", "\"1s\"");
        let door = Service::greeter("host").await;
        let host = NodePlan::new("host").serve("vault", service.address()).serve("door", door.address());
        mesh.add(soon(host)).await;
        mesh.add(soon(NodePlan::new("caller").listen("vault", "web").listen("door", "web"))).await;
        mesh.settled().await;
        Self { mesh, next, ends, _services: [service, door] }
    }

    /// Transfers `len` bytes, and cuts when `at` of them have arrived. Both nodes are there again afterwards.
    pub(crate) async fn transfer(&mut self, way: Way, len: u64, at: u64, cut: Cut) -> Outcome {
        let (sends, receives) = (Part { sends: Some(len), ..Part::default() }, Part::default());
        let progress = receives.progress.clone();
        let (client, service) = match way {
            Way::Up => (sends, receives),
            Way::Down => (receives, sends),
        };
        *self.next.lock().unwrap() = service.clone();
        while self.ends.try_recv().is_ok() {}
        let dies = (Arc::clone(&client.die), Arc::clone(&service.die));
        let client = start(self.mesh.listener("caller", "vault"), client);
        progress.reaches(at).await;

        self.cut(cut, dies).await;

        let client = timeout(NOTICE_TIME, client).await;
        let client =
            client.unwrap_or_else(|_| panic!("the client hangs after {cut:?} at {at} while {way:?}"));
        let service = timeout(NOTICE_TIME, self.ends.recv()).await;
        let service =
            service.unwrap_or_else(|_| panic!("the service hangs after {cut:?} at {at} while {way:?}"));
        self.mend(cut).await;
        match (client.unwrap(), service.expect("the service runs")) {
            (End::Sent(sent), End::Received(received)) | (End::Received(received), End::Sent(sent)) => {
                Outcome { received, sent }
            }
            _ => panic!("one end sends and the other receives"),
        }
    }

    async fn cut(&mut self, cut: Cut, (client, service): (Arc<Notify>, Arc<Notify>)) {
        match cut {
            Cut::HostKilled => drop(self.mesh.kill("host").await),
            Cut::CallerKilled => drop(self.mesh.kill("caller").await),
            Cut::HostStopped => self.mesh.stop("host").await,
            Cut::CallerStopped => self.mesh.stop("caller").await,
            Cut::ServiceDies => service.notify_one(),
            Cut::ClientDies => client.notify_one(),
        }
    }

    /// Starts who was ended, and waits until the two nodes talk again: an answer is the new run's.
    async fn mend(&mut self, cut: Cut) {
        match cut {
            Cut::HostKilled | Cut::HostStopped => self.mesh.restart("host").await,
            Cut::CallerKilled | Cut::CallerStopped => self.mesh.restart("caller").await,
            Cut::ServiceDies | Cut::ClientDies => return,
        }
        let mut app =
            TcpStream::connect(self.mesh.listener("caller", "door")).await.expect("it listens again");
        let greeted = timeout(PATIENCE, app.read_exact(&mut [0; 3])).await;
        assert!(matches!(greeted, Ok(Ok(_))), "no greeting after {cut:?}: {greeted:?}");
    }
}

fn start(listener: SocketAddr, part: Part) -> JoinHandle<End> {
    tokio::spawn(async move {
        match TcpStream::connect(listener).await {
            Ok(stream) => part.play(stream).await,
            Err(error) => panic!("{error}: the caller's node runs"),
        }
    })
}
