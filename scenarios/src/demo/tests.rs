//! Demo services over real sockets: what they answer, how they change, when they end.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, DuplexStream, duplex, split};

use super::frame::{Answer, MAX_PAYLOAD, Request};
use super::*;

/// A service that runs, its commands, and the lines it says.
struct Running {
    address: SocketAddr,
    commands: tokio::io::WriteHalf<DuplexStream>,
    answers: tokio::io::Lines<BufReader<DuplexStream>>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

async fn start(behaviour: Behaviour) -> Running {
    let (ours, theirs) = duplex(1024);
    let (said, answers) = duplex(1024);
    let service = DemoService {
        name: "n1/0".into(),
        behaviour,
        latency: Duration::ZERO,
        listen: ([127, 0, 0, 1], 0).into(),
        until_stdin_ends: true,
    };
    let task = tokio::spawn(service.run(theirs, said));
    let mut answers = BufReader::new(answers).lines();
    let first = answers.next_line().await.unwrap().unwrap();
    let address = first.strip_prefix("listening ").unwrap().parse().unwrap();
    Running { address, commands: split(ours).1, answers, task }
}

impl Running {
    async fn tell(&mut self, line: &str) -> String {
        self.commands.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.answers.next_line().await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn an_echo_service_answers_with_id_name_and_payload() {
    let service = start(Behaviour::EchoId).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();

    for id in [7, 8] {
        let request = Request { id, payload: vec![id as u8; 1000] };
        stream.write_all(&request.to_bytes()).await.unwrap();
        let answer = Answer::read(&mut stream).await.unwrap();
        assert_eq!(answer, Answer { id, name: "n1/0".into(), payload: request.payload });
    }
    stream.shutdown().await.unwrap();

    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "a clean end follows a clean end");
}

#[tokio::test]
async fn latency_changes_while_a_service_runs() {
    let mut service = start(Behaviour::EchoId).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();

    assert_eq!(service.tell("latency 60ms").await, "latency 60ms");
    let begun = tokio::time::Instant::now();
    stream.write_all(&Request { id: 1, payload: Vec::new() }.to_bytes()).await.unwrap();
    Answer::read(&mut stream).await.unwrap();

    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn an_unknown_command_changes_nothing_and_says_so() {
    let mut service = start(Behaviour::EchoId).await;

    assert_eq!(service.tell("dance").await, "unknown dance");
    assert!(service.tell("latency soon").await.starts_with("unknown latency soon"));
}

#[tokio::test]
async fn a_service_ends_with_its_standard_input() {
    let service = start(Behaviour::EchoId).await;

    drop(service.commands);

    service.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_line_service_speaks_first() {
    let service = start(Behaviour::Line).await;
    let mut stream = BufReader::new(TcpStream::connect(service.address).await.unwrap());

    let mut said = String::new();
    stream.read_line(&mut said).await.unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    stream.read_line(&mut said).await.unwrap();

    assert_eq!(said, "n1/0 is ready\nn1/0: hello\n");
}

#[tokio::test]
async fn a_web_service_answers_http_with_its_name() {
    let service = start(Behaviour::Http).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();

    stream.write_all(b"GET /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();

    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    assert!(said.contains("\r\n\r\nn1/0 at "), "{said}");
}

#[tokio::test]
async fn what_is_no_frame_is_refused_before_it_is_held_in_memory() {
    let mut claims = 1u64.to_le_bytes().to_vec();
    claims.extend(u32::try_from(MAX_PAYLOAD + 1).unwrap().to_le_bytes());

    let error = Request::read(&mut claims.as_slice()).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_request_that_is_cut_off_is_no_clean_end() {
    let whole = Request { id: 1, payload: vec![1, 2, 3] }.to_bytes();

    let cut = Request::read(&mut &whole[..whole.len() - 1]).await;

    assert_eq!(cut.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(Request::read(&mut &whole[..0]).await.unwrap(), None);
}
