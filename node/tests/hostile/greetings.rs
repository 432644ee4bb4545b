//! First streams of connections, and what follows the greeting on them.

use quinn::{ConnectionError, VarInt};
use sinew_api::hosting::{Health, Serve, Serving, Tell};
use sinew_transport_core::ids::ServiceName;
use sinew_transport_core::wire::{self, Echo, Head, Hello, Message, Ping, SKIPPABLE};

use crate::common::raw::{self, hello, soon};
use crate::common::{Peer, Stage, preamble};
use crate::{UNKNOWN, frame, is_served, skippable};

/// Why the node closed the connection, in its words.
async fn closed(connection: &quinn::Connection) -> String {
    match soon("being closed", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => String::from_utf8_lossy(&close.reason).into_owned(),
        other => panic!("closed by the application, not: {other}"),
    }
}

/// A connection that begins with `bytes` is refused as a bad greeting, and the next is taken.
async fn no_greeting(bytes: &[u8], reason: &str) {
    let stage = Stage::set().await;
    let (_endpoint, connection) = Peer::connect("n1", &stage.authority, stage.data).await;
    let (mut send, _receive) = soon("the first stream", connection.open_bi()).await.expect("opened");

    raw::write(&mut send, bytes).await;
    let _ = send.finish();

    let told = closed(&connection).await;
    assert!(told.starts_with("greeting: ") && told.contains(reason), "{told}");
    let line = stage.log.next("the refusal", |line| line.message == "data connection refused").await;
    assert_eq!(line.field("refusal"), "bad_hello");
    assert!(line.field("reason").contains(reason), "{line:?}");
    assert_eq!(stage.metrics().await.refused_peers("bad_hello"), 1.0);
    is_served(&stage, &stage.peer().await).await;
    stage.end().await;
}

#[tokio::test]
async fn garbage_in_place_of_a_hello_is_refused() {
    no_greeting(&frame(Hello::KIND, 0, &[0xff; 40]), "does not decode").await;
}

#[tokio::test]
async fn a_hello_with_something_behind_it_is_refused() {
    let payload = [wire::encode_part(&hello()), vec![0]].concat();

    no_greeting(&frame(Hello::KIND, 0, &payload), "1 bytes too many").await;
}

#[tokio::test]
async fn a_hello_that_claims_4_gib_is_refused_at_once() {
    let head = Head { len: u32::MAX, kind: Hello::KIND, flags: 0 };

    no_greeting(&head.to_bytes(), "claims 4294967295 bytes").await;
}

#[tokio::test]
async fn a_stream_before_the_greeting_is_no_stream() {
    no_greeting(&wire::encode(&preamble()), "frame kind 2 where 1 is due").await;
}

#[tokio::test]
async fn a_greeting_that_ends_at_once_is_refused() {
    no_greeting(&[], "ended before a whole frame").await;
}

#[tokio::test]
async fn whoever_does_not_greet_is_refused_after_five_seconds() {
    let stage = Stage::set().await;
    let (_endpoint, connection) = Peer::connect("n1", &stage.authority, stage.data).await;

    closed(&connection).await;

    let line = stage.log.next("the refusal", |line| line.message == "data connection refused").await;
    assert_eq!(line.field("refusal"), "timeout");
    assert_eq!(stage.metrics().await.refused_peers("timeout"), 1.0);
    is_served(&stage, &stage.peer().await).await;
    stage.end().await;
}

#[tokio::test]
async fn the_node_greets_back_with_what_it_has() {
    let stage = Stage::set().await;

    let peer = stage.peer().await;

    assert_eq!((peer.hello.revision.0, peer.hello.lane), (5, hello().lane));
    assert_eq!(stage.session.register.addresses, [stage.data]);
    stage.end().await;
}

/// What follows a greeting and is no frame that may follow it ends the connection, told, counted and named;
/// the next connection is taken.
async fn ends_a_connection(bytes: &[u8], reason: &str) {
    let stage = Stage::set().await;
    let mut peer = stage.peer().await;
    is_served(&stage, &peer).await;

    raw::write(&mut peer.greeting.0, bytes).await;

    let told = closed(&peer.connection).await;
    assert!(told.contains(reason), "{told}");
    let line = stage.log.next("the end", |line| line.message == "peer sent what can't be read").await;
    assert_eq!(line.field("peer"), "n1");
    assert!(line.field("reason").contains(reason), "{line:?}");
    assert_eq!(stage.metrics().await.refused_peers("bad_hello"), 1.0);
    is_served(&stage, &stage.peer().await).await;
    stage.end().await;
}

