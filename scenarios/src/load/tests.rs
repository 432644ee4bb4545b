//! The load against services that behave and services that do not: each kind of failure has its name.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::demo::DemoService;
use crate::demo::frame::{Answer, Request};
use crate::scenario::Behaviour;

fn load(rate: f64, connections: Connections) -> Load {
    Load {
        name: "l".into(),
        listener: "i".into(),
        rate,
        start: Duration::ZERO,
        duration: Duration::from_millis(200),
        connections,
        payload: (0, 5000),
        timeout: Duration::from_secs(10),
    }
}

async fn run_against(target: SocketAddr, load: Load) -> Vec<Sample> {
    run((0, load), target, 1, 10, Instant::now(), Arc::default()).await
}

/// An echo service on a port of its own, until the returned pipe is dropped.
async fn service() -> (SocketAddr, tokio::io::DuplexStream) {
    use tokio::io::{AsyncBufReadExt, BufReader, duplex};
    let (ours, theirs) = duplex(64);
    let (said, answers) = duplex(64);
    let service = DemoService {
        name: "n1/0".into(),
        behaviour: Behaviour::EchoId,
        latency: Duration::ZERO,
        listen: ([127, 0, 0, 1], 0).into(),
        until_stdin_ends: true,
    };
    tokio::spawn(service.run(theirs, said));
    let line = BufReader::new(answers).lines().next_line().await.unwrap().unwrap();
    (line["listening ".len()..].parse().unwrap(), ours)
}

/// A service that does to every connection what `act` says after reading one request.
async fn odd_service<F: Future<Output = ()> + Send>(
    act: impl Fn(tokio::net::TcpStream, Request) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Ok(Some(request)) = Request::read(&mut stream).await {
                act(stream, request).await;
            }
        }
    });
    address
}

async fn one_outcome(target: SocketAddr) -> Sample {
    one_outcome_of(target, load(5.0, Connections::New)).await
}

async fn one_outcome_of(target: SocketAddr, load: Load) -> Sample {
    let mut samples = run_against(target, load).await;
    assert_eq!(samples.len(), 1);
    samples.pop().unwrap()
}

#[tokio::test]
async fn every_request_is_made_checked_and_recorded_once() {
    let (target, _running) = service().await;

    for connections in [Connections::New, Connections::Kept(3)] {
        let mut samples = run_against(target, load(200.0, connections)).await;

        samples.sort_by_key(|s| s.id);
        let ids: Vec<_> = samples.iter().map(|s| s.id).collect();
        assert_eq!(ids, (10..50).collect::<Vec<_>>());
        for sample in &samples {
            assert_eq!((sample.outcome, sample.wrong_bytes), (Outcome::Ok, 0));
            assert!(sample.due <= sample.sent && sample.sent <= sample.end);
            assert!(sample.local.is_some() && sample.answered_by.is_some());
        }
        let opened = samples.iter().filter(|s| s.new_connection).count();
        assert_eq!(opened, if connections == Connections::New { 40 } else { 3 });
    }
}

#[tokio::test]
async fn payloads_depend_on_seed_and_id_alone() {
    let context = |seed| Context {
        load: 0,
        target: ([127, 0, 0, 1], 1).into(),
        timeout: Duration::ZERO,
        payload: (100, 200),
        seed,
        epoch: Instant::now(),
        counters: Arc::default(),
    };

    assert_eq!(context(1).payload(5), context(1).payload(5));
    assert_ne!(context(1).payload(5), context(1).payload(6));
    assert_ne!(context(1).payload(5), context(2).payload(5));
    assert!((100..=200).contains(&context(1).payload(5).len()));
}

#[tokio::test]
async fn a_damaged_byte_is_counted() {
    let target = odd_service(async |mut stream, mut request| {
        request.payload.push(0);
        let answer = Answer { id: request.id, name: "n1/0".into(), payload: request.payload };
        stream.write_all(&answer.to_bytes()).await.unwrap();
    })
    .await;

    let sample = one_outcome(target).await;

    assert_eq!((sample.outcome, sample.wrong_bytes), (Outcome::NotAnAnswer, 1));
}

#[tokio::test]
async fn another_requests_answer_is_no_answer() {
    let target = odd_service(async |mut stream, request| {
        let answer = Answer { id: request.id + 1, name: "n1/0".into(), payload: request.payload };
        stream.write_all(&answer.to_bytes()).await.unwrap();
    })
    .await;

    assert_eq!(one_outcome(target).await.outcome, Outcome::NotAnAnswer);
}

#[tokio::test]
async fn a_short_clean_end_is_a_failure() {
    let target = odd_service(async |mut stream, request| {
        let answer = Answer { id: request.id, name: "n1/0".into(), payload: request.payload }.to_bytes();
        stream.write_all(&answer[..answer.len() - 1]).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;

    assert_eq!(one_outcome(target).await.outcome, Outcome::CutOff);
}

#[tokio::test]
async fn bytes_after_the_answer_are_wrong() {
    let target = odd_service(async |mut stream, request| {
        let answer = Answer { id: request.id, name: "n1/0".into(), payload: request.payload };
        stream.write_all(&[answer.to_bytes(), vec![1, 2]].concat()).await.unwrap();
    })
    .await;

    let sample = one_outcome(target).await;

    assert_eq!((sample.outcome, sample.wrong_bytes), (Outcome::NotAnAnswer, 2));
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let load = Load { timeout: Duration::from_millis(300), ..load(5.0, Connections::New) };

    let sample = one_outcome_of(listener.local_addr().unwrap(), load).await;

    assert_eq!(sample.outcome, Outcome::TimedOut);
    assert!(sample.latency() >= Duration::from_millis(300));
}

#[tokio::test]
async fn nobody_listening_is_a_failure_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);

    assert_eq!(one_outcome(target).await.outcome, Outcome::NoConnection);
}

#[tokio::test]
async fn a_request_that_waited_for_another_counts_its_waiting() {
    let target = odd_service(async |mut stream, request| {
        let answer = Answer { id: request.id, name: "n1/0".into(), payload: request.payload };
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(&answer.to_bytes()).await.unwrap();
    })
    .await;

    let mut samples = run_against(target, load(20.0, Connections::Kept(1))).await;

    samples.sort_by_key(|s| s.id);
    assert_eq!(samples.len(), 4);
    let queued = samples[1].sent - samples[1].due;
    assert!(queued >= Duration::from_millis(40), "due 50 ms after the first, which took 100: {queued:?}");
    assert_eq!(samples[1].latency(), samples[1].end - samples[1].due);
}
