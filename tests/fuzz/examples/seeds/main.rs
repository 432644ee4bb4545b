//! Writes the seeds of every corpus: what honest programs and people say, for a fuzzer to begin with.
//!
//! `cargo run -p sinew-fuzz --example seeds`. The rest of a corpus is what libFuzzer found beyond them, minimised.

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]

mod people;

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType};
use sinew_api::control::{
    Ack, EndpointReport, Farewell, FarewellReason, LinkReport, LinkState, Listen, REJECT_BASE, Register,
    Reject, Renew, Renewed, Report, SnapshotChunk, Welcome,
};
use sinew_api::delta;
use sinew_api::hosting::{Health, Serve, Serving, Tell};
use sinew_api::join::{JoinAnswer, JoinRequest};
use sinew_api::snapshot::Labels;
use sinew_fuzz::snapshots::bases;
use sinew_transport_core::ids::{EndpointId, Revision};
use sinew_transport_core::wire::{
    self, Accepted, Class, HEAD_LEN, Hello, Message, Ping, Preamble, StreamKind,
};

fn main() {
    frames();
    control();
    sessions();
    snapshots();
    people::files();
    people::texts();
    certificates();
}

fn seed(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join(format!("seed-{name}")), bytes).expect("a file can be written");
}

/// The same, of something with a random key in it: what is there already is as good.
fn seed_once(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).join(format!("seed-{name}"));
    if !file.exists() {
        seed(target, name, bytes);
    }
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("valid")
}

fn payload<M: Message>(message: &M) -> Vec<u8> {
    wire::encode(message)[HEAD_LEN..].to_vec()
}

fn frames() {
    let hello = Hello {
        version: "0.1.0".into(),
        build: "seed".into(),
        boot: 0x0123_4567_89ab_cdef,
        lane: 1,
        capabilities: vec!["a".into()],
        revision: Revision(9),
        ext: vec![(1, vec![7; 32])],
    };
    let preamble = Preamble {
        kind: StreamKind::Tcp,
        destination: name("orders"),
        endpoint: 1,
        source: name("web"),
        revision: Revision(5),
        attempt: 2,
        class: Class::Interactive,
        remaining_ms: 5000,
        client: Some(name("127.0.0.1:40000")),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        tracestate: String::new(),
        ext: vec![(7, vec![1, 2, 3])],
    };
    let accepted = Accepted { endpoint: 3, connect_us: 70_000, load: 2, ext: vec![] };
    let ping = Ping { padding: [0; 32] };
    seed("hello", "whole", payload(&hello));
    seed("hello", "cut", &payload(&hello)[..20]);
    seed("preamble", "whole", payload(&preamble));
    let late =
        Preamble { source: name("shop.eu"), revision: Revision(300), client: None, ..preamble.clone() };
    seed("preamble", "late", payload(&late));
    seed("preamble", "cut", &payload(&preamble)[..20]);
    for (seed_name, frame) in [
        ("hello", wire::encode(&hello)),
        ("preamble", wire::encode(&preamble)),
        ("accepted", wire::encode(&accepted)),
        ("ping", wire::encode(&ping)),
        ("skipped", [wire::encode(&ping), wire::encode(&ping), wire::encode(&preamble)].concat()),
        ("register", wire::encode(&register())),
        ("long", [0, 0, 16, 0, 2, 0, 0, 0].to_vec()),
    ] {
        seed("frames", seed_name, frame);
    }
}

fn labels() -> Labels {
    [("version".to_owned(), "v1".to_owned())].into()
}

fn serve(service: &str, slot: u16) -> Serve {
    Serve { service: name(service), slot, labels: labels(), capacity: 100, health: Health::Up }
}

fn register() -> Register {
    Register {
        version: "0.1.0".into(),
        boot: 17,
        addresses: vec![name("0.0.0.0:7410"), name("[::1]:7411")],
        zone: Some(name("eu-1")),
        serves: vec![serve("orders", 0), serve("shop.eu", 1)],
        serving: 3,
        listens: vec![Listen { service: name("orders"), source: Some(name("web")) }],
        certificate_expiry: 1_800_000_000,
        have: Some(Revision(4)),
        ext: vec![(1, vec![1])],
    }
}

