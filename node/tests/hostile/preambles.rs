//! Streams whose first frame is not what it should be.

use std::pin::pin;
use std::task::Poll;

use sinew_transport_core::Code;
use sinew_transport_core::wire::{self, Accepted, HEAD_LEN, Head, Message, Preamble, SKIPPABLE};
use tokio::time::{Duration, Instant};

use crate::common::{Stage, codes, preamble, reset_code, served};
use crate::{Refused, UNKNOWN, frame, is_served, refuses, skippable, with_one_more};

/// The frame of a stream that would be served.
fn good() -> Vec<u8> {
    wire::encode(&preamble())
}

/// The payload in it.
fn payload() -> Vec<u8> {
    good()[HEAD_LEN..].to_vec()
}

/// A good preamble, made `len` bytes long by an extension that nobody knows.
fn long(len: usize) -> Vec<u8> {
    let of = |extra: usize| Preamble { ext: vec![(7, vec![0; extra])], ..preamble() };
    let rest = wire::encode_part(&of(1000)).len() - 1000;
    let bytes = wire::encode_part(&of(len - rest));
    assert_eq!(bytes.len(), len);
    bytes
}

async fn bad_preamble(bytes: &[u8], reason: &'static str) {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    refuses(&stage, &peer, bytes, &bad(reason)).await;

    stage.end().await;
}

fn bad(reason: &'static str) -> Refused {
    Refused { code: Code::BadPreamble, outcome: "bad_preamble", reason }
}

#[tokio::test]
async fn garbage_in_place_of_a_preamble_is_refused() {
    bad_preamble(&frame(Preamble::KIND, 0, &[0xff; 40]), "does not decode").await;
}

#[tokio::test]
async fn a_preamble_that_is_cut_short_inside_its_frame_is_refused() {
    let cut = &payload()[..payload().len() - 1];

    bad_preamble(&frame(Preamble::KIND, 0, cut), "does not decode").await;
}

#[tokio::test]
async fn a_preamble_with_something_behind_it_is_refused() {
    let trailing = [payload(), vec![0]].concat();

    bad_preamble(&frame(Preamble::KIND, 0, &trailing), "1 bytes too many").await;
}

#[tokio::test]
async fn a_name_that_is_no_name_is_refused() {
    let mut payload = payload();
    let at = payload.windows(6).position(|bytes| bytes == b"orders").expect("the destination");
    payload[at] = b'/';

    bad_preamble(&frame(Preamble::KIND, 0, &payload), "does not decode").await;
}

#[tokio::test]
async fn a_head_that_claims_4_gib_is_refused_at_once() {
    for flags in [0, SKIPPABLE] {
        let head = Head { len: u32::MAX, kind: Preamble::KIND, flags };
        bad_preamble(&head.to_bytes(), "claims 4294967295 bytes, more than the 4096 allowed").await;
    }
}

#[tokio::test]
async fn a_preamble_of_4096_bytes_is_read_and_one_of_4097_refused() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    served(peer.call(&frame(Preamble::KIND, 0, &long(4096))).await).await;
    assert_eq!(stage.record().await["outcome"], "ok");

    let too_long = frame(Preamble::KIND, 0, &long(4097));
    refuses(&stage, &peer, &too_long, &bad("claims 4097 bytes, more than the 4096")).await;
    stage.end().await;
}

#[tokio::test]
async fn another_frame_than_a_preamble_is_refused() {
    let accepted = Accepted { endpoint: 0, connect_us: 0, load: 0, ext: vec![] };

    bad_preamble(&wire::encode(&accepted), "frame kind 3 where 2 is due").await;
}

#[tokio::test]
async fn an_unknown_frame_that_may_not_be_skipped_is_refused() {
    let bytes = [frame(UNKNOWN, 0, b""), good()].concat();

    bad_preamble(&bytes, "frame kind 9999 where 2 is due").await;
}

