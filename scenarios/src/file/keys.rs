//! The keys of a scenario file, table by table, and how each is written.

use sinew_api::document::Key;

/// The tables of a file.
pub(super) const FILE: &[Key] = &[
    Key::new("scenario", "[scenario]"),
    Key::new("node", "[[node]]"),
    Key::new("service", "[[service]]"),
    Key::new("listener", "[[listener]]"),
    Key::new("load", "[[load]]"),
    Key::new("event", "[[event]]"),
    Key::new("expect", "[expect.failed]"),
];
pub(super) const SCENARIO: &[Key] =
    &[Key::new("name", "name = \"quickstart\""), Key::new("seed", "seed = 1")];
pub(super) const NODE: &[Key] = &[
    Key::new("name", "name = \"n1\""),
    Key::new("zone", "zone = \"a\""),
    Key::new("started", "started = false, when an event starts it"),
];
pub(super) const SERVICE: &[Key] = &[
    Key::new("name", "name = \"orders\""),
    Key::new("behaviour", "behaviour = \"echo-id\", \"http\" or \"line\""),
    Key::new("endpoint", "endpoint = [{ node = \"n1\", latency = \"10ms\" }]"),
];
pub(super) const ENDPOINT: &[Key] = &[
    Key::new("node", "node = \"n1\""),
    Key::new("latency", "latency = \"10ms\""),
    Key::new("configured", "configured = false, when an event declares it"),
];
pub(super) const LISTENER: &[Key] = &[
    Key::new("name", "name = \"shop\""),
    Key::new("node", "node = \"n1\""),
    Key::new("service", "service = \"orders\", the service that is called there"),
    Key::new("as", "as = \"web\", the service that calls"),
];
pub(super) const LOAD: &[Key] = &[
    Key::new("name", "name = \"requests\""),
    Key::new("listener", "listener = \"shop\""),
    Key::new("rate", "rate = 200, requests a second"),
    Key::new("start", "start = \"1s\""),
    Key::new("duration", "duration = \"30s\""),
    Key::new("connections", "connections = \"new\", or how many are kept, from 1 to 65535"),
    Key::new("payload", "payload = [64, 4096], bytes, least and most"),
    Key::new("timeout", "timeout = \"15s\""),
];
pub(super) const EVENT: &[Key] = &[
    Key::new("name", "name = \"slower\""),
    Key::new("at", "at = \"10s\""),
    Key::new("slow", "slow = { service = \"orders\", node = \"n1\", by = \"100ms\" }"),
    Key::new("kill", "kill = { node = \"n1\" }"),
    Key::new("return", "return = { node = \"n1\" }"),
    Key::new("start", "start = { node = \"n1\" }"),
    Key::new("apply", "apply = { service = \"orders\", node = \"n1\" }"),
    Key::new("pause", "pause = { node = \"n1\" }"),
    Key::new("continue", "continue = { node = \"n1\" }"),
];
pub(super) const SLOW: &[Key] = &[
    Key::new("service", "service = \"orders\""),
    Key::new("node", "node = \"n1\""),
    Key::new("by", "by = \"100ms\""),
];
pub(super) const NODE_ACTION: &[Key] = &[Key::new("node", "node = \"n1\"")];
pub(super) const ANY_ACTION: &[Key] =
    &[Key::new("node", "node = \"n1\""), Key::new("controller", "controller = true")];
pub(super) const APPLY: &[Key] =
    &[Key::new("service", "service = \"orders\""), Key::new("node", "node = \"n1\"")];

pub(super) const CHECK: Key = Key::new("check", "check = \"dead_picks\"");
pub(super) const AT_MOST: Key = Key::new("at_most", "at_most = 0");
pub(super) const AT_LEAST: Key = Key::new("at_least", "at_least = 0.9");
pub(super) const OF_EVENT: Key = Key::new("event", "event = \"slower\"");
pub(super) const WITHIN: Key = Key::new("within", "within = \"5s\"");
pub(super) const FAILED: &[Key] =
    &[CHECK, AT_MOST, Key::new("except_in_flight_to_killed", "except_in_flight_to_killed = true")];
pub(super) const WRONG_BYTES: &[Key] = &[CHECK, AT_MOST];
pub(super) const SHARE: &[Key] = &[CHECK, OF_EVENT, AT_LEAST, WITHIN];
pub(super) const DEAD_PICKS: &[Key] = &[CHECK, OF_EVENT, AT_MOST, WITHIN];
pub(super) const TIMES_FASTEST: Key = Key::new("times_fastest", "times_fastest = 3");
pub(super) const P99: &[Key] = &[CHECK, TIMES_FASTEST, Key::new("outside", "outside = \"2s\"")];
pub(super) const FIRST_PICKS: &[Key] = &[
    CHECK,
    OF_EVENT,
    Key::new("load", "load = \"requests\""),
    Key::new("first", "first = 50"),
    Key::new("at_most", "at_most = 0.1"),
];
pub(super) const UNDISTURBED: &[Key] = &[CHECK, OF_EVENT, TIMES_FASTEST];

/// What can be done in an event, and the keys of each.
pub(super) const ACTIONS: [(&str, &[Key]); 7] = [
    ("slow", SLOW),
    ("kill", ANY_ACTION),
    ("return", ANY_ACTION),
    ("start", NODE_ACTION),
    ("apply", APPLY),
    ("pause", NODE_ACTION),
    ("continue", NODE_ACTION),
];
/// What can be expected, and the keys of each.
pub(super) const CHECKS: [(&str, &[Key]); 9] = [
    ("failed", FAILED),
    ("wrong_bytes", WRONG_BYTES),
    ("slow_share", SHARE),
    ("dead_picks", DEAD_PICKS),
    ("share_back", SHARE),
    ("share_gained", SHARE),
    ("first_picks", FIRST_PICKS),
    ("undisturbed", UNDISTURBED),
    ("p99", P99),
];
