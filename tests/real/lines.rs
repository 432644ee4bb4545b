//! A protocol in which the server speaks first, as in SMTP, FTP, SSH or MySQL: the caller sends nothing
//! until it has read the greeting.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::mesh_of;
use crate::support::Service;

/// Enough that both endpoints get some, whatever the dice say: all on one of two is 2^-39.
const CONVERSATIONS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_heard_before_the_caller_says_a_word() {
    let (first, second) = (Service::greeter("first").await, Service::greeter("second").await);
    let mesh = mesh_of("mail", &[first.address(), second.address()]).await;

    for conversation in 0..CONVERSATIONS {
        let app = TcpStream::connect(mesh.listener("caller", "mail")).await.unwrap();
        let mut app = BufReader::new(app);
        let greeting = line(&mut app).await;
        let name = greeting.strip_prefix("220 ").unwrap().to_owned();
        for turn in 0..3 {
            app.write_all(format!("HELO {conversation}.{turn}\r\n").as_bytes()).await.unwrap();
            assert_eq!(line(&mut app).await, format!("250 {name} HELO {conversation}.{turn}"));
        }
        app.write_all(b"QUIT\r\n").await.unwrap();
        assert_eq!(line(&mut app).await, format!("221 {name}"));
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "a clean end");
    }

    let records = mesh.records_when("caller", |records| records.len() == CONVERSATIONS).await;
    assert!(records.iter().all(|record| record.outcome == "ok"), "{records:#?}");
    assert!(first.accepted() > 0 && second.accepted() > 0);
    assert_eq!(first.accepted() + second.accepted(), CONVERSATIONS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_only_listens_gets_the_greeting_and_may_leave() {
    let greeter = Service::greeter("only").await;
    let mesh = mesh_of("mail", &[greeter.address()]).await;

    let mut app = TcpStream::connect(mesh.listener("caller", "mail")).await.unwrap();
    app.shutdown().await.unwrap();
    let mut heard = String::new();
    app.read_to_string(&mut heard).await.unwrap();

    assert_eq!(heard, "220 only\r\n");
    let records = mesh.records_when("caller", |records| records.len() == 1).await;
    assert_eq!((records[0].outcome.as_str(), records[0].bytes_up), ("ok", 0));
}

async fn line(app: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    app.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}
