//! What applications see of a connection in memory: the ends it may have.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;

use sinew_transport::Runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{MemoryProgram, MemoryWorld};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn connecting_to_nobody_is_refused() {
    let program = program();

    let nobody = program.connect("127.0.0.1:80".parse().unwrap()).await;

    assert_eq!(kind(nobody), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_listener_that_is_gone_refuses_and_resets_who_was_waiting() {
    let program = program();
    let listener = program.listen(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = program.connect(address).await.unwrap();

    drop(listener);

    assert_eq!(kind(waiting.read_u8().await), ErrorKind::ConnectionReset);
    assert_eq!(kind(program.connect(address).await), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_application_on_another_host_is_out_of_reach() {
    let world = MemoryWorld::default();
    let there = world.host([10, 0, 0, 2].into()).program();
    let listener = there.listen("0.0.0.0:80".parse().unwrap()).unwrap();

    let far = program_in(&world).connect(SocketAddr::new([10, 0, 0, 2].into(), 80)).await;
    let near = there.connect(SocketAddr::new([10, 0, 0, 2].into(), 80)).await;

    assert_eq!(kind(far), ErrorKind::NetworkUnreachable);
    assert!(near.is_ok(), "{listener:?}");
}

#[tokio::test]
async fn a_half_close_ends_one_direction_cleanly_and_leaves_the_other() {
    let (mut client, mut server) = pair().await;

    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).await.unwrap();
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();

    assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    assert_eq!(kind(client.write(b"more").await), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn an_abort_is_an_error_after_what_had_arrived_and_never_a_clean_end() {
    let (mut client, mut server) = pair().await;
    server.write_all(b"half").await.unwrap();

    server.abort();

    let mut got = Vec::new();
    assert_eq!(kind(client.read_to_end(&mut got).await), ErrorKind::ConnectionReset);
    assert_eq!(got, b"half");
    assert_eq!(kind(client.read(&mut [0]).await), ErrorKind::ConnectionReset);
    assert_eq!(kind(client.write(b"more").await), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_abort_is_an_error_also_after_a_clean_end_of_the_other_direction() {
    let (mut client, server) = pair().await;
    client.shutdown().await.unwrap();

    server.abort();

    assert_eq!(kind(client.read(&mut [0]).await), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn dropping_an_end_with_unread_bytes_resets_as_a_kernel_does() {
    let (mut client, server) = pair().await;
    client.write_all(b"unread").await.unwrap();

    drop(server);

    assert_eq!(kind(client.read(&mut [0]).await), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn writing_to_an_end_that_is_gone_is_an_error() {
    let (mut client, server) = pair().await;

    drop(server);

    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(kind(client.write(b"late").await), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_and_an_abort_wakes_it() {
    let (mut client, mut server) = pair().await;
    let flood = vec![7; 1 << 20];
    let mut writing = pin!(client.write_all(&flood));
    let mut some = vec![0; 1000];

    tokio::select! {
        biased;
        _ = &mut writing => panic!("a megabyte fits nowhere"),
        read = server.read_exact(&mut some) => assert_eq!(read.unwrap(), 1000),
    }
    server.abort();

    assert_eq!(kind(writing.await), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_megabyte_arrives_as_it_was_sent() {
    let (mut client, mut server) = pair().await;
    let sent: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    let mut got = Vec::new();

    let (written, read) = tokio::join!(
        async {
            client.write_all(&sent).await?;
            client.shutdown().await
        },
        server.read_to_end(&mut got)
    );

    written.unwrap();
    assert_eq!(read.unwrap(), 1 << 20);
    assert!(got == sent, "bytes differ");
}

fn program() -> MemoryProgram {
    program_in(&MemoryWorld::default())
}

fn program_in(world: &MemoryWorld) -> MemoryProgram {
    world.host([10, 0, 0, 1].into()).program()
}

async fn pair() -> (Box<dyn AppStream>, Box<dyn AppStream>) {
    let program = program();
    let mut listener = program.listen(ANY).unwrap();
    let client = program.connect(listener.local_addr().unwrap()).await.unwrap();
    let (arrival, _) = listener.accept().await.unwrap();
    (client, arrival.into_stream().unwrap())
}

#[track_caller]
fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}