#[tokio::test]
async fn a_second_hello_ends_the_connection() {
    ends_a_connection(&wire::encode(&hello()), "frame kind 1 ").await;
}

#[tokio::test]
async fn an_unknown_tell_that_may_not_be_skipped_ends_the_connection() {
    ends_a_connection(&frame(UNKNOWN, 0, b""), "frame kind 9999 ").await;
}

#[tokio::test]
async fn garbage_behind_the_greeting_ends_the_connection() {
    ends_a_connection(&[0xff; 64], "claims 4294967295 bytes").await;
}

#[tokio::test]
async fn a_damaged_ping_ends_the_connection() {
    ends_a_connection(&frame(Ping::KIND, SKIPPABLE, &[0; 31]), "does not decode").await;
}

#[tokio::test]
async fn a_damaged_echo_ends_the_connection() {
    ends_a_connection(&frame(Echo::KIND, SKIPPABLE, &[0; 40]), "7 bytes too many").await;
}

#[tokio::test]
async fn a_damaged_tell_ends_the_connection() {
    ends_a_connection(&frame(Tell::KIND, SKIPPABLE, &[0xff; 40]), "does not decode").await;
}

#[tokio::test]
async fn a_tell_that_is_too_long_ends_the_connection() {
    let head = Head { len: Tell::MAX_LEN + 1, kind: Tell::KIND, flags: SKIPPABLE };

    ends_a_connection(&head.to_bytes(), "claims 65537 bytes").await;
}

#[tokio::test]
async fn a_peer_may_tell_as_much_as_it_likes_and_is_served() {
    let stage = Stage::set().await;
    let mut peer = stage.peer().await;

    for version in 1..2000 {
        // More than the snapshot grants it, and gone with the next.
        let serve = Serve {
            service: ServiceName::new("orders").expect("valid"),
            slot: 7,
            labels: [("text".to_owned(), "x".repeat(200))].into(),
            capacity: 100,
            health: Health::Up,
        };
        let serving = Serving { version, whole: true, changes: vec![(7, Some(serve))] };
        raw::write(&mut peer.greeting.0, &wire::encode(&Tell { serving })).await;
    }

    is_served(&stage, &peer).await;
    assert_eq!(stage.metrics().await.refused_peers("bad_hello"), 0.0, "nothing was malformed");
    stage.end().await;
}

#[tokio::test]
async fn tells_of_a_later_version_are_skipped_however_many() {
    let stage = Stage::set().await;
    let mut peer = stage.peer().await;

    // As long as a tell may be.
    let long = frame(UNKNOWN, SKIPPABLE, &[0; Tell::MAX_LEN as usize]);
    let ping = wire::encode(&Ping { padding: [0; 32] });
    raw::write(&mut peer.greeting.0, &[skippable().repeat(1000), long.repeat(20), ping].concat()).await;
    is_served(&stage, &peer).await;

    // That they were skipped shows in what the connection ends for at last: the first that may not be.
    raw::write(&mut peer.greeting.0, &frame(UNKNOWN + 1, 0, b"")).await;
    let told = closed(&peer.connection).await;
    assert!(told.contains("frame kind 10000 "), "{told}");
    stage.end().await;
}

#[tokio::test]
async fn the_end_of_the_first_stream_is_the_end_of_the_connection() {
    for reset in [true, false] {
        let stage = Stage::set().await;
        let mut peer = stage.peer().await;

        if reset {
            peer.greeting.0.reset(VarInt::from_u32(0)).expect("open until here");
        } else {
            peer.greeting.0.finish().expect("open until here");
        }

        closed(&peer.connection).await;
        assert_eq!(stage.metrics().await.refused_peers("bad_hello"), 0.0, "nothing was malformed");
        is_served(&stage, &stage.peer().await).await;
        stage.end().await;
    }
}
