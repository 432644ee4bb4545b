//! The mesh's own account of each connection: a node's access log, joined with the requests of the load.
//!
//! Connections are told apart by the application's socket address. A port may serve twice in a long run,
//! so of several records with one address, the request takes the one that started nearest to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use crate::record::{Logged, Sample, parse_endpoint};

/// How far apart a request's own start and the mesh's account of it may be: the kernel's backlog, and a
/// process that is paused for a while.
const NEAR_US: u64 = 20_000_000;

/// Why a log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// It can't be read.
    #[error("cannot read the access log {path}: {source}; without it failures can't be told apart")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("{path}:{line}: no record of a connection: {why}")]
    NotARecord {
        /// The log's path.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

/// One line, as far as it is used here.
#[derive(Deserialize)]
struct Record {
    direction: String,
    endpoint: String,
    client: SocketAddr,
    started_us: u64,
    #[serde(default)]
    picked_us: u64,
    #[serde(default)]
    tried: Vec<String>,
    outcome: String,
}

/// Reads the outbound records of a node's access log.
///
/// # Errors
/// [`AccessLogError`]. A last line without an end is left out: whoever wrote it was killed.
pub fn read(path: &Path) -> Result<Vec<Logged>, AccessLogError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| AccessLogError::Unreadable { path: shown.clone(), source })?;
    parse(&text).map_err(|(line, why)| AccessLogError::NotARecord { path: shown, line, why })
}

fn parse(text: &str) -> Result<Vec<Logged>, (usize, String)> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut logged = Vec::new();
    for (index, line) in whole.lines().enumerate() {
        let record: Record = serde_json::from_str(line).map_err(|e| (index + 1, e.to_string()))?;
        if record.direction == "outbound" {
            logged.push(Logged {
                client: record.client,
                started_us: record.started_us,
                picked_us: record.picked_us,
                endpoint: parse_endpoint(&record.endpoint),
                tried: record.tried,
                outcome: record.outcome,
            });
        }
    }
    Ok(logged)
}

/// For each sample its record, and the records that no sample made. `wall_us` gives the unix time of a
/// sample's beginning. Samples of a kept connection share its record.
#[must_use]
pub fn join(
    samples: &[Sample],
    logged: Vec<Logged>,
    wall_us: impl Fn(&Sample) -> u64,
) -> (Vec<Option<Logged>>, Vec<Logged>) {
    let mut by_client: HashMap<SocketAddr, Vec<(Logged, bool)>> = HashMap::new();
    for record in logged {
        by_client.entry(record.client).or_default().push((record, false));
    }
    let mut joined = Vec::with_capacity(samples.len());
    for sample in samples {
        let began_us = wall_us(sample);
        let candidates = sample.local.and_then(|local| by_client.get_mut(&local));
        let nearest = candidates.and_then(|c| {
            c.iter_mut()
                .filter(|(record, _)| {
                    began_us.abs_diff(record.started_us) <= NEAR_US || !sample.new_connection
                })
                .min_by_key(|(record, _)| began_us.abs_diff(record.started_us))
        });
        joined.push(nearest.map(|(record, taken)| {
            *taken = true;
            record.clone()
        }));
    }
    let mut strangers: Vec<_> =
        by_client.into_values().flatten().filter(|(_, taken)| !taken).map(|(record, _)| record).collect();
    strangers.sort_by_key(|record| record.started_us);
    (joined, strangers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::testing::{logged, sample};

    const LINE: &str = r#"{"timestamp":"2026-11-22T01:02:03.1Z","direction":"outbound","source":"web",
        "destination":"orders","endpoint":"n2/0","client":"127.0.0.1:40000","started_us":5,"picked_us":7,
        "duration_us":1,"bytes_up":1,"bytes_down":2,"attempts":2,"tried":["n1/0 REFUSED"],"outcome":"ok",
        "reason":""}"#;

    fn line() -> String {
        LINE.replace("\n        ", "")
    }

    #[test]
    fn outbound_records_are_read_and_inbound_ones_left_out() {
        let text = format!("{}\n{}\n", line(), line().replace("outbound", "inbound"));

        let logged = parse(&text).unwrap();

        assert_eq!(logged.len(), 1);
        assert_eq!(logged[0].endpoint, parse_endpoint("n2/0"));
        assert_eq!((logged[0].started_us, logged[0].picked_us), (5, 7));
        assert!(logged[0].left(&"n1".parse().unwrap()) && !logged[0].left(&"n2".parse().unwrap()));
    }

    #[test]
    fn a_line_that_was_cut_off_at_the_end_is_left_out_but_not_one_in_the_middle() {
        let cut = &line()[..50];

        assert_eq!(parse(&format!("{}\n{cut}", line())).unwrap().len(), 1);
        assert_eq!(parse(&format!("{cut}\n{}\n", line())).unwrap_err().0, 1);
    }

    #[test]
    fn a_port_that_serves_twice_belongs_to_the_nearest_request() {
        let mut first = sample(0, 1_000, "n1/0");
        let mut second = sample(1, 70_000, "n2/0");
        first.local = Some(([127, 0, 0, 1], 40_000).into());
        second.local = first.local;
        let records = vec![logged(&second, "n2/0", 70_000), logged(&first, "n1/0", 1_000)];

        let (joined, strangers) = join(&[first, second], records, |s| s.sent.as_micros() as u64);

        assert_eq!(joined[0].as_ref().unwrap().endpoint, parse_endpoint("n1/0"));
        assert_eq!(joined[1].as_ref().unwrap().endpoint, parse_endpoint("n2/0"));
        assert_eq!(strangers, []);
    }

    #[test]
    fn a_record_that_no_request_made_is_a_stranger() {
        let known = sample(0, 1_000, "n1/0");
        let record = logged(&sample(1, 1_000, "n1/0"), "n1/0", 1_000);

        let (joined, strangers) = join(&[known], vec![record], |s| s.sent.as_micros() as u64);

        assert_eq!(joined, [None]);
        assert_eq!(strangers.len(), 1);
    }
}
