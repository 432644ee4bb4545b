//! What a set of resources says for each node.

use sinew_api::resource::{HealthSettings, MeshSettings, Node, Protocol, Resource, Service};
use sinew_api::snapshot::Labels;

use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn endpoint(on: &str, address: &str) -> Endpoint {
    Endpoint {
        node: node(on),
        service: service("orders"),
        address: address.parse().expect("valid"),
        labels: labels(&[("version", "v2")]),
        capacity: None,
        health: HealthSettings { fall: Some(5), ..HealthSettings::default() },
    }
}

fn machine(name: &str) -> Node {
    Node {
        name: node(name),
        zone: Some("a".parse().expect("valid")),
        labels: labels(&[("version", "v1"), ("disk", "ssd")]),
        grants: None,
    }
}

#[test]
fn an_endpoint_says_it_over_its_node_and_its_service() {
    let orders = Service {
        name: service("orders"),
        protocol: Protocol::Tcp,
        port: None,
        health: HealthSettings { fall: Some(3), rise: Some(4), ..HealthSettings::default() },
    };
    let resources = [
        Resource::Service(orders),
        Resource::Node(machine("n1")),
        Resource::Endpoint(endpoint("n1", "127.0.0.1:80")),
    ];

    let declared = Declared::new(&resources.into_iter().collect());

    let [assigned] = declared.node(&node("n1")).assigned.as_slice() else { panic!("one endpoint") };
    assert_eq!(assigned.labels, labels(&[("disk", "ssd"), ("version", "v2")]));
    assert_eq!(assigned.health, HealthCheck { rise: 4, fall: 5, ..HealthCheck::default() });
    assert_eq!(assigned.capacity, CAPACITY_DEFAULT);
}

#[test]
fn only_the_nodes_for_which_something_else_is_declared_differ() {
    let one = [Resource::Node(machine("n1")), Resource::Node(machine("n2"))];
    let mut other = one.to_vec();
    other.push(Resource::Endpoint(endpoint("n2", "127.0.0.1:80")));
    other.push(Resource::Endpoint(endpoint("n3", "127.0.0.1:80")));
    other.push(Resource::Mesh(MeshSettings { default_policy: Some(DefaultPolicy::Deny) }));

    let (one, other) =
        (Declared::new(&one.into_iter().collect()), Declared::new(&other.into_iter().collect()));

    assert_eq!(one.differences(&other), [node("n2"), node("n3")].into());
    assert_eq!(other.differences(&one), one.differences(&other));
    assert_eq!((one.default, other.default), (None, Some(DefaultPolicy::Deny)));
}