#[tokio::test]
async fn unknown_frames_are_skipped_but_not_more_than_sixteen() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;
    let behind = |count: usize| [skippable().repeat(count), good()].concat();

    for count in [1, 16] {
        served(peer.call(&behind(count)).await).await;
        assert_eq!(stage.record().await["outcome"], "ok");
    }

    refuses(&stage, &peer, &behind(17), &bad("more than 16 frames to be skipped")).await;
    stage.end().await;
}

#[tokio::test]
async fn a_frame_to_be_skipped_is_no_longer_than_what_is_due() {
    let bytes = [frame(UNKNOWN, SKIPPABLE, &[0; 4097]), good()].concat();

    bad_preamble(&bytes, "claims 4097 bytes, more than the 4096").await;
}

#[tokio::test]
async fn a_stream_that_ends_before_its_preamble_is_refused() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    for cut in [0, 1, HEAD_LEN, good().len() - 1] {
        let before = stage.metrics().await.refused_streams();
        let (mut send, receive) = peer.say(&good()[..cut]).await;
        send.finish().expect("open until here");

        // There is nothing left to stop: only the answer has a code.
        assert_eq!(reset_code(receive).await, u64::from(Code::BadPreamble.number()), "cut at {cut}");
        let record = stage.record().await;
        assert_eq!(record["outcome"], "bad_preamble", "{record}");
        assert_eq!(record["reason"], "the stream ended before a whole frame");
        let counted = stage.metrics().await.refused_streams();
        assert_eq!(counted, with_one_more(before, Code::BadPreamble));
        is_served(&stage, &peer).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_its_peer_resets_before_its_preamble_is_no_refusal() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    let (mut send, receive) = peer.say(&good()[..3]).await;
    let code = Code::ResetByApplication.number();
    send.reset(quinn::VarInt::from_u32(code)).expect("open until here");

    // Nobody waits for the answer, but it must not look like a clean end.
    assert_eq!(reset_code(receive).await, u64::from(Code::Broken.number()));
    assert_eq!(stage.record().await["outcome"], "reset_by_application");
    assert!(stage.metrics().await.refused_streams().is_empty());
    is_served(&stage, &peer).await;
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_does_not_say_what_it_is_is_refused_after_five_seconds() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;
    let begun = Instant::now();

    // One byte tells the node that there is a stream; the rest of the head never comes.
    let stream = peer.say(&good()[..1]).await;
    // A neighbour on the same connection does not wait for it.
    is_served(&stage, &peer).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    let number = u64::from(Code::BadPreamble.number());
    assert_eq!(codes(stream).await, (number, number));
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    let record = stage.record().await;
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (&"bad_preamble".into(), &"no preamble in 5s".into())
    );
    assert_eq!(stage.metrics().await.refused_streams(), [("BAD_PREAMBLE", 1.0)].into());
    is_served(&stage, &peer).await;
    stage.end().await;
}

#[tokio::test]
async fn a_hundred_bad_streams_at_once_take_no_place_from_good_ones() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(peer.say(&frame(Preamble::KIND, 0, &[0xff; 40])).await);
    }

    for stream in open {
        assert_eq!(codes(stream).await, (7, 7));
    }

    assert_eq!(stage.metrics().await.refused_streams(), [("BAD_PREAMBLE", 100.0)].into());
    peer.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn datagrams_and_one_way_streams_are_not_taken() {
    let stage = Stage::set().await;
    let peer = stage.peer().await;

    let datagram = peer.connection.send_datagram(b"hello".as_slice().into());
    assert_eq!(datagram, Err(quinn::SendDatagramError::UnsupportedByPeer));
    // What the node allows is known since the handshake: one would be there at the first look.
    let mut uni = pin!(peer.connection.open_uni());
    let look = std::future::poll_fn(|cx| Poll::Ready(uni.as_mut().poll(cx).is_pending()));
    assert!(look.await, "the node allows none");

    is_served(&stage, &peer).await;
    stage.end().await;
}
