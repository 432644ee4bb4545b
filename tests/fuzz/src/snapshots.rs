//! Snapshots, the differences between them, and what peers tell of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sinew_api::Snapshot;
use sinew_api::delta::{self, Delta};
use sinew_api::hosting::{Health, HealthCheck, Serve, Tell};
use sinew_api::snapshot::{Assigned, AssignedListener, DefaultPolicy, Endpoint, Peer, Service};
use sinew_node_core::hosting::table::HOSTED_MAX;
use sinew_node_core::view::{ENDPOINTS_MAX, PEERS_MAX, SERVICE_ENDPOINTS_MAX};
use sinew_node_core::{Overlay, View};
use sinew_transport_core::wire::{self, Malformed};
use sinew_transport_core::{NodeName, Revision};

use crate::wire::{decoded, node, service};

/// An encoded snapshot, as its chunks yield it.
pub fn snapshot(bytes: &[u8]) -> bool {
    let Ok(snapshot) = wire::decode_part::<Snapshot>(bytes) else { return false };
    let encoded = wire::encode_part(&snapshot);
    assert!(encoded.len() <= bytes.len(), "we write nothing longer than we read");
    assert_eq!(wire::decode_part::<Snapshot>(&encoded).as_ref(), Ok(&snapshot));
    let longer = wire::decode_part::<Snapshot>(&[bytes, &[0]].concat());
    assert!(matches!(longer, Err(Malformed::Trailing { extra: 1, .. })), "a byte too many is refused");

    // As it is kept over a restart.
    let json = serde_json::to_string(&snapshot).expect("plain data");
    assert_eq!(serde_json::from_str::<Snapshot>(&json).expect("as it was written"), snapshot);
    compiles(&node("self"), &snapshot, None).is_some()
}

