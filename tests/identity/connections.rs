//! The connections of a node as its log tells of them: made when, with certificates that end when, ended when.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// One connection with a peer.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: String,
    /// Since 1970.
    pub(crate) up: Duration,
    /// None while it is there.
    pub(crate) down: Option<Duration>,
    /// The earlier end of both certificates, since 1970.
    pub(crate) until: Duration,
}

impl Connection {
    /// Its end, or `now`.
    pub(crate) fn end(&self, now: Duration) -> Duration {
        self.down.unwrap_or(now)
    }
}

/// Every connection in a log of JSON lines, by the moment at which it was made.
pub(crate) fn connections(log: &str) -> Vec<Connection> {
    let mut all: Vec<Connection> = Vec::new();
    let mut open: HashMap<(String, u64), usize> = HashMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        let (Some(peer), Some(number)) = (line.peer, line.connection) else { continue };
        let at = humantime::parse_rfc3339(&line.timestamp).unwrap().duration_since(UNIX_EPOCH).unwrap();
        match line.message.as_str() {
            "link up" => {
                let until = Duration::from_secs(line.until.unwrap());
                open.insert((peer.clone(), number), all.len());
                all.push(Connection { peer, up: at, down: None, until });
            }
            "link down" => {
                let index = open.remove(&(peer, number)).expect("it was up");
                all[index].down = Some(at);
            }
            _ => {}
        }
    }
    all
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    message: String,
    peer: Option<String>,
    connection: Option<u64>,
    until: Option<u64>,
}

/// Now, since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[test]
fn connections_are_read_from_a_log() {
    let log = r#"{"timestamp":"2026-11-22T06:00:00.500000Z","message":"link up","peer":"n1","connection":7,"until":1800000000}
{"timestamp":"2026-11-22T06:00:01.500000Z","message":"link up","peer":"n2","connection":8,"until":1800000001}
{"timestamp":"2026-11-22T06:00:02.500000Z","message":"link down","peer":"n1","connection":7,"reason":"done"}"#;

    let found = connections(log);

    assert_eq!(found.len(), 2);
    assert_eq!(found[0].down.unwrap() - found[0].up, Duration::from_secs(2));
    assert_eq!((found[1].down, found[1].until), (None, Duration::from_secs(1_800_000_001)));
}
