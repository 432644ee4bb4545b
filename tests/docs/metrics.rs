//! The page of metrics, against what a node and a controller really answer: every metric with its type and labels, and
//! no other.
//!
//! A metric without a label value is not shown at all, so the mesh that is asked has lived a little: calls, a refused
//! endpoint, checks.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Mesh, NodePlan, Service, http_get, until};
use crate::text;

const PAGE: &str = "docs/reference/metrics.md";

/// What a row of the page says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// With `_total`.
    pub(crate) name: String,
    kind: String,
    pub(crate) labels: BTreeSet<String>,
}

/// Every row of the page.
pub(crate) fn rows() -> Vec<Row> {
    ["Node", "Controller"].into_iter().flat_map(section).collect()
}

fn section(heading: &str) -> Vec<Row> {
    let page = text(PAGE);
    let section = page.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("{PAGE} has no section {heading}"));
    section.lines().filter(|line| line.starts_with("| `sinew_")).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, name, kind, labels, ..] = cells[..] else { panic!("{PAGE}: a row has four cells: {line}") };
    let labels =
        labels.split(',').map(|label| label.trim().trim_matches('`')).filter(|label| !label.is_empty());
    Row {
        name: name.trim_matches('`').to_owned(),
        kind: kind.to_owned(),
        labels: labels.map(str::to_owned).collect(),
    }
}

/// What an answer has, in the words of the page.
fn answered(openmetrics: &str) -> BTreeSet<Row> {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in openmetrics.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name, kind);
        }
        if line.starts_with('#') {
            continue;
        }
        let sample = line.rsplit_once(' ').map_or(line, |(sample, _)| sample);
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let ends = ["", "_total", "_info", "_bucket", "_sum", "_count"];
        let known = ends.iter().find_map(|end| kinds.get_key_value(name.strip_suffix(end)?));
        let Some((base, kind)) = known else { panic!("no type stands before `{line}`") };
        let shown = if *kind == "histogram" { (*base).to_owned() } else { name.to_owned() };
        let labels = labels.split("=\"").filter_map(|part| part.rsplit(['"', ',']).next()).map(str::to_owned);
        let labels = labels.filter(|label| !["le", "}"].contains(&label.as_str()) && !label.is_empty());
        let new = Row { name: shown.clone(), kind: (*kind).to_owned(), labels: BTreeSet::new() };
        rows.entry(shown).or_insert(new).labels.extend(labels);
    }
    rows.into_values().collect()
}

fn compare(heading: &str, openmetrics: &str) {
    let (there, page) = (answered(openmetrics), BTreeSet::from_iter(section(heading)));
    let missing: Vec<_> = there.difference(&page).collect();
    let wrong: Vec<_> = page.difference(&there).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "{PAGE}, {heading}: it lacks {missing:#?}\nand has {wrong:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_metric_with_its_type_and_labels_and_no_other() {
    let service = Service::greeter("here").await;
    let gone = Service::greeter("gone").await;
    let refusing = gone.address();
    gone.stop().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", refusing)).await;
    mesh.add(NodePlan::new("n2").serve("orders", service.address()).health("{}")).await;
    mesh.add(NodePlan::new("n3").listen("orders", "web")).await;
    mesh.settled().await;
    let lived = until("a call that was moved", || async {
        let mut app = TcpStream::connect(mesh.listener("n3", "orders")).await.map_err(|e| e.to_string())?;
        app.shutdown().await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let _ = app.read_to_end(&mut answer).await;
        let moved = mesh.metrics("n3").await.text().contains("sinew_connections_moved_total{");
        if moved { Ok(()) } else { Err("no connection was moved".to_owned()) }
    });
    lived.await.expect("one endpoint refuses");

    let (caller, host) = (mesh.metrics("n3").await, mesh.metrics("n2").await);
    compare("Node", &format!("{}{}", caller.text(), host.text()));
    let (_, controller) = http_get(mesh.api_address(), "/metrics", None).await.expect("it answers");
    compare("Controller", &controller);
}

#[test]
fn a_page_that_says_something_else_is_found() {
    let text = "# TYPE a counter\na_total{x=\"1\",y=\"2,3\"} 1\n# TYPE b gauge\nb 2\n# TYPE c histogram\nc_sum 1\nc_bucket{le=\"1\"} 1\n";

    let row = |line: &str| row(line);
    let expected = [
        row("| `a_total` | counter | `x`, `y` | A. |"),
        row("| `b` | gauge | | B. |"),
        row("| `c` | histogram | | C. |"),
    ];
    assert_eq!(answered(text), BTreeSet::from(expected));
}
