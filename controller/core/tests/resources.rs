//! What holds for every set of resources: it reads back as it is rendered, a change leads from one set to the
//! other, and no text makes reading panic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use sinew_api::hosting::Probe;
use sinew_api::resource::{
    Endpoint, HealthSettings, IN_A_ROW, INTERVALS, Listener, MeshSettings, Node, Protocol, Resource,
    Resources, Service, TIMEOUTS,
};
use sinew_api::snapshot::DefaultPolicy;
use sinew_controller_core::resources::{File, Known, TokenGrants, Unnamed, change, check, read, render};
use sinew_transport_core::ids::{NodeName, ServiceName, Zone};

const SERVICES: [&str; 4] = ["orders", "web", "orders.shop", "a-b.shop"];
const NODES: [&str; 3] = ["n1", "n2", "edge-3"];

fn service_name() -> impl Strategy<Value = ServiceName> {
    (0..SERVICES.len()).prop_map(|index| ServiceName::new(SERVICES[index]).expect("valid"))
}

fn node_name() -> impl Strategy<Value = NodeName> {
    (0..NODES.len()).prop_map(|index| NodeName::new(NODES[index]).expect("valid"))
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    // Every visible ASCII character, quotes and dots among them.
    btree_map("[!-~]{1,8}", "[!-~]{1,8}", 0..3)
}

fn health() -> impl Strategy<Value = HealthSettings> {
    let interval = option::of(prop_oneof![Just(0_u32), INTERVALS]);
    let probe = option::of(prop_oneof![Just(Probe::Answer), Just(Probe::Connect)]);
    (interval, option::of(TIMEOUTS), option::of(IN_A_ROW), option::of(IN_A_ROW), probe).prop_map(
        |(interval_ms, timeout_ms, rise, fall, probe)| HealthSettings {
            interval_ms,
            timeout_ms,
            rise,
            fall,
            probe,
        },
    )
}

fn endpoint() -> impl Strategy<Value = Resource> {
    let address = prop_oneof![
        (1..=9_u8, 8000..8004_u16).prop_map(|(host, port)| SocketAddr::from(([127, 0, 0, host], port))),
        (8000..8004_u16).prop_map(|port| SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))),
    ];
    (node_name(), service_name(), address, labels(), option::of(1..=1_000_000_u32), health()).prop_map(
        |(node, service, address, labels, capacity, health)| {
            Resource::Endpoint(Endpoint { node, service, address, labels, capacity, health })
        },
    )
}

fn listener() -> impl Strategy<Value = Resource> {
    (node_name(), 5000..5009_u16, service_name(), service_name()).prop_map(|(node, port, service, source)| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Resource::Listener(Listener { node, address, service, source: Some(source) })
    })
}

/// Sets in which everything that is referred to exists and is granted.
fn resources() -> impl Strategy<Value = Resources> {
    let policy = option::of(prop_oneof![Just(DefaultPolicy::Allow), Just(DefaultPolicy::Deny)]);
    let mesh = option::of(policy.prop_map(|default_policy| Resource::Mesh(MeshSettings { default_policy })));
    let services = vec((option::of(1..=u16::MAX), health()), SERVICES.len());
    let nodes = vec((option::of("[a-z]{1,5}"), labels(), btree_set(service_name(), 0..4)), NODES.len());
    (mesh, services, nodes, vec(endpoint(), 0..6), vec(listener(), 0..6)).prop_map(
        |(mesh, services, nodes, endpoints, listeners)| {
            let mut set: Resources = mesh.into_iter().collect();
            set.extend(SERVICES.iter().zip(services).map(|(name, (port, health))| {
                let name = ServiceName::new(name).expect("valid");
                Resource::Service(Service { name, protocol: Protocol::Tcp, port, health })
            }));
            let mut grants: BTreeMap<NodeName, BTreeSet<ServiceName>> = BTreeMap::new();
            for resource in endpoints.iter().chain(&listeners) {
                let (node, service) = match resource {
                    Resource::Endpoint(endpoint) => (&endpoint.node, &endpoint.service),
                    Resource::Listener(Listener { node, source: Some(source), .. }) => (node, source),
                    _ => continue,
                };
                grants.entry(node.clone()).or_default().insert(service.clone());
            }
            set.extend(NODES.iter().zip(nodes).map(|(name, (zone, labels, more))| {
                let name = NodeName::new(name).expect("valid");
                let zone = zone.map(|zone| Zone::new(&zone).expect("valid"));
                let mut grants = grants.remove(&name).unwrap_or_default();
                grants.extend(more);
                Resource::Node(Node { name, zone, labels, grants: Some(grants) })
            }));
            set.extend(endpoints.into_iter().chain(listeners));
            set
        },
    )
}

fn read_alone(text: &str) -> Result<Resources, String> {
    let known = Known { stored: &Resources::default(), tokens: &TokenGrants::new() };
    let errors = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<String>();
    read(&[File { name: "mesh.toml", text }], known, Unnamed::Kept).map_err(errors)
}

proptest! {
    #[test]
    fn a_set_reads_back_as_it_is_rendered(set in resources()) {
        prop_assert_eq!(check(&set, &TokenGrants::new()), []);

        prop_assert_eq!(read_alone(&render(&set)), Ok(set));
    }

    #[test]
    fn a_set_survives_the_way_through_json(set in resources()) {
        let json = serde_json::to_string(&set).expect("plain data");

        prop_assert_eq!(serde_json::from_str::<Resources>(&json).expect("the same"), set);
    }

    #[test]
    fn a_change_names_what_differs_and_nothing_else(before in resources(), after in resources()) {
        let change = change(&before, &after);

        for key in &change.created {
            prop_assert!(!before.contains(key) && after.contains(key));
        }
        for key in &change.deleted {
            prop_assert!(before.contains(key) && !after.contains(key));
        }
        for update in &change.updated {
            prop_assert!(before.get(&update.key) != after.get(&update.key));
            prop_assert!(!update.fields.is_empty(), "{update}");
            prop_assert!(update.fields.iter().all(|field| field.before != field.after));
        }
        let counted = change.created.len() + change.updated.len() + change.unchanged;
        prop_assert_eq!(counted, after.len());
        prop_assert_eq!(change.is_empty(), before == after);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(?s).{0,300}") {
        let _ = read_alone(&text);
    }

    #[test]
    fn a_damaged_file_is_told_where_or_still_reads(set in resources(), at in 0.0..1.0_f64, put in "[\\[\\]\"=\\n a-z0-9{}.,]{0,3}") {
        let text = render(&set);
        let at = (at * text.len() as f64) as usize;
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) && at < text.len() {
            let damaged = format!("{}{put}{}", &text[..at], &text[at + 1..]);
            if let Err(error) = read_alone(&damaged) {
                prop_assert!(error.starts_with("mesh.toml:"), "{error}");
            }
        }
    }
}
