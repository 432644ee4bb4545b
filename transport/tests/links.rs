//! Stories of links on loopback: greeted, used, judged, lost.
#![allow(clippy::disallowed_methods, reason = "stories in the real world")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Authority, Handle, Node, echo, node_name};
use sinew_transport::link::Stream;
use sinew_transport::verify::Refusal;
use sinew_transport::{Link, StreamError};
use sinew_transport_core::Code;
use tokio::sync::mpsc;

/// How long a story may take before it is called stuck.
const STUCK: Duration = Duration::from_secs(20);

async fn read_all(stream: &mut Stream) -> Result<Vec<u8>, StreamError> {
    let mut all = Vec::new();
    let mut pieces = [const { Bytes::new() }; 16];
    while let Some(count) = stream.receive.read(&mut pieces).await? {
        pieces[..count].iter().for_each(|piece| all.extend_from_slice(piece));
    }
    Ok(all)
}

/// Two nodes, `a` wanting `b`, and the link between them.
async fn pair(handler: Arc<dyn sinew_transport::StreamHandler>) -> (Node, Node, Arc<Link>) {
    let authority = Authority::new();
    let a = Node::start("a", authority.node("a"), echo());
    let b = Node::start("b", authority.node("b"), handler);
    a.wants("b", b.address);
    let link = tokio::time::timeout(STUCK, a.link("b")).await.expect("up in time");
    (a, b, link)
}

