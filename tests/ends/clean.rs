//! Ends that applications make themselves: half a connection at a time, in any order, with or without a byte.
//!
//! Each story is told twice: with a service on another node, and with one on the caller's own, which is
//! joined without QUIC.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Mesh, NodePlan, PATIENCE, Record, Service, digest_of_stream, send_bytes};
use crate::transfer::{Progress, receive, send};

/// More than all buffers on the way hold.
const LEN: u64 = 16 << 20;

const SEED: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_first_still_reads_the_answer() {
    for place in Place::of(Service::hasher().await).await {
        let mut app = place.connect().await;

        let digest = send_bytes(&mut app, LEN, SEED).await.unwrap();
        app.shutdown().await.unwrap();

        let mut answer = String::new();
        app.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, format!("{LEN} {digest}\n"), "{}", place.name);
        drop(app);
        place.assert_record(LEN, answer.len() as u64).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_first_still_reads_the_rest() {
    let (told, mut answers) = mpsc::unbounded_channel();
    let source = Service::source(LEN, SEED, move |answer| told.send(answer).unwrap()).await;
    for place in Place::of(source).await {
        let mut app = place.connect().await;

        let (len, digest) = digest_of_stream(&mut app).await.unwrap();
        app.write_all(digest.as_bytes()).await.unwrap();
        app.shutdown().await.unwrap();

        assert_eq!(len, LEN, "{}", place.name);
        assert_eq!(answers.recv().await.unwrap(), digest);
        drop(app);
        place.assert_record(digest.len() as u64, LEN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_speak_first() {
    for place in Place::of(Service::greeter("first").await).await {
        let app = BufReader::new(place.connect().await);
        let mut lines = app.lines();

        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("220 first"), "{}", place.name);
        lines.get_mut().write_all(b"HELP\r\nQUIT\r\n").await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("250 first HELP"));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("221 first"));
        assert_eq!(lines.next_line().await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_flow_both_ways_at_once() {
    for place in Place::of(Service::echo().await).await {
        let mut app = place.connect().await;
        let (mut up, mut down) = app.split();

        let sending = async {
            send(&mut down, LEN, SEED, &Progress::default()).await?;
            down.shutdown().await
        };
        let progress = Progress::default();
        let (received, sent) = tokio::join!(receive(&mut up, SEED, &progress), sending);

        sent.unwrap();
        assert!(received.is_whole(LEN), "{}: {received:?}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_byte_ends_cleanly_at_both_ends() {
    let (told, mut read) = mpsc::unbounded_channel();
    let silent = Service::start(move |mut stream| {
        let told = told.clone();
        async move {
            let read = stream.read_to_end(&mut Vec::new()).await;
            let _ = told.send(read.map_err(|error| error.kind()));
            Ok(())
        }
    });
    for place in Place::of(silent.await).await {
        let mut app = place.connect().await;

        app.shutdown().await.unwrap();

        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "{}", place.name);
        assert_eq!(read.recv().await.unwrap(), Ok(0));
        drop(app);
        place.assert_record(0, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_without_a_byte_is_followed_by_its_client() {
    let curt = Service::start(|mut stream| async move {
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    });
    for place in Place::of(curt.await).await {
        let mut app = place.connect().await;

        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "{}", place.name);

        drop(app);
        place.assert_record(0, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_cut_short_itself_arrives_as_far_as_it_went() {
    let brief = Service::start(|mut stream| async move {
        send(&mut stream, LEN / 3, SEED, &Progress::default()).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    });
    for place in Place::of(brief.await).await {
        let mut app = place.connect().await;

        let received = receive(&mut app, SEED, &Progress::default()).await;

        assert!(received.is_whole(LEN / 3), "{}: {received:?}", place.name);
    }
}

/// A service, reached in one way.
struct Place {
    name: &'static str,
    mesh: Mesh,
    listener: SocketAddr,
    _service: std::sync::Arc<Service>,
}

impl Place {
    /// The service on another node than the caller, and on the caller's own.
    async fn of(service: Service) -> [Self; 2] {
        let (address, service) = (service.address(), std::sync::Arc::new(service));
        let mut far = Mesh::start().await;
        far.add(NodePlan::new("host").serve("orders", address)).await;
        far.add(NodePlan::new("caller").listen("orders", "web")).await;
        let mut near = Mesh::start().await;
        near.add(NodePlan::new("caller").serve("orders", address).listen("orders", "web")).await;
        let mut places = Vec::new();
        for (name, mut mesh) in [("on another node", far), ("on the same node", near)] {
            mesh.settled().await;
            let listener = mesh.listener("caller", "orders");
            places.push(Self { name, mesh, listener, _service: std::sync::Arc::clone(&service) });
        }
        places.try_into().unwrap_or_else(|_| unreachable!("two places"))
    }

    async fn connect(&self) -> TcpStream {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(self.listener)).await;
        connected.expect("a listener accepts at once").unwrap()
    }

    /// The access log has the one connection, which ended well, with so many bytes.
    async fn assert_record(&self, up: u64, down: u64) {
        let records = self.mesh.records_when("caller", |records| !outbound(records).is_empty()).await;
        let [record] = outbound(&records)[..] else { panic!("one connection: {records:?}") };
        let seen = (record.outcome.as_str(), record.bytes_up, record.bytes_down);
        assert_eq!(seen, ("ok", up, down), "{}: {record:?}", self.name);
        self.mesh.books_agree().await;
    }
}

fn outbound(records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| record.direction == "outbound").collect()
}