/// Compiles a snapshot, and holds the view to what picks rely on.
fn compiles(own: &NodeName, snapshot: &Snapshot, previous: Option<&View>) -> Option<View> {
    let view = match View::compile(own, snapshot.clone(), previous) {
        Ok(view) => view,
        Err(rejected) => {
            assert!(!rejected.name.is_empty() && !rejected.reason.is_empty());
            return None;
        }
    };
    let mut all = 0;
    for (name, service) in view.services() {
        let ids: Vec<_> = service.endpoints.iter().map(|endpoint| &endpoint.id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once: {ids:?}");
        assert!(ids.len() <= SERVICE_ENDPOINTS_MAX);
        for endpoint in &service.endpoints {
            assert!(endpoint.id.node == *own || view.peer(&endpoint.id.node).is_some(), "no peer");
            assert!(service.endpoint(&endpoint.id).is_some());
            let known = previous.and_then(|view| view.service(name)?.endpoint(&endpoint.id));
            assert!(known.is_none_or(|known| Arc::ptr_eq(&known.breaker, &endpoint.breaker)), "forgotten");
        }
        all += ids.len();
    }
    assert_eq!(view.services().count(), snapshot.services.len());
    assert!(all <= ENDPOINTS_MAX && view.peers().count() <= PEERS_MAX);
    Some(view)
}

/// The first byte says which snapshot is in use, the rest is a delta. Taken when what it leads to is taken.
pub fn delta(bytes: &[u8]) -> bool {
    let Some((which, payload)) = bytes.split_first() else { return false };
    let Some(mut delta) = decoded::<Delta>(payload) else { return false };
    let own = node("self");
    let base = &bases()[usize::from(*which) % 2];
    let before = compiles(&own, base, None).expect("it breaks no rule");

    assert_eq!(delta::apply(base, delta.clone()).is_ok(), delta.from == base.revision);
    delta.from = base.revision;
    let next = delta::apply(base, delta.clone()).expect("it starts there");

    assert_eq!(next.revision, delta.to);
    assert!(next.services.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(next.peers.windows(2).all(|pair| pair[0].node < pair[1].node));
    for service in &next.services {
        let ids: Vec<_> = service.endpoints.iter().map(|endpoint| (&endpoint.node, endpoint.slot)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let changed = |name: &_| delta.services.iter().any(|service| service.name == *name);
    assert!(
        delta
            .services_gone
            .iter()
            .all(|gone| changed(gone) || !next.services.iter().any(|s| s.name == *gone))
    );
    let came = |name: &_| delta.peers.iter().any(|peer| peer.node == *name);
    assert!(delta.peers_gone.iter().all(|gone| came(gone) || !next.peers.iter().any(|p| p.node == *gone)));

    let shortest = delta::diff(base, &next);
    assert_eq!(delta::apply(base, shortest).as_ref(), Ok(&next), "the difference leads there");
    assert!(delta::diff(&next, &next).is_empty());
    compiles(&own, &next, Some(&before)).is_some()
}

/// Nothing but two services and their peers; and something in every field.
pub fn bases() -> [Snapshot; 2] {
    let address = |port| ([127, 0, 0, 1], port).into();
    let endpoint = |on, slot| Endpoint { node: node(on), slot, labels: BTreeMap::new(), weight: 1000 };
    let peer = |name, granted: &[&str]| {
        let granted = granted.iter().map(|name| service(name)).collect();
        Peer { node: node(name), zone: None, addresses: vec![address(7410)], granted, serving: 5 }
    };
    let small = Snapshot {
        revision: Revision(7),
        granted: vec![service("web")],
        services: vec![
            Service { name: service("billing"), endpoints: vec![] },
            Service { name: service("orders"), endpoints: vec![endpoint("n1", 0), endpoint("n2", 3)] },
        ],
        peers: vec![peer("n1", &["orders"]), peer("n2", &["billing", "orders"])],
        ..Snapshot::default()
    };
    let full = Snapshot {
        default: DefaultPolicy::Deny,
        assigned: vec![Assigned {
            service: service("web"),
            address: address(8080),
            labels: [("version".to_owned(), "v1".to_owned())].into(),
            capacity: 100,
            health: HealthCheck::default(),
        }],
        listeners: vec![AssignedListener {
            service: service("orders"),
            source: Some(service("web")),
            address: address(5001),
        }],
        ..small.clone()
    };
    [small, full]
}

/// A history of tells: each is a byte for its sender and its run, two for its length, and a payload.
pub fn tell(mut bytes: &[u8]) -> bool {
    let snapshot = &bases()[0];
    let senders = ["n1", "n2", "stranger"].map(node);
    let own = (&node("self"), &BTreeMap::from([(0, up("orders", 0)), (1, up("web", 1))]));
    let mut overlay = Overlay::default();
    // The newest that each sender has told, and in which run. That an earlier run is over, links know.
    let mut newest: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    while let Some((who, rest)) = bytes.split_first() {
        let Some((len, rest)) = rest.split_first_chunk::<2>() else { break };
        let (payload, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        bytes = rest;
        let Ok(Tell { serving }) = wire::decode::<Tell>(payload) else { continue };
        let (index, boot) = (usize::from(who & 15) % senders.len(), u64::from(who >> 4));
        let (sender, version) = (&senders[index], serving.version);
        let before = overlay.over(snapshot, own);
        let news = overlay.hear(snapshot, sender, boot, serving);
        let after = overlay.over(snapshot, own);
        match news {
            Ok(true) => {
                let last = newest.insert(index, (boot, version)).filter(|(run, _)| *run == boot);
                assert!(last.is_none_or(|(_, last)| last <= version), "{version} after {last:?} is no news");
            }
            Ok(false) => assert_eq!(after, before, "what is no news changes nothing"),
            Err(_) => drop(newest.remove(&index)),
        }
        believed_about_itself_only(&before, &after, sender);
        assert!(
            after
                .services
                .iter()
                .all(|s| s.endpoints.iter().filter(|e| e.node == *sender).count() <= HOSTED_MAX)
        );
        assert_eq!(Snapshot { services: snapshot.services.clone(), ..after.clone() }, *snapshot);
        compiles(own.0, &after, None).expect("what is laid over a good snapshot is one");
    }
    !newest.is_empty()
}

fn up(name: &str, slot: u16) -> Serve {
    Serve { service: service(name), slot, labels: BTreeMap::new(), capacity: 100, health: Health::Up }
}

/// Between two states only endpoints of `sender` differ, and it has none of a service that it was not granted.
fn believed_about_itself_only(before: &Snapshot, after: &Snapshot, sender: &NodeName) {
    let others = |snapshot: &Snapshot| -> Vec<_> {
        let of = snapshot.services.iter().map(|s| {
            let endpoints = s.endpoints.iter().filter(|e| e.node != *sender).cloned();
            (s.name.clone(), endpoints.collect::<Vec<_>>())
        });
        of.collect()
    };
    assert_eq!(others(before), others(after));
    let granted: BTreeSet<_> =
        after.peers.iter().filter(|peer| peer.node == *sender).flat_map(|peer| &peer.granted).collect();
    for service in after.services.iter().filter(|service| service.endpoints.iter().any(|e| e.node == *sender))
    {
        assert!(granted.contains(&service.name), "{sender} was not granted {}", service.name);
    }
}
