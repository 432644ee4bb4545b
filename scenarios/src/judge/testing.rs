//! A made-up run for the tests of verdicts: three endpoints with even shares, 100 requests a second for
//! forty seconds; `n2/0` becomes slow after ten, `n3` is killed after twenty and returns after twenty-six.

use std::net::SocketAddr;
use std::time::Duration;

use sinew_transport_core::ids::NodeName;

use crate::record::{Happened, Logged, Outcome, Recording, Sample, parse_endpoint};
use crate::scenario::{Action, Behaviour, Endpoint, Service, Topology};

/// Unix time at which the made-up run began.
pub(crate) const BEGAN_US: u64 = 1_700_000_000_000_000;

pub(crate) fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// A request that was due at `due_ms` and answered by `endpoint` 12 ms later.
pub(crate) fn sample(id: u64, due_ms: u64, endpoint: &str) -> Sample {
    let due = Duration::from_millis(due_ms);
    Sample {
        id,
        load: 0,
        due,
        sent: due,
        end: due + Duration::from_millis(12),
        local: Some(SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(id).unwrap()))),
        new_connection: true,
        answered_by: parse_endpoint(endpoint),
        outcome: Outcome::Ok,
        wrong_bytes: 0,
    }
}

/// What the mesh would log about it, picked at `picked_ms` of unix time.
pub(crate) fn logged(sample: &Sample, endpoint: &str, picked_ms: u64) -> Logged {
    Logged {
        client: sample.local.unwrap(),
        started_us: picked_ms * 1000,
        picked_us: picked_ms * 1000,
        endpoint: parse_endpoint(endpoint),
        tried: Vec::new(),
        outcome: "ok".into(),
    }
}

/// A run in which everything went well: the slow endpoint loses its share within a second, the killed one
/// at once, and has it back three seconds after its return.
pub(crate) fn good_run() -> Recording {
    let mut run = Recording {
        topology: topology(),
        began_us: BEGAN_US,
        ended: seconds(41.0),
        samples: Vec::new(),
        logged: Vec::new(),
        strangers: Vec::new(),
        events: vec![
            happened(
                "slower",
                10.0,
                Action::Slow { endpoint: parse_endpoint("n2/0").unwrap(), by: seconds(0.1) },
            ),
            happened("killed", 20.0, Action::Kill { node: node("n3") }),
            happened("returned", 26.0, Action::Return { node: node("n3") }),
        ],
    };
    for id in 0..4000 {
        let due_ms = id * 10;
        let in_turn = ["n1/0", "n2/0", "n3/0"][(id % 3) as usize];
        let gone = match in_turn {
            "n2/0" => due_ms >= 11_000,
            "n3/0" => (20_000..29_000).contains(&due_ms),
            _ => false,
        };
        push(&mut run, due_ms, if gone { "n1/0" } else { in_turn });
    }
    run
}

/// Adds a request that `endpoint` answered.
pub(crate) fn push(run: &mut Recording, due_ms: u64, endpoint: &str) -> usize {
    let sample = sample(run.samples.len() as u64, due_ms, endpoint);
    run.logged.push(Some(logged(&sample, endpoint, BEGAN_US / 1000 + due_ms)));
    run.samples.push(sample);
    run.samples.len() - 1
}

/// Adds a request that was handed to `endpoint` and failed ten seconds later.
pub(crate) fn push_failed(run: &mut Recording, due_ms: u64, endpoint: &str) -> usize {
    let index = push(run, due_ms, endpoint);
    let sample = &mut run.samples[index];
    sample.outcome = Outcome::Reset;
    sample.answered_by = None;
    sample.end = sample.due + seconds(10.0);
    index
}

fn happened(name: &str, at: f64, action: Action) -> Happened {
    let at = seconds(at);
    Happened { name: name.into(), action, at, done: at, ready: None }
}

fn topology() -> Topology {
    let endpoint = |name, latency| Endpoint {
        id: parse_endpoint(name).unwrap(),
        latency: Duration::from_millis(latency),
        configured: true,
    };
    let service = Service {
        name: "orders".parse().unwrap(),
        behaviour: Behaviour::EchoId,
        endpoints: vec![endpoint("n1/0", 14), endpoint("n2/0", 12), endpoint("n3/0", 10)],
    };
    Topology { nodes: Vec::new(), services: vec![service], listeners: Vec::new() }
}
