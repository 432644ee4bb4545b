//! From an apply to the last acknowledgement: a change that concerns every node, again and again.
//!
//! The change is the mesh's default policy, which is in every node's snapshot. The time begins before the call of
//! the API, and ends with the answer that no node lags: parsing, planning, the disk (a transaction that is synced),
//! the debounce, a difference for each node, its application there, and its acknowledgement.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::api::Api;
use crate::cost::Cost;
use crate::sessions;
use crate::support::{Mesh, NodePlan, Service};

/// Real nodes that host the service that the others call: each of those has so many links.
const HOSTS: usize = 3;

/// Between two changes: the mesh is calm again.
const PAUSE: Duration = Duration::from_millis(50);

/// Longer than any change takes; less than one answer is waited for.
const LAG_MAX: Duration = Duration::from_millis(1500);

/// Sessions must have been welcomed and told everything within this.
const START_MAX: Duration = Duration::from_mins(2);

/// The head of the table.
pub(crate) fn head() {
    println!(
        "| nodes | p50 | p99 | most | pushed to each | controller's CPU for each change | its memory, at most |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
}

/// With nodes that are processes.
pub(crate) async fn with_nodes(count: usize, changes: usize) {
    let service = Service::greeter("here").await;
    let mut mesh = Mesh::start().await;
    for index in 0..count {
        let plan = NodePlan::new(&format!("n{index}"));
        let plan = if index < HOSTS {
            plan.serve("orders", service.address())
        } else {
            plan.listen("orders", "web")
        };
        mesh.add(plan).await;
    }
    mesh.settled().await;
    measure(&mesh, &format!("{count} nodes"), count, changes).await;
}

/// With nodes that are only sessions.
pub(crate) async fn with_sessions(count: usize, changes: usize) {
    let mesh = Mesh::start().await;
    let (counts, _sessions) = sessions::start(&mesh, count).await;
    let all = timeout(START_MAX, counts.all_current(count)).await;
    assert!(all.is_ok(), "{counts:?}");
    measure(&mesh, &format!("{count} sessions"), count, changes).await;
}

async fn measure(mesh: &Mesh, what: &str, count: usize, changes: usize) {
    let api = Api::of(mesh);
    // The first apply creates the resource, and the mesh may still hear of its last nodes.
    for policy in ["deny", "allow"] {
        change(&api, policy, count).await;
        sleep(Duration::from_secs(1)).await;
    }
    let mut took = Histogram::<u64>::new(3).expect("three digits are possible");
    let (before, pushed) = (Cost::of(mesh.controller_pid()), pushed(&api).await);
    for number in 0..changes {
        let lasted = change(&api, if number % 2 == 0 { "deny" } else { "allow" }, count).await;
        took.record(u64::try_from(lasted.as_micros()).expect("seconds")).expect("it grows");
        sleep(PAUSE).await;
    }
    let (after, pushed) = (Cost::of(mesh.controller_pid()), self::pushed(&api).await - pushed);
    let ms = |us: u64| format!("{:.1} ms", us as f64 / 1000.0);
    println!(
        "| {what} | {} | {} | {} | {} B | {:.1} ms | {} MiB |",
        ms(took.value_at_quantile(0.5)),
        ms(took.value_at_quantile(0.99)),
        ms(took.max()),
        pushed / (changes * count) as u64,
        (after.cpu - before.cpu).as_secs_f64() * 1000.0 / changes as f64,
        after.peak_kib / 1024,
    );
}

/// Applies a default policy; how long until all nodes have acknowledged it.
async fn change(api: &Api, policy: &str, count: usize) -> Duration {
    let text = format!("[mesh]\ndefault_policy = {policy:?}\n");
    let body = json!({ "documents": [{ "name": "mesh.toml", "text": text }] });
    let began = Instant::now();
    let applied = api.call("POST", "/v1/apply", &body).await;
    let path = format!("/v1/rollouts/{}?wait={}", applied["revision"], LAG_MAX.as_millis());
    let rollout = api.call("GET", &path, &json!(null)).await;
    let lasted = began.elapsed();
    assert_eq!(rollout["laggards"], json!([]), "{rollout}");
    assert_eq!(rollout["concerned"], json!(count), "{rollout}");
    lasted
}

async fn pushed(api: &Api) -> u64 {
    api.metric("sinew_controller_pushed_bytes_total").await
}