#[tokio::test]
async fn bytes_come_back_as_sent_and_end_cleanly() {
    let (a, b, link) = pair(echo()).await;
    let sent: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();

    let mut stream = link.open().await.expect("opened");
    let sending = async {
        for piece in sent.chunks(10_000) {
            stream.send.write(Bytes::copy_from_slice(piece)).await.expect("sent");
        }
        stream.send.finish();
    };
    sending.await;
    let back = read_all(&mut stream).await.expect("a clean end");

    assert!(back == sent, "{} bytes came back of {}", back.len(), sent.len());
    drop((stream, link));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn an_echo_comes_back_and_none_from_a_node_that_is_gone() {
    let (a, b, link) = pair(echo()).await;
    let patience = Duration::from_millis(300);

    for _ in 0..3 {
        let took = tokio::time::timeout(STUCK, link.echo(STUCK)).await.expect("in time");
        let took = took.expect("answered");
        assert!(Duration::ZERO < took && took < Duration::from_secs(5), "{took:?}");
    }
    b.end().await;
    assert_eq!(link.echo(patience).await, None);

    drop(link);
    a.end().await;
}

#[tokio::test]
async fn a_sender_that_is_dropped_never_looks_like_a_clean_end() {
    let (ends, mut ended) = mpsc::channel(1);
    let handler = Handle(move |mut stream: Stream| {
        let ends = ends.clone();
        async move {
            let end = read_all(&mut stream).await;
            ends.send(end).await.expect("the story waits");
        }
    });
    let (a, b, link) = pair(Arc::new(handler)).await;

    let mut stream = link.open().await.expect("opened");
    stream.send.write(Bytes::from_static(b"half of it")).await.expect("sent");
    drop(stream);

    let end = tokio::time::timeout(STUCK, ended.recv()).await.expect("an end").expect("told");
    assert_eq!(end, Err(StreamError::Reset(Code::Broken)));
    drop(link);
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_link_that_nobody_renews_ends_with_its_certificates_and_its_streams_with_it() {
    let authority = Authority::new();
    let life = Duration::from_secs(2);
    let (a, b) = (authority.node_for("a", life), authority.node("b"));
    let (a, b) = (Node::start("a", a, echo()), Node::start("b", b, echo()));
    a.wants("b", b.address);
    let link = tokio::time::timeout(STUCK, a.link("b")).await.expect("up in time");

    let mut stream = link.open().await.expect("opened");
    stream.send.write(Bytes::from_static(b"hello")).await.expect("sent");
    let end = tokio::time::timeout(STUCK, read_all(&mut stream)).await.expect("an end");

    assert!(matches!(end, Err(StreamError::Lost(_))), "{end:?}");
    drop((stream, link));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_task_that_panics_resets_its_stream() {
    let handler = Handle(|mut stream: Stream| async move {
        stream.send.write(Bytes::from_static(b"short")).await.expect("sent");
        panic!("on purpose: this is the story");
    });
    let (a, b, link) = pair(Arc::new(handler)).await;

    let mut stream = link.open().await.expect("opened");
    stream.send.write(Bytes::from_static(b"hello")).await.expect("sent");
    let end = tokio::time::timeout(STUCK, read_all(&mut stream)).await.expect("an end");

    assert_eq!(end, Err(StreamError::Reset(Code::Broken)));
    drop((stream, link));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn more_streams_are_allowed_before_they_are_used_up() {
    // Streams that stay open: each answers one byte and waits for the end.
    let handler = Handle(|mut stream: Stream| async move {
        stream.send.write(Bytes::from_static(b"!")).await.expect("sent");
        let _ = read_all(&mut stream).await;
    });
    let (a, b, link) = pair(Arc::new(handler)).await;

    let mut open = Vec::new();
    for n in 0..500 {
        let mut stream = tokio::time::timeout(STUCK, link.open())
            .await
            .unwrap_or_else(|_| panic!("stream {n} waits"))
            .expect("opened");
        stream.send.write(Bytes::from_static(b"?")).await.expect("sent");
        let mut byte = [0];
        stream.receive.read_exact(&mut byte).await.expect("answered");
        open.push(stream);
    }

    assert_eq!(link.streams(), 500);
    drop((open, link));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_peer_may_have_ten_thousand_streams_open_and_is_refused_the_next() {
    const STREAMS: usize = 10_000;
    let handler = Handle(|mut stream: Stream| async move {
        stream.send.write(Bytes::from_static(b"!")).await.expect("sent");
        let _ = read_all(&mut stream).await;
    });
    let (a, b, link) = pair(Arc::new(handler)).await;
    let peer = a.peers.get(&node_name("b")).expect("known");
    let open = async || {
        let mut stream = tokio::time::timeout(STUCK, link.open()).await.expect("room").expect("opened");
        stream.send.write(Bytes::from_static(b"?")).await.expect("sent");
        let answered = stream.receive.read_exact(&mut [0]).await;
        (stream, answered)
    };

    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        assert!(peer.has_room());
        let (stream, answered) = open().await;
        answered.expect("answered");
        streams.push(stream);
    }

    assert!(!peer.has_room(), "whoever asks goes elsewhere at once");
    let (_stream, refused) = open().await;
    assert_eq!(refused, Err(StreamError::Reset(Code::Overloaded)), "whoever does not ask is refused");
    for stream in streams.drain(..10) {
        drop(stream);
    }
    // The other end hears of that a moment later.
    let taken = async { while open().await.1.is_err() {} };
    tokio::time::timeout(STUCK, taken).await.expect("room again");
    drop((streams, link));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_link_over_loopback_finds_its_jumbo_packets() {
    let (a, b, link) = pair(echo()).await;

    let growing = async {
        while link.stats().path.current_mtu < 8000 {
            let mut stream = link.open().await.expect("opened");
            stream.send.write(Bytes::from(vec![7; 100_000])).await.expect("sent");
            stream.send.finish();
            assert_eq!(read_all(&mut stream).await.expect("a clean end").len(), 100_000);
        }
    };
    tokio::time::timeout(STUCK, growing).await.expect("found in time");

    assert_eq!(link.stats().path.black_holes_detected, 0, "no burst was too long for one send");
    drop(link);
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn when_both_dial_at_once_one_link_stays() {
    let authority = Authority::new();
    let a = Node::start("a", authority.node("a"), echo());
    let b = Node::start("b", authority.node("b"), echo());
    a.wants("b", b.address);
    b.wants("a", a.address);

    let settled = async {
        loop {
            let count =
                |node: &Node, peer| node.peers.get(&common::node_name(peer)).map_or(0, |p| p.links().len());
            a.link("b").await;
            b.link("a").await;
            if (count(&a, "b"), count(&b, "a")) == (1, 1) {
                return;
            }
            a.peers.news().changed().await.expect("the table lives");
        }
    };
    tokio::time::timeout(STUCK, settled).await.expect("one link stays");

    let mut stream = b.link("a").await.open().await.expect("opened");
    stream.send.write(Bytes::from_static(b"hello")).await.expect("sent");
    stream.send.finish();
    assert_eq!(read_all(&mut stream).await.expect("a clean end"), b"hello");
    drop(stream);
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn a_peer_that_ends_and_returns_is_reached_again() {
    let authority = Authority::new();
    let a = Node::start("a", authority.node("a"), echo());
    let b = Node::start("b", authority.node("b"), echo());
    a.wants("b", b.address);
    let link = a.link("b").await;

    b.end().await;
    tokio::time::timeout(STUCK, link.closed()).await.expect("the end is noticed");
    let b = Node::start("b", authority.node("b"), echo());
    a.wants("b", b.address);
    let again = tokio::time::timeout(STUCK, a.link("b")).await.expect("reached again");

    assert_ne!(link.boot(), again.boot());
    drop((link, again));
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn of_two_processes_with_one_identity_the_newer_stays_and_the_older_does_not_come_back() {
    let authority = Authority::new();
    let host = Node::start("host", authority.node("host"), echo());
    let older = Node::start("n1", authority.node("n1"), echo());
    older.wants("host", host.address);
    let first = older.link("host").await;

    let newer = Node::start("n1", authority.node("n1"), echo());
    newer.wants("host", host.address);
    let second = newer.link("host").await;
    tokio::time::timeout(STUCK, first.closed()).await.expect("the newer takes over");
    let turned_away = async {
        while host.refusals.get(Refusal::Superseded) < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(STUCK, turned_away).await.expect("the older tries again");

    assert!(second.usable());
    let links = host.peers.get(&common::node_name("n1")).expect("known").links();
    assert_eq!(links.len(), 1, "only the newer's");
    drop((first, second, links));
    older.end().await;
    newer.end().await;
    host.end().await;
}