fn serving() -> Serving {
    let down = Serve { health: Health::Down, ..serve("web", 2) };
    Serving {
        version: 9,
        whole: false,
        changes: vec![(0, None), (2, Some(down)), (3, Some(serve("orders", 3)))],
    }
}

fn report(from: &str) -> Report {
    let endpoint = EndpointId { node: name(from), slot: 0 };
    Report {
        certificate_expiry: 1_800_000_000,
        certificate_issued: 1_790_000_000,
        clock_ms: 1_795_000_000_000,
        links: vec![LinkReport { node: name(from), state: LinkState::Up, rtt_us: 300, loss_ppm: 10 }],
        endpoints: vec![EndpointReport {
            service: name("orders"),
            endpoint,
            latency_us: 1500,
            turns: 10,
            in_flight: 1,
            successes: 9,
            errors: 1,
        }],
        ext: vec![],
    }
}

fn control() {
    let [small, full] = bases();
    let chunk = SnapshotChunk { revision: Revision(7), index: 0, count: 1, bytes: wire::encode_part(&small) };
    let reject = Reject { revision: Revision(7), name: REJECT_BASE.into(), reason: "none is held".into() };
    let granted = vec![name("orders"), name("web")];
    let welcome = Welcome { controller: name("c1"), version: "0.1.0".into(), granted, ext: vec![] };
    let renewed = Renewed { chain: vec![vec![0x30, 0]], refused: String::new() };
    let farewell = Farewell { reason: FarewellReason::Superseded, detail: "another took over".into() };
    let messages = [
        ("register", payload(&register())),
        ("welcome", payload(&welcome)),
        ("chunk", payload(&chunk)),
        ("ack", payload(&Ack { revision: Revision(7) })),
        ("reject", payload(&reject)),
        ("report", payload(&report("n1"))),
        ("serving", payload(&serving())),
        ("delta", payload(&delta::diff(&small, &full))),
        ("renew", payload(&Renew { csr: vec![0x30, 0] })),
        ("renewed", payload(&renewed)),
        ("farewell", payload(&farewell)),
        ("tell", payload(&Tell { serving: serving() })),
    ];
    for (kind, (seed_name, payload)) in (0_u8..).zip(messages) {
        seed("control", seed_name, [&[kind][..], &payload].concat());
        seed("control", &format!("{seed_name}-cut"), [&[kind][..], &payload[..payload.len() / 2]].concat());
    }

    let told = |value: &str, service: &str| {
        let labels = [("version".to_owned(), value.to_owned())].into();
        Register { serves: vec![Serve { labels, ..serve(service, 0) }], ..register() }
    };
    for (seed_name, register) in [
        ("label", told("v\u{1b}", "orders")),
        ("not-granted", told("v1", "billing")),
        ("no-port", Register { addresses: vec![name("127.0.0.1:0")], ..register() }),
        ("no-address", Register { addresses: vec![], ..register() }),
        ("twice", Register { serves: vec![serve("orders", 0), serve("web", 0)], ..register() }),
    ] {
        seed("control", &format!("register-{seed_name}"), [&[0][..], &payload(&register)].concat());
    }

    let request = |csr| payload(&JoinRequest { secret: "5ec4e7".into(), csr });
    for (seed_name, algorithm) in [("p256", &PKCS_ECDSA_P256_SHA256), ("ed25519", &PKCS_ED25519)] {
        let key = KeyPair::generate_for(algorithm).expect("a key can be made");
        let csr = CertificateParams::default().serialize_request(&key).expect("a request can be made");
        seed_once("join", seed_name, [&[2][..], csr.der()].concat());
        seed_once("join", &format!("request-{seed_name}"), [&[0][..], &request(csr.der().to_vec())].concat());
    }
    seed("join", "request-cut", [&[0][..], &request(vec![0x30, 0])].concat());
    let joined = JoinAnswer::Joined { certificate: vec![0x30, 0], root: vec![0x30, 0] };
    for (seed_name, answer) in
        [("joined", joined), ("refused", JoinAnswer::Refused), ("bad", JoinAnswer::BadRequest("no".into()))]
    {
        seed("join", seed_name, [&[1][..], &payload(&answer)].concat());
    }
}

