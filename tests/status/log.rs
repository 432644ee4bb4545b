//! The access log says of each connection what its application knows of it, and metrics add it up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Mesh, Metrics, NodePlan, Record, Service, now_us};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_who_called_whom_by_which_endpoint_how_long_and_how_much() {
    let (mesh, _hasher) = one_host().await;
    let began_us = now_us();

    let (client, answer) = ask(&mesh, 100_000).await;

    let ended_us = now_us();
    let (outbound, inbound) = (last(&mesh, "caller").await, last(&mesh, "n1").await);
    for (record, direction, caller) in [(&outbound, "outbound", ""), (&inbound, "inbound", "caller")] {
        let who = (record.direction.as_str(), record.source.as_str(), record.destination.as_str());
        assert_eq!(who, (direction, "web", "orders"), "{record:?}");
        assert_eq!((record.endpoint.as_str(), record.caller.as_str()), ("n1/0", caller), "{record:?}");
        assert_eq!(record.client, client.to_string(), "{record:?}");
        assert_eq!((record.bytes_up, record.bytes_down), (100_000, answer), "{record:?}");
        assert_eq!((record.outcome.as_str(), record.reason.as_str()), ("ok", ""), "{record:?}");
        assert_eq!((record.attempts, record.tried.len()), (1, 0), "{record:?}");
        assert!((began_us..=ended_us).contains(&record.started_us), "{record:?}");
        assert!(record.duration_us > 0, "{record:?}");
        let ended = humantime::parse_rfc3339(&record.timestamp).unwrap();
        let ended = ended.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        assert_eq!(ended, u128::from(record.ended_us()), "{record:?}");
    }
    assert!((outbound.started_us..=ended_us).contains(&outbound.picked_us), "{outbound:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_which_endpoints_were_left_and_why() {
    let echo = Service::echo().await;
    // Bound and not listening: nobody else gets the port, and who connects is refused.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", closed.local_addr().unwrap())).await;
    mesh.add(NodePlan::new("n2").serve("orders", echo.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;

    // Either may be picked first; the breaker keeps the closed one away for a moment only.
    let mut left = None;
    while left.is_none() {
        ask(&mesh, 10).await;
        left = mesh.records("caller").into_iter().find(|record| record.attempts > 1);
    }

    let record = left.unwrap();
    assert_eq!(
        (record.tried.as_slice(), record.endpoint.as_str()),
        (&["n1/0 REFUSED".to_owned()][..], "n2/0")
    );
    assert_eq!((record.attempts, record.outcome.as_str()), (2, "ok"));
    let refused = last(&mesh, "n1").await;
    assert_eq!((refused.direction.as_str(), refused.outcome.as_str()), ("inbound", "refused"));
    let moved = mesh.metrics("caller").await;
    assert!(moved.count("sinew_connections_moved_total", &[("reason", "REFUSED")]) >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_when_no_endpoint_takes_a_connection() {
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", closed.local_addr().unwrap())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;

    let end = async {
        // It may be over before the application has looked at it.
        let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await?;
        app.read(&mut [0]).await
    };
    let end = end.await;

    assert!(end.is_err(), "an error, not an end: {end:?}");
    let record = last(&mesh, "caller").await;
    assert_eq!((record.outcome.as_str(), record.endpoint.as_str()), ("refused", ""), "{record:?}");
    assert_eq!(record.tried, ["n1/0 REFUSED"]);
    assert!(record.reason.contains("n1/0"), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_agree_with_what_the_applications_counted() {
    let (mut mesh, _hasher) = one_host().await;
    let (mut up, mut down) = (0, 0);
    for len in [0, 1, 1000, 1 << 20] {
        let (_, answer) = ask(&mesh, len).await;
        (up, down) = (up + len as u64, down + answer);
    }
    let edge = [("source", "web"), ("destination", "orders")];
    for node in ["caller", "n1"] {
        let metrics = mesh.metrics_when(node, |metrics| closed(metrics) == 4.0).await;
        assert_eq!(metrics.value("sinew_tcp_connections_opened_total", &edge), Some(4.0), "{node}");
        assert_eq!(metrics.value("sinew_tcp_connections_closed_total", &[("outcome", "ok")]), Some(4.0));
        let bytes = |name| metrics.value(name, &edge).map(|bytes| bytes as u64);
        assert_eq!(bytes("sinew_tcp_sent_bytes_total"), Some(up), "{node}");
        assert_eq!(bytes("sinew_tcp_received_bytes_total"), Some(down), "{node}");
    }

    // One that is cut, and one that its client resets, are closed, too.
    let mut cut = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    let reset = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    cut.write_all(&[0; 1000]).await.unwrap();
    mesh.metrics_when("n1", |metrics| opened(metrics) == 6.0).await;
    reset.set_zero_linger().unwrap();
    drop(reset);
    mesh.metrics_when("caller", |metrics| closed(metrics) == 5.0).await;
    mesh.kill("n1").await;
    assert!(cut.read(&mut [0]).await.is_err());

    let metrics = mesh.metrics_when("caller", |metrics| closed(metrics) == opened(metrics)).await;
    assert_eq!(opened(&metrics), 6.0);
    for outcome in ["broken", "reset_by_application"] {
        let ended = metrics.value("sinew_tcp_connections_closed_total", &[("outcome", outcome)]);
        assert_eq!(ended, Some(1.0), "{outcome} in\n{}", metrics.text());
    }
}

async fn one_host() -> (Mesh, Service) {
    let hasher = Service::hasher().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("n1").serve("orders", hasher.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web").set("dead_after", "\"1s\"")).await;
    mesh.settled().await;
    (mesh, hasher)
}

/// Sends so many bytes and an end, and reads the answer: the client's address, and the length of that.
async fn ask(mesh: &Mesh, len: usize) -> (std::net::SocketAddr, u64) {
    let mut app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    let client = app.local_addr().unwrap();
    app.write_all(&vec![7; len]).await.unwrap();
    app.shutdown().await.unwrap();
    let answer = app.read_to_end(&mut Vec::new()).await.unwrap();
    (client, answer as u64)
}

/// The last record of a node, once it has one.
async fn last(mesh: &Mesh, node: &str) -> Record {
    mesh.records_when(node, |records| !records.is_empty()).await.pop().unwrap()
}

fn opened(metrics: &Metrics) -> f64 {
    metrics.count("sinew_tcp_connections_opened_total", &[])
}

fn closed(metrics: &Metrics) -> f64 {
    metrics.count("sinew_tcp_connections_closed_total", &[])
}
