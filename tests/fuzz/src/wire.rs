//! Frames as they come on a stream, the greeting, and the preamble.

use sinew_api::Snapshot;
use sinew_api::control::MAX_FRAME;
use sinew_api::snapshot::{DefaultPolicy, Peer};
use sinew_node_core::{Verdict, View, admit};
use sinew_transport_core::wire::{
    self, Accepted, Ext, HEAD_LEN, Head, Hello, Malformed, Message, Ping, Preamble,
};
use sinew_transport_core::{NodeName, Revision, ServiceName};

/// The most that a message of a data connection may take in memory, strings and lists included
/// (`transport/core/src/wire.rs`).
const DATA_MEMORY: usize = 64 * 1024;

/// Decodes a message, and holds it to what every frame promises.
pub(crate) fn decoded<M: Message + PartialEq + std::fmt::Debug>(payload: &[u8]) -> Option<M> {
    let message: M = match wire::decode(payload) {
        Ok(message) => message,
        Err(Malformed::TooLong { len, max, .. }) => {
            assert!(len > max && max == M::MAX_LEN);
            return None;
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    assert!(payload.len() <= M::MAX_LEN as usize, "nothing longer than its limit is read");
    assert!(wire::fits(&message), "what was read can be sent");
    let frame = wire::encode(&message);
    let head = Head::parse(frame[..HEAD_LEN].try_into().expect("a head is eight bytes"));
    assert_eq!(head, Head { len: head.len, kind: M::KIND, flags: M::FLAGS });
    assert_eq!(wire::expect::<M>(head), Ok(true));
    assert!(head.len as usize <= payload.len(), "we write nothing longer than we read");
    assert_eq!(wire::decode::<M>(&frame[HEAD_LEN..]).as_ref(), Ok(&message), "it reads back as written");

    let longer = [payload, &[0]].concat();
    assert!(wire::decode::<M>(&longer).is_err(), "a byte too many is refused");
    if let Some((_, shorter)) = payload.split_last() {
        assert!(wire::decode::<M>(shorter).is_err(), "a byte too few is refused");
    }
    Some(message)
}

/// A stream of frames, read as each reader reads it: whatever stands in a head, what follows is bounded, every
/// frame is stepped over, and nothing but what is due is taken.
pub fn frames(bytes: &[u8]) -> bool {
    let due = [
        walk::<Hello>(bytes),
        walk::<Preamble>(bytes),
        walk::<Accepted>(bytes),
        walk::<Ping>(bytes),
        walk::<sinew_api::control::Register>(bytes),
    ];
    due.into_iter().any(|read| read)
}

/// Whether an `M` comes within the frames that may be skipped.
fn walk<M: Message + PartialEq + std::fmt::Debug>(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() {
        let head = Head::parse(*head);
        assert_eq!(Head::parse(head.to_bytes()), head);
        let due = match wire::expect::<M>(head) {
            Ok(due) => due,
            Err(error) => {
                assert!(head.len > M::MAX_LEN || (head.kind != M::KIND && !head.skippable()), "{error}");
                return false;
            }
        };
        assert!(head.len <= M::MAX_LEN && head.len <= MAX_FRAME, "what is read into memory is bounded");
        assert_eq!(due, head.kind == M::KIND);
        let Some((payload, next)) = rest.split_at_checked(head.len as usize) else { return false };
        if due {
            return decoded::<M>(payload).is_some();
        }
        bytes = next;
    }
    false
}

/// The payload of a greeting.
pub fn hello(bytes: &[u8]) -> bool {
    let Some(hello) = decoded::<Hello>(bytes) else { return false };
    let texts = hello.capabilities.iter().map(|text| text.len() + size_of::<String>());
    let memory = hello.version.len() + hello.build.len() + texts.sum::<usize>() + memory_of(&hello.ext);
    assert!(memory <= DATA_MEMORY, "{memory} bytes of memory");
    true
}

fn memory_of(ext: &Ext) -> usize {
    ext.iter().map(|(_, value)| value.len() + size_of::<(u16, Vec<u8>)>()).sum()
}

/// The payload of a preamble, and what a node makes of it.
pub fn preamble(bytes: &[u8]) -> bool {
    let Some(preamble) = decoded::<Preamble>(bytes) else { return false };
    let memory = preamble.traceparent.len() + preamble.tracestate.len() + memory_of(&preamble.ext);
    assert!(memory <= DATA_MEMORY, "{memory} bytes of memory");
    let [own, peer, stranger] = ["self", "n1", "stranger"].map(node);
    for policy in [DefaultPolicy::Allow, DefaultPolicy::Deny] {
        let view = view(&own, &peer, policy);
        for in_slot in [None, Some(service("orders")), Some(preamble.destination.clone())] {
            for caller in [&own, &peer, &stranger] {
                let verdict = admit(&view, in_slot.as_ref(), caller, &preamble);
                let hosted = in_slot.as_ref() == Some(&preamble.destination);
                assert_eq!(verdict == Verdict::NoEndpoint, !hosted);
                let granted = view.may_speak_for(caller, &preamble.source) == Some(true);
                let admitted = hosted && granted && policy == DefaultPolicy::Allow;
                assert_eq!(verdict == Verdict::Admit, admitted, "{caller} with {preamble:?}");
                if let Verdict::Deny { .. } = verdict {
                    assert!(caller != &stranger && preamble.revision <= view.revision, "no late news");
                }
            }
        }
    }
    true
}

/// At revision 5, `self` may speak for `shop` and `orders`, and `n1` for `web`.
fn view(own: &NodeName, peer: &NodeName, default: DefaultPolicy) -> View {
    let granted = vec![service("web")];
    let peer = Peer { node: peer.clone(), zone: None, addresses: Vec::new(), granted, serving: 0 };
    let snapshot = Snapshot {
        revision: Revision(5),
        default,
        granted: vec![service("shop"), service("orders")],
        peers: vec![peer],
        ..Snapshot::default()
    };
    View::compile(own, snapshot, None).expect("it breaks no rule")
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("a constant of ours")
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("a constant of ours")
}
