//! The keys of `controller.toml`: what each is for, what it takes, and whether a change needs a restart.

use sinew_api::document::{Key, Shape};

use super::MAX_ADVERTISED;

/// The tables of the file.
pub(super) const FILE: &[Key] = &[Key::new("controller", "[controller]")
    .shape(Shape::Table(CONTROLLER))
    .about("The controller: what it keeps, where it listens, and what it gives out.")];

pub(super) const CONTROLLER: &[Key] = &[
    Key::new("state", "state = \"/var/lib/sinew/controller\"")
        .about("Folder for what must survive a restart. Required, here or as --state."),
    Key::new("trust_domain", "trust_domain = \"mesh.local\"")
        .about("The naming root. It is fixed when the authority is created; later it must match.")
        .default("\"mesh.local\""),
    Key::new("name", "name = \"c1\"")
        .shape(Shape::Name)
        .about("The controller's name, part of its identity.")
        .default("\"c1\""),
    Key::new("listen", "listen = \"0.0.0.0:7401\", an IP address and a port")
        .shape(Shape::Socket)
        .about("UDP address for control sessions and joins. Port 0 takes any.")
        .default("\"0.0.0.0:7401\""),
    Key::new("advertise", "advertise = [\"10.0.0.1:7401\"]")
        .shape(Shape::List(&Shape::Socket, MAX_ADVERTISED))
        .live()
        .about("Addresses that are written into tokens, where nodes will look for the controller.")
        .default("the bound address"),
    Key::new("api", "api = \"127.0.0.1:7402\", on loopback")
        .shape(Shape::Socket)
        .about("HTTP address of the API, on loopback.")
        .default("\"127.0.0.1:7402\""),
    Key::new("default_policy", "default_policy = \"allow\"")
        .shape(Shape::OneOf(&["allow", "deny"]))
        .live()
        .about("The answer to a call that no rule decides, unless a [mesh] resource says it.")
        .default("\"allow\""),
    Key::new("certificate_ttl", "certificate_ttl = \"24h\"")
        .shape(Shape::Time)
        .live()
        .about("How long a node's certificate is valid: 10 s to 30 days.")
        .default("\"24h\""),
    Key::new("expiry_grace", "expiry_grace = \"7d\"")
        .shape(Shape::Time)
        .about("How long after its certificate's end a node may still come for another.")
        .default("\"7d\""),
];
