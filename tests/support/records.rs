//! What nodes say about themselves: access logs as records, metrics as numbers.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

/// One line of an access log: an application connection that ended. Unknown things are empty text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When it ended, RFC 3339.
    pub timestamp: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// The calling service.
    pub source: String,
    /// The called service.
    pub destination: String,
    /// The endpoint that it ended with, `node/slot`.
    pub endpoint: String,
    /// The calling node; inbound only.
    #[serde(default)]
    pub caller: String,
    /// The application's address.
    pub client: String,
    /// When it began, in microseconds since 1970.
    pub started_us: u64,
    /// When its last endpoint was picked, in microseconds since 1970.
    pub picked_us: u64,
    /// How long it lasted.
    pub duration_us: u64,
    /// Payload to the service.
    pub bytes_up: u64,
    /// Payload from the service.
    pub bytes_down: u64,
    /// Endpoints that it was handed to.
    pub attempts: u32,
    /// Those that it left, and why: `n1/0 REFUSED`.
    pub tried: Vec<String>,
    /// How it ended: `ok`, `broken`, ….
    pub outcome: String,
    /// More about that.
    pub reason: String,
}

impl Record {
    /// The node of the endpoint that it ended with.
    pub fn node(&self) -> &str {
        self.endpoint.split_once('/').map_or("", |(node, _)| node)
    }

    /// When it ended, in microseconds since 1970.
    pub fn ended_us(&self) -> u64 {
        self.started_us + self.duration_us
    }

    /// Whether it was handed to `node` at any time.
    pub fn touched(&self, node: &str) -> bool {
        self.node() == node
            || self.tried.iter().any(|tried| tried.split_once('/').is_some_and(|t| t.0 == node))
    }
}

/// Reads an access log. A last line without its end was cut off by a kill and is left out.
pub(super) fn read_records(path: &Path) -> Vec<Record> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => panic!("reading {}: {error}", path.display()),
    };
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in record {line}"));
    whole.lines().map(parse).collect()
}

/// Metrics of one process at one moment.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Metrics as a process shows them.
    pub fn parse(text: String) -> Self {
        Self { text }
    }

    /// The sum over every series of `name` whose labels include `labels`; nothing when there is none.
    /// Counters are named as they are shown, with `_total`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = |line: &&str| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let has = |label: &String| labels.split(',').any(|own| own == label);
            wanted.iter().all(has).then(|| value.parse::<f64>().ok()).flatten()
        };
        self.text.lines().filter_map(|line| series(&line)).reduce(|sum, value| sum + value)
    }

    /// The same, with nothing as zero: a series appears when it is first counted.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels).unwrap_or(0.0)
    }

    /// All of it, as it was shown.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[test]
fn metrics_are_summed_over_the_labels_that_are_not_asked_for() {
    let text =
        "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\nab_total 9\nb 1.5\n";
    let metrics = Metrics::parse(text.into());

    assert_eq!(metrics.value("a_total", &[("x", "1")]), Some(7.0));
    assert_eq!(metrics.value("a_total", &[("y", "3")]), Some(4.0));
    assert_eq!(metrics.value("b", &[]), Some(1.5));
    assert_eq!(metrics.value("a_total", &[("z", "1")]), None);
}
