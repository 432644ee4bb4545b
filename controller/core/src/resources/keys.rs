//! The keys of a file of resources, table by table.

use sinew_api::document::{Key, Shape};
use sinew_api::resource::HEALTH;

use super::check::{CAPACITIES, MAX_GRANTS};
use crate::registration::MAX_LABELS;

/// The tables of a file.
pub const KEYS: &[Key] = &[
    Key::new("mesh", "[mesh]").shape(Shape::Table(MESH)).about("What holds for the whole mesh."),
    Key::new("service", "[[service]]").shape(Shape::Tables(SERVICE)).about(
        "A service: a name that applications call, and what its endpoints have unless they say otherwise.",
    ),
    Key::new("node", "[[node]]")
        .shape(Shape::Tables(NODE))
        .about("A node: where it is, and which services it may host and speak for."),
    Key::new("endpoint", "[[endpoint]]")
        .shape(Shape::Tables(ENDPOINT))
        .about("An instance of a service on a node, beside those in the node's own configuration."),
    Key::new("listener", "[[listener]]").shape(Shape::Tables(LISTENER)).about(
        "A local socket on a node where applications call a service, beside those in its own configuration.",
    ),
];

pub(super) const MESH: &[Key] = &[Key::new("default_policy", "default_policy = \"deny\"")
    .shape(Shape::OneOf(&["allow", "deny"]))
    .about("The answer to a call that no rule decides.")
    .default("as in controller.toml")];

pub(super) const SERVICE: &[Key] = &[
    Key::new("name", "name = \"orders\", or \"orders.shop\" in the namespace shop")
        .shape(Shape::Service)
        .required()
        .about("Its name, `name` or `name.namespace`."),
    Key::new("namespace", "namespace = \"shop\"")
        .shape(Shape::Name)
        .about("Its namespace, unless the name says it.")
        .default("\"default\""),
    Key::new("protocol", "protocol = \"tcp\"")
        .shape(Shape::OneOf(&["tcp"]))
        .about("What its callers and endpoints speak.")
        .default("\"tcp\""),
    Key::new("port", "port = 8080, where its endpoints listen")
        .shape(Shape::Whole(1, u16::MAX as u64))
        .about(
            "The port at which its endpoints listen on 127.0.0.1 when they are declared without an address.",
        ),
    Key::new(
        "health",
        "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }, or health = false",
    )
    .shape(Shape::TableOrFalse(HEALTH))
    .about("How nodes find out whether its declared endpoints answer."),
];

pub(super) const NODE: &[Key] = &[
    Key::new("name", "name = \"n1\"").shape(Shape::Name).required().about("Its name."),
    Key::new("zone", "zone = \"eu-1\"")
        .shape(Shape::Name)
        .about("Where it is: places in one zone fail together and are near together.")
        .default("as the node says itself"),
    Key::new("labels", "labels = { rack = \"r7\" }")
        .shape(Shape::Labels(MAX_LABELS))
        .about("Labels of every endpoint that is declared on it; an endpoint's own go first."),
    Key::new("grants", "grants = [\"orders\"], the services that it may host and speak for")
        .shape(Shape::List(&Shape::Service, MAX_GRANTS))
        .about("The services that it may host and speak for, in place of those of its token.")
        .default("those of its token"),
];

pub(super) const ENDPOINT: &[Key] = &[
    Key::new("node", "node = \"n1\"").shape(Shape::Name).required().about("The node."),
    Key::new("service", "service = \"orders\"").shape(Shape::Service).required().about("The service."),
    Key::new("address", "address = \"127.0.0.1:8080\", an IP address and a port")
        .shape(Shape::Socket)
        .about("Where it listens, as its node reaches it.")
        .default("127.0.0.1 and the port of its service"),
    Key::new("labels", "labels = { version = \"v1\" }")
        .shape(Shape::Labels(MAX_LABELS))
        .about("Keys and values that describe it, e.g. its version."),
    Key::new("capacity", "capacity = 100")
        .shape(Shape::Whole(*CAPACITIES.start() as u64, *CAPACITIES.end() as u64))
        .about("How much it can take beside other endpoints of its service; only the ratio counts.")
        .default("100"),
    Key::new(
        "health",
        "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }, or health = false",
    )
    .shape(Shape::TableOrFalse(HEALTH))
    .about("How its node finds out whether it answers.")
    .default("as its service says"),
];

pub(super) const LISTENER: &[Key] = &[
    Key::new("node", "node = \"n1\"").shape(Shape::Name).required().about("The node."),
    Key::new("address", "address = \"127.0.0.1:5001\", an IP address and a port")
        .shape(Shape::Socket)
        .required()
        .about("Where it listens on the node's machine."),
    Key::new("service", "service = \"orders\", the service that is called there")
        .shape(Shape::Service)
        .required()
        .about("The service that is called there."),
    Key::new("as", "as = \"web\", the service that calls")
        .shape(Shape::Service)
        .about("The service for which callers speak.")
        .default("the node's only grant"),
];
