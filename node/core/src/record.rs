//! One connection's line in the access log, written once, when it has ended.
//!
//! The fields and their order are a promise to scripts: JSON on one line, times in RFC 3339 (UTC) and as
//! microseconds since 1970, unknown things as empty text. Every line has the same fields, but for `caller`,
//! which only the inbound end knows.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use sinew_transport_core::{Code, EndpointId, NodeName, ServiceName};

use crate::outcome::Outcome;

/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// Which end of the mesh saw the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From an application into the mesh.
    Outbound,
    /// From the mesh to a service.
    Inbound,
}

impl Direction {
    /// The name in the access log and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// An endpoint that a connection was at and left again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Why it was left: the name of a [`Code`], or what kept the connection from getting there.
    pub why: &'static str,
}

impl Attempt {
    /// One that ended with the endpoint's own word.
    #[must_use]
    pub fn coded(endpoint: EndpointId, code: Code) -> Self {
        Self { endpoint, why: code.name() }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.endpoint, self.why)
    }
}

/// What became of one application connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which end saw it.
    pub direction: Direction,
    /// The service that called, when known.
    pub source: Option<ServiceName>,
    /// The service that was called, when known.
    pub destination: Option<ServiceName>,
    /// The endpoint that it ended with.
    pub endpoint: Option<EndpointId>,
    /// The calling node; inbound only.
    pub caller: Option<NodeName>,
    /// The application's address at the calling node.
    pub client: Option<SocketAddr>,
    /// When the connection arrived, in microseconds since 1970.
    pub started_us: u64,
    /// When the last endpoint was picked, in microseconds since 1970; 0 when none was.
    pub picked_us: u64,
    /// How long it lasted.
    pub duration_us: u64,
    /// Payload from the application to the service.
    pub bytes_up: u64,
    /// Payload from the service to the application.
    pub bytes_down: u64,
    /// Endpoints that it was handed to, in turn.
    pub attempts: u32,
    /// Those that it left, and why.
    pub tried: Vec<Attempt>,
    /// How it ended.
    pub outcome: Outcome,
    /// For a person: what the outcome alone does not say. Empty when it says all.
    pub reason: String,
}

impl Record {
    /// A record of a connection that begins at `started_us`, microseconds since 1970. Until it ends it reads
    /// as broken: whoever forgets to end it has lost it.
    #[must_use]
    pub fn begin(direction: Direction, started_us: u64) -> Self {
        Self {
            direction,
            source: None,
            destination: None,
            endpoint: None,
            caller: None,
            client: None,
            started_us,
            picked_us: 0,
            duration_us: 0,
            bytes_up: 0,
            bytes_down: 0,
            attempts: 0,
            tried: Vec::new(),
            outcome: Outcome::Broken,
            reason: String::new(),
        }
    }

    /// An endpoint was picked for it at `at_us`.
    pub fn picked(&mut self, endpoint: &EndpointId, at_us: u64) {
        self.endpoint = Some(endpoint.clone());
        self.picked_us = at_us;
        self.attempts += 1;
    }

    /// The endpoint picked last was left, and why.
    pub fn left(&mut self, why: &'static str) {
        self.tried.extend(self.endpoint.take().map(|endpoint| Attempt { endpoint, why }));
    }