/// A step of a history: who and what, and what is said.
fn step(byte: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("seeds are short");
    [&[byte][..], &len.to_le_bytes(), payload].concat()
}

fn sessions() {
    let caller = Register { serves: vec![], have: None, ..register() };
    let began =
        [step(0, &payload(&Register { have: None, ..register() })), step(0x10, &payload(&caller))].concat();
    let works = [
        began.clone(),
        step(0x12, &payload(&report("n1"))),
        step(5, &[2]),
        step(0x12, &payload(&report("n1"))),
        step(5, &[1]),
        step(1, &payload(&serving())),
    ];
    let reject = Reject { revision: Revision(2), name: REJECT_BASE.into(), reason: String::new() };
    let leaves = [
        began.clone(),
        step(0x13, &payload(&reject)),
        step(4, &[]),
        step(5, &[40]),
        step(0, &payload(&register())),
        step(0x14, &[1]),
    ];
    seed("session", "works", works.concat());
    seed("session", "leaves", leaves.concat());
    let not_granted = Serving { version: 10, whole: false, changes: vec![(0, Some(serve("billing", 0)))] };
    seed("session", "not-granted", [began.clone(), step(1, &payload(&not_granted))].concat());
    seed("session", "registered", began);
    seed("session", "nobody", step(5, &[1]));

    let tell = |version, whole, changes| payload(&Tell { serving: Serving { version, whole, changes } });
    let first = tell(6, true, vec![(0, Some(serve("orders", 0)))]);
    let later = tell(7, false, vec![(1, Some(serve("orders", 1))), (0, None)]);
    seed("tell", "one", step(0, &first));
    seed("tell", "two", [step(0, &first), step(0, &later), step(1, &first), step(2, &first)].concat());
    seed("tell", "restart", [step(0, &later), step(0, &first), step(0x10, &first)].concat());
    let late = tell(6, false, vec![(5, Some(serve("orders", 5)))]);
    seed("tell", "late", [step(0, &first), step(0, &later), step(0, &late)].concat());
    seed("tell", "not-granted", step(0, &tell(6, true, vec![(0, Some(serve("billing", 0)))])));
    seed("tell", "old", step(0, &tell(0, false, vec![])));
}

fn snapshots() {
    let [small, full] = bases();
    let empty = sinew_api::Snapshot { revision: small.revision, ..sinew_api::Snapshot::default() };
    let mut stray = small.clone();
    stray.services[1].endpoints[0].node = name("n9");
    let mut twice = small.clone();
    twice.peers[1] = twice.peers[0].clone();
    seed("snapshot", "stray", wire::encode_part(&stray));
    seed("snapshot", "twice", wire::encode_part(&twice));
    for (seed_name, snapshot) in [("small", &small), ("full", &full), ("empty", &empty)] {
        let bytes = wire::encode_part(snapshot);
        seed("snapshot", seed_name, &bytes);
        seed("snapshot", &format!("{seed_name}-cut"), &bytes[..bytes.len() / 2]);
    }
    for (seed_name, which, from, to) in [
        ("more", 0, &small, &full),
        ("less", 1, &full, &small),
        ("nothing", 1, &full, &empty),
        ("all", 0, &empty, &full),
    ] {
        let bytes = [&[which][..], &payload(&delta::diff(from, to))].concat();
        seed("delta", &format!("{seed_name}-cut"), &bytes[..bytes.len() - 3]);
        seed("delta", seed_name, bytes);
    }
}

fn certificates() {
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = |uris: &[&str]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect();
        params.self_signed(&key).expect("a certificate can be made").der().to_vec()
    };
    let node = certificate(&["spiffe://mesh.local/node/n1"]);
    seed_once("certificate", "node-cut", &node[..node.len() / 2]);
    seed_once("certificate", "node", node);
    seed_once("certificate", "controller", certificate(&["spiffe://mesh.local/controller/c1"]));
    seed_once(
        "certificate",
        "two",
        certificate(&["spiffe://mesh.local/node/n1", "spiffe://mesh.local/node/n2"]),
    );
    seed_once("certificate", "none", certificate(&[]));
}
