//! What applications saw, what the access log says and what the metrics count: the same, byte for byte.

use std::collections::{BTreeMap, HashMap};

use crate::calls::{Call, End, Manner};
use crate::faults::Window;
use crate::support::{Mesh, Metrics, Record};

/// Holds every call to its record at the caller's node, and every failure to a fault.
pub(crate) fn compare(calls: &[Call], records: &[Record], windows: &[Window]) {
    assert_eq!(calls.len(), records.len(), "a line for each connection");
    let mut by_client: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in records {
        by_client.entry(&record.client).or_default().push(record);
    }
    let mut wrong = Vec::new();
    for call in calls {
        // A port may be used again, as soon as its connection is reset: also before its application has noticed.
        let lived = call.began_us..=call.ended_us;
        let theirs = by_client.get(call.client.to_string().as_str()).into_iter().flatten();
        let theirs = theirs.filter(|record| lived.contains(&record.started_us));
        let Some(record) = theirs.min_by_key(|record| record.started_us) else {
            wrong.push(format!("no record of {call:?}"));
            continue;
        };
        if let Err(why) = fits(call, record, windows) {
            wrong.push(format!("{why}: {call:?}\n  {record:?}"));
        }
    }
    let shown: Vec<_> = wrong.iter().take(10).map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} calls:\n{}\n{windows:#?}",
        wrong.len(),
        calls.len(),
        shown.join("\n")
    );
}

fn fits(call: &Call, record: &Record, windows: &[Window]) -> Result<(), &'static str> {
    let excused = || {
        let theirs = windows.iter().filter(|window| window.excuses(call.began_us, call.ended_us));
        theirs.into_iter().any(|window| record.touched(window.who))
    };
    let resets = matches!(call.manner, Manner::CallerResets | Manner::ServiceResets);
    let as_it_should = if resets { "reset_by_application" } else { "ok" };
    match (&call.end, record.outcome.as_str()) {
        (End::Well, outcome) if outcome == as_it_should => {}
        // One that was broken by a fault looks like one that its service reset.
        (End::Well, _) if resets && excused() => return Ok(()),
        (End::Well, _) => return Err("it ended well, and its record says something else"),
        (End::Failed(_), "broken" | "cut") if excused() => return Ok(()),
        (End::Failed(_), _) => return Err("nothing explains that it failed"),
    }
    if record.bytes_up > call.up || (!resets && (record.bytes_up, record.bytes_down) != (call.up, call.down))
    {
        return Err("its record counts other bytes");
    }
    Ok(())
}

/// Holds the metrics of a process that lived all the time to its access log. A stream that its caller gave up before
/// its preamble was there is of no service yet, and not counted.
pub(crate) fn counted(name: &str, direction: &str, records: &[Record], metrics: &Metrics) {
    let of = |key| [("direction", direction), key];
    let theirs = |record: &&Record| record.direction == direction && !record.destination.is_empty();
    let records: Vec<_> = records.iter().filter(theirs).collect();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &records {
        *outcomes.entry(&record.outcome).or_default() += 1;
    }
    for (outcome, count) in &outcomes {
        let counted = metrics.count("sinew_tcp_connections_closed_total", &of(("outcome", outcome)));
        assert_eq!(counted, *count as f64, "{name}: {outcome}");
    }
    let sum = |bytes: fn(&Record) -> u64| records.iter().map(|record| bytes(record)).sum::<u64>() as f64;
    let direction = [("direction", direction)];
    for (metric, wanted) in [
        ("sinew_tcp_connections_opened_total", records.len() as f64),
        ("sinew_tcp_connections_closed_total", records.len() as f64),
        ("sinew_tcp_sent_bytes_total", sum(|record| record.bytes_up)),
        ("sinew_tcp_received_bytes_total", sum(|record| record.bytes_down)),
    ] {
        assert_eq!(metrics.count(metric, &direction), wanted, "{name}: {metric}");
    }
    assert_eq!(metrics.count("sinew_access_log_dropped_total", &[]), 0.0, "{name}");
}

/// What went well from end to end is counted alike at both ends.
pub(crate) fn both_ends(mesh: &Mesh, caller: &[Record], node: &str) {
    let sums = |records: &mut dyn Iterator<Item = &Record>| {
        records.filter(|record| record.outcome == "ok").fold((0, 0, 0), |(count, up, down), record| {
            (count + 1, up + record.bytes_up, down + record.bytes_down)
        })
    };
    let out = sums(&mut caller.iter().filter(|record| record.node() == node));
    let inward = mesh.records(node);
    assert_eq!(out, sums(&mut inward.iter()), "connections and bytes, by the caller and by {node}");
}