    /// It ended, `duration_us` after it began.
    pub fn end(&mut self, outcome: Outcome, reason: String, duration_us: u64) {
        self.outcome = outcome;
        self.reason = reason;
        self.duration_us = duration_us;
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inbound = self.direction == Direction::Inbound;
        let mut fields = serializer.serialize_struct("Record", if inbound { 16 } else { 15 })?;
        let ended_us = self.started_us.saturating_add(self.duration_us);
        fields.serialize_field("timestamp", &rfc3339(ended_us))?;
        fields.serialize_field("direction", self.direction.name())?;
        fields.serialize_field("source", &Text(self.source.as_ref()))?;
        fields.serialize_field("destination", &Text(self.destination.as_ref()))?;
        fields.serialize_field("endpoint", &Text(self.endpoint.as_ref()))?;
        if inbound {
            fields.serialize_field("caller", &Text(self.caller.as_ref()))?;
        }
        fields.serialize_field("client", &Text(self.client.as_ref()))?;
        fields.serialize_field("started_us", &self.started_us)?;
        fields.serialize_field("picked_us", &self.picked_us)?;
        fields.serialize_field("duration_us", &self.duration_us)?;
        fields.serialize_field("bytes_up", &self.bytes_up)?;
        fields.serialize_field("bytes_down", &self.bytes_down)?;
        fields.serialize_field("attempts", &self.attempts)?;
        fields.serialize_field("tried", &Texts(&self.tried))?;
        fields.serialize_field("outcome", &self.outcome)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.end()
    }
}

/// A moment in RFC 3339, with microseconds: `2026-11-22T01:02:03.123456Z`.
#[must_use]
pub fn rfc3339(unix_us: u64) -> String {
    // humantime panics beyond the year 9999.
    let since = Duration::from_micros(unix_us).min(Duration::from_secs(LAST_SECOND));
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}

/// Something as its text, nothing as empty text.
struct Text<'a, T>(Option<&'a T>);

impl<T: fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }
}

/// A list of things as their texts.
struct Texts<'a, T>(&'a [T]);

impl<T: fmt::Display> Serialize for Texts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| Text(Some(item))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(node: &str) -> EndpointId {
        EndpointId { node: NodeName::new(node).expect("valid"), slot: 0 }
    }

    fn record() -> Record {
        Record {
            direction: Direction::Outbound,
            source: Some(ServiceName::new("web").expect("valid")),
            destination: Some(ServiceName::new("orders").expect("valid")),
            endpoint: Some(endpoint("n2")),
            caller: None,
            client: Some("127.0.0.1:40000".parse().expect("valid")),
            started_us: 1_763_772_800_000_000,
            picked_us: 1_763_772_800_000_100,
            duration_us: 1234,
            bytes_up: 100,
            bytes_down: 200,
            attempts: 2,
            tried: vec![Attempt::coded(endpoint("n1"), Code::Refused)],
            outcome: Outcome::Ok,
            reason: String::new(),
        }
    }

    #[test]
    fn an_outbound_record_is_one_line_with_every_field() {
        let line = serde_json::to_string(&record()).expect("serializable");

        assert_eq!(
            line,
            concat!(
                r#"{"timestamp":"2025-11-22T00:53:20.001234Z","direction":"outbound","source":"web","#,
                r#""destination":"orders","endpoint":"n2/0","client":"127.0.0.1:40000","#,
                r#""started_us":1763772800000000,"picked_us":1763772800000100,"duration_us":1234,"#,
                r#""bytes_up":100,"bytes_down":200,"attempts":2,"tried":["n1/0 REFUSED"],"#,
                r#""outcome":"ok","reason":""}"#,
            )
        );
    }

    #[test]
    fn an_inbound_record_names_the_caller() {
        let record = Record {
            direction: Direction::Inbound,
            source: None,
            endpoint: None,
            caller: Some(NodeName::new("n1").expect("valid")),
            tried: Vec::new(),
            ..record()
        };

        let value = serde_json::to_value(&record).expect("serializable");

        assert_eq!(value["direction"], "inbound");
        assert_eq!(value["caller"], "n1");
        assert_eq!((&value["source"], &value["endpoint"]), (&"".into(), &"".into()));
    }

    #[test]
    fn text_from_outside_stays_on_its_line() {
        let record = Record { reason: "said \"no\"\n{\"timestamp\":1}".into(), ..record() };

        let line = serde_json::to_string(&record).expect("serializable");

        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn moments_are_written_in_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        // RFC 3339 section 5.8, first example: 1985-04-12T23:20:50.52Z.
        assert_eq!(rfc3339(482_196_050_520_000), "1985-04-12T23:20:50.520000Z");
        assert_eq!(rfc3339(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.000000Z");
    }
}
