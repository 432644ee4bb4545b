//! The messages of control sessions and of joins, each as its receiver reads it.
//!
//! The first byte says which; the rest is the payload.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sinew_api::Delta;
use sinew_api::control::{Ack, Farewell, Register, Reject, Renew, Renewed, Report, SnapshotChunk, Welcome};
use sinew_api::hosting::{Serve, Serving, Tell};
use sinew_api::join::{JoinAnswer, JoinRequest, MAX_CSR_LEN};
use sinew_controller_core::Registration;
use sinew_controller_core::registration::{
    MAX_ADDRESSES, MAX_ENDPOINTS, MAX_LABEL_NAME, MAX_LABEL_VALUE, MAX_LABELS, MAX_LISTENERS,
};
use sinew_transport_core::ServiceName;

use crate::wire::{decoded, node, service};

/// From where every session seems to come.
pub(crate) const SESSION_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// One message of a control session.
pub fn control(bytes: &[u8]) -> bool {
    let Some((kind, payload)) = bytes.split_first() else { return false };
    match kind {
        0 => decoded::<Register>(payload).map(check).is_some(),
        1 => decoded::<Welcome>(payload).is_some(),
        2 => decoded::<SnapshotChunk>(payload).is_some(),
        3 => decoded::<Ack>(payload).is_some(),
        4 => decoded::<Reject>(payload).is_some(),
        5 => decoded::<Report>(payload).is_some(),
        6 => decoded::<Serving>(payload).map(serving).is_some(),
        7 => decoded::<Delta>(payload).is_some(),
        8 => decoded::<Renew>(payload).is_some(),
        9 => decoded::<Renewed>(payload).is_some(),
        10 => decoded::<Farewell>(payload).is_some(),
        11 => decoded::<Tell>(payload).is_some(),
        _ => false,
    }
}

/// The services that everybody here is granted.
pub(crate) fn granted() -> BTreeSet<ServiceName> {
    ["orders", "web", "shop.eu"].map(service).into()
}

/// What a controller makes of a registration.
fn check(register: Register) {
    let said = register.clone();
    match Registration::check(register, &node("n1"), &granted(), SESSION_IP) {
        Ok(taken) => keeps_limits(&taken, &said),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            // They go back in one frame, and into a log.
            assert!(
                mistakes.len()
                    <= 2 * (MAX_ENDPOINTS * (MAX_LABELS + 3) + MAX_LISTENERS + 8).max(said_len(&said))
            );
        }
    }
}

fn said_len(said: &Register) -> usize {
    said.serves.len() + said.listens.len()
}

fn keeps_limits(taken: &Registration, said: &Register) {
    assert!((1..=MAX_ADDRESSES).contains(&taken.addresses().len()));
    assert!(taken.addresses().iter().all(|at| at.port() != 0 && !at.ip().is_unspecified()));
    assert!(taken.serves().len() == said.serves.len() && taken.serves().len() <= MAX_ENDPOINTS);
    assert!(said.listens.len() <= MAX_LISTENERS);
    hosts_what_is_granted(taken);
    let json = serde_json::to_string(taken).expect("plain data");
    assert_eq!(serde_json::from_str::<Registration>(&json).expect("as it was saved"), *taken);
}

pub(crate) fn hosts_what_is_granted(taken: &Registration) {
    let granted = granted();
    for hosted in taken.serves().values() {
        assert!(granted.contains(&hosted.service));
        assert!(hosted.labels.len() <= MAX_LABELS);
        for (name, value) in &hosted.labels {
            assert!((1..=MAX_LABEL_NAME).contains(&name.chars().count()));
            assert!(value.chars().count() <= MAX_LABEL_VALUE);
            assert!(!name.chars().chain(value.chars()).any(char::is_control));
        }
    }
}

/// What a controller makes of news from a node that hosts `orders` in slot 0.
fn serving(serving: Serving) {
    let register = Register {
        version: String::new(),
        boot: 1,
        addresses: vec!["127.0.0.1:7410".parse().expect("a constant of ours")],
        zone: None,
        serves: vec![Serve {
            service: service("orders"),
            slot: 0,
            labels: Default::default(),
            capacity: 100,
            health: sinew_api::hosting::Health::Up,
        }],
        serving: 1,
        listens: Vec::new(),
        certificate_expiry: 0,
        have: None,
        ext: Vec::new(),
    };
    let before =
        Registration::check(register, &node("n1"), &granted(), SESSION_IP).expect("it breaks no rule");
    let (version, changes) = (serving.version, serving.changes.len());
    if let Ok(after) = before.serving(serving, &node("n1"), &granted()) {
        assert_eq!(after.version(), version);
        assert!(after.serves().len() <= MAX_ENDPOINTS.min(changes + 1));
        assert_eq!(after.addresses(), before.addresses());
        hosts_what_is_granted(&after);
    }
}

/// What is said at a join: 0 is the request of a node, 1 the answer of a controller, 2 only a certificate request.
pub fn join(bytes: &[u8]) -> bool {
    let Some((kind, payload)) = bytes.split_first() else { return false };
    match kind {
        0 => {
            let request = decoded::<JoinRequest>(payload);
            let shown = request.as_ref().map(|request| format!("{request:?}"));
            assert!(shown.is_none_or(|shown| shown.contains("[redacted]") && shown.len() < 100));
            request.is_some_and(|request| certificate_request(&request.csr))
        }
        1 => decoded::<JoinAnswer>(payload).is_some(),
        2 => certificate_request(payload),
        _ => false,
    }
}

/// A certificate request counts only if whoever made it holds the key.
fn certificate_request(der: &[u8]) -> bool {
    let taken = sinew_controller::is_usable_request(der);
    if taken {
        assert!(der.len() <= MAX_CSR_LEN);
        // The signature comes last.
        let mut forged = der.to_vec();
        *forged.last_mut().expect("it was not empty") ^= 1;
        assert!(!sinew_controller::is_usable_request(&forged), "signed by somebody else");
        assert!(!sinew_controller::is_usable_request(&[der, &[0]].concat()), "bytes behind it");
    }
    taken
}
