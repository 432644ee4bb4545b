//! The keys of `node.toml`, table by table: what each is for, what it takes, and whether a change needs a restart.

use sinew_api::document::{Key, Shape};
use sinew_api::resource::HEALTH;

use super::raw::{ADVERTISE_MAX, CAPACITY_MAX, CONNECTIONS_MAX, CONTROLLERS_MAX, LABELS_MAX, SHARDS_MAX};

/// The tables of the file.
pub(super) const FILE: &[Key] = &[
    Key::new("node", "[node]").shape(Shape::Table(NODE)).required().about("The node itself."),
    Key::new("listen", "[[listen]]")
        .shape(Shape::Tables(LISTEN))
        .live()
        .about("A local socket where applications enter the mesh; one for each service that is called here."),
    Key::new("serve", "[[serve]]")
        .shape(Shape::Tables(SERVE))
        .live()
        .about("A service behind this node; each entry is one endpoint."),
];

pub(super) const NODE: &[Key] = &[
    Key::new("state", "state = \"/var/lib/sinew/node\"")
        .required()
        .about("Folder for what must survive a restart: key, certificate, last snapshot."),
    Key::new("zone", "zone = \"eu-1\"")
        .shape(Shape::Name)
        .live()
        .about("Where the node is: places in one zone fail together and are near together.")
        .default("none"),
    Key::new("data", "data = \"0.0.0.0:7410\", an IP address and a port")
        .shape(Shape::Socket)
        .about("UDP address of the data plane. Shard i binds the port plus i; port 0 takes any.")
        .default("\"0.0.0.0:7410\""),
    Key::new("advertise", "advertise = [\"10.0.0.5\"], IP addresses without ports")
        .shape(Shape::List(&Shape::Text, ADVERTISE_MAX))
        .about("IP addresses, without ports, at which peers reach the data plane.")
        .default("the address of `data`, or that of the control session"),
    Key::new("shards", "shards = 2")
        .shape(Shape::Whole(1, SHARDS_MAX as u64))
        .about("Threads that carry traffic, each with its own UDP socket.")
        .default("as many as cores, at most 4"),
    Key::new("admin", "admin = \"127.0.0.1:7403\", or \"\" to switch it off")
        .about("HTTP address of /livez, /readyz and /metrics, on loopback; \"\" switches it off.")
        .default("\"127.0.0.1:7403\""),
    Key::new("access_log", "access_log = \"/var/log/sinew/access.log\"")
        .about("File to which one JSON object is appended for each application connection; \"-\": the log.")
        .default("off"),
    Key::new("token_file", "token_file = \"/run/sinew/token\"")
        .about("File with the join token, needed until the node has joined; \"-\": standard input.")
        .default("none"),
    Key::new("controllers", "controllers = [\"controller.example:7401\"], hosts with ports")
        .shape(Shape::List(&Shape::Text, CONTROLLERS_MAX))
        .about("Where controllers are, in place of what the join token said.")
        .default("those of the token"),
    Key::new("expiry_grace", "expiry_grace = \"7d\"")
        .shape(Shape::Time)
        .about("How long a peer's certificate is accepted past its end while no controller was reached since before it ended: 0 to 90 d.")
        .default("\"7d\""),
    Key::new("connect_timeout", "connect_timeout = \"10s\"")
        .shape(Shape::Time)
        .live()
        .about("How long an application connection may wait for an endpoint: 100 ms to 5 min.")
        .default("\"10s\""),
    Key::new("dead_after", "dead_after = \"10s\"")
        .shape(Shape::Time)
        .about("How long a peer may stay silent before its streams are given up: 500 ms to 25 s.")
        .default("\"10s\""),
    Key::new("drain_timeout", "drain_timeout = \"30s\"")
        .shape(Shape::Time)
        .live()
        .about("How long what runs may take to end when the node stops: 0 to 1 h.")
        .default("\"30s\""),
    Key::new("max_connections", "max_connections = 25_000")
        .shape(Shape::Whole(1, CONNECTIONS_MAX as u64))
        .live()
        .about("Connections of applications and to services that the node carries at once; the limit on open files may allow fewer.")
        .default("25,000"),
];

pub(super) const LISTEN: &[Key] = &[
    Key::new("service", "service = \"orders\", the service that is called here")
        .shape(Shape::Service)
        .required()
        .about("The service that is called."),
    Key::new("as", "as = \"web\", the service that calls")
        .shape(Shape::Service)
        .about("The service for which callers at this socket speak.")
        .default("the node's only grant"),
    Key::new("address", "address = \"127.0.0.1:5001\", an IP address and a port")
        .shape(Shape::Socket)
        .required()
        .about("TCP address to listen on, loopback as a rule; port 0 takes any."),
    Key::new("max_connections", "max_connections = 10_000")
        .shape(Shape::Whole(1, CONNECTIONS_MAX as u64))
        .live()
        .about("Connections of applications that the listener carries at once; more are reset.")
        .default("10,000"),
];

pub(super) const SERVE: &[Key] = &[
    Key::new("service", "service = \"orders\", the service that runs there")
        .shape(Shape::Service)
        .required()
        .about("The service. It must be granted to the node."),
    Key::new("address", "address = \"127.0.0.1:8080\", an IP address and a port")
        .shape(Shape::Socket)
        .required()
        .about("TCP address at which the service accepts connections."),
    Key::new("labels", "labels = { version = \"v1\" }")
        .shape(Shape::Labels(LABELS_MAX))
        .about("Keys and values that describe the endpoint, e.g. its version."),
    Key::new("capacity", "capacity = 100")
        .shape(Shape::Whole(1, CAPACITY_MAX as u64))
        .live()
        .about("How much the endpoint can take beside the others of its service; only the ratio counts.")
        .default("100"),
    Key::new(
        "health",
        "health = { interval = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }, or health = false",
    )
    .shape(Shape::TableOrFalse(HEALTH))
    .live()
    .about("How the endpoint is checked; false: it is not, and up."),
    Key::new("max_connections", "max_connections = 10_000")
        .shape(Shape::Whole(1, CONNECTIONS_MAX as u64))
        .live()
        .about("Connections that the endpoint takes at once; callers with more are sent to others.")
        .default("10,000"),
    Key::new("idle_timeout", "idle_timeout = \"1h\"")
        .shape(Shape::Time)
        .live()
        .about("A connection on which nothing passes for so long is ended; at most 30 d, \"0s\": never.")
        .default("\"0s\""),
];
