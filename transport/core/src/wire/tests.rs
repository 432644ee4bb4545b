//! What a frame promises: it reads back as written, and nothing that is not one is taken for one.

use proptest::prelude::*;

use super::*;
use crate::ids::{Revision, ServiceName};

fn preamble() -> Preamble {
    Preamble {
        kind: StreamKind::Tcp,
        destination: ServiceName::new("orders").expect("valid"),
        endpoint: 1,
        source: ServiceName::new("web.shop").expect("valid"),
        revision: Revision(300),
        attempt: 2,
        class: Class::Interactive,
        remaining_ms: 5000,
        client: Some("127.0.0.1:40000".parse().expect("valid")),
        traceparent: String::new(),
        tracestate: String::new(),
        ext: vec![(7, vec![1, 2, 3])],
    }
}

fn hello() -> Hello {
    Hello {
        version: "0.1.0".into(),
        build: "test".into(),
        boot: 0x0123_4567_89ab_cdef,
        lane: 1,
        capabilities: vec!["a".into()],
        revision: Revision(9),
        ext: vec![],
    }
}

fn payload<M: Message>(message: &M) -> Vec<u8> {
    encode(message)[HEAD_LEN..].to_vec()
}

#[test]
fn a_frame_reads_back_as_written() {
    let frame = encode(&preamble());
    let head = Head::parse(frame[..HEAD_LEN].try_into().expect("eight bytes"));

    assert_eq!(head.len as usize, frame.len() - HEAD_LEN);
    assert_eq!(expect::<Preamble>(head), Ok(true));
    assert_eq!(decode::<Preamble>(&frame[HEAD_LEN..]), Ok(preamble()));
}

#[test]
fn an_unknown_kind_is_skipped_only_when_it_says_so() {
    let unknown = |flags| Head { len: 10, kind: 999, flags };

    assert_eq!(expect::<Preamble>(unknown(SKIPPABLE)), Ok(false));
    assert_eq!(
        expect::<Preamble>(unknown(0)),
        Err(Malformed::Unexpected { found: 999, expected: Preamble::KIND })
    );
}

#[test]
fn a_frame_over_its_limit_is_refused_by_its_head_alone() {
    let head = Head { len: Preamble::MAX_LEN + 1, kind: Preamble::KIND, flags: SKIPPABLE };

    assert!(matches!(expect::<Preamble>(head), Err(Malformed::TooLong { .. })));
}

#[test]
fn bytes_after_the_message_are_refused() {
    let mut bytes = payload(&preamble());
    bytes.push(0);

    assert_eq!(decode::<Preamble>(&bytes), Err(Malformed::Trailing { kind: Preamble::KIND, extra: 1 }));
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let bytes = payload(&preamble());
    for cut in 0..bytes.len() {
        assert!(decode::<Preamble>(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_length_of_two_to_the_forty_is_refused_without_allocating() {
    // A Hello whose version claims 2^40 bytes: 253 marks a u64 in bincode's variable encoding.
    let mut bytes = vec![253];
    bytes.extend((1_u64 << 40).to_le_bytes());

    assert!(matches!(decode::<Hello>(&bytes), Err(Malformed::Payload { .. })));
}

#[test]
fn a_service_name_on_the_wire_obeys_the_rules_of_names() {
    let text = encode_part(&"Not A Name".to_owned());

    assert!(decode_part::<ServiceName>(&text).is_err());
}

/// The exit from bincode (docs/decisions) and every peer in the field rest on these bytes: they are
/// added to, never edited.
#[test]
fn golden_frames_do_not_change() {
    let accepted = Accepted { endpoint: 3, connect_us: 70_000, load: 2, ext: vec![] };
    let ping = Ping { padding: [0; 32] };
    let echo = Echo { number: 300, padding: [0; 32] };
    let golden = [
        ("hello", encode(&hello()), include_str!("../../tests/golden/v1/hello.hex")),
        ("preamble", encode(&preamble()), include_str!("../../tests/golden/v1/preamble.hex")),
        ("accepted", encode(&accepted), include_str!("../../tests/golden/v1/accepted.hex")),
        ("ping", encode(&ping), include_str!("../../tests/golden/v1/ping.hex")),
        ("echo", encode(&echo), include_str!("../../tests/golden/v1/echo.hex")),
        ("echoed", encode(&Echoed { number: 300 }), include_str!("../../tests/golden/v1/echoed.hex")),
    ];
    for (name, frame, hex) in golden {
        let now: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(now, hex.trim(), "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode::<Hello>(&bytes);
        let _ = decode::<Preamble>(&bytes);
        let _ = decode::<Accepted>(&bytes);
        let _ = decode::<Ping>(&bytes);
        let _ = decode::<Echo>(&bytes);
        let _ = decode::<Echoed>(&bytes);
    }

    #[test]
    fn a_head_reads_back_as_written(len: u32, kind: u16, flags: u16) {
        let head = Head { len, kind, flags };
        prop_assert_eq!(Head::parse(head.to_bytes()), head);
    }
}
