//! Stories about seeing: what `status`, the access log, the metrics and the probes say agrees with what
//! applications did, and with each other.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]

mod support;

use std::io;
use std::net::SocketAddr;
use std::process::Output;

use sinew_api::control::LinkState;
use sinew_api::status::LinkStatus;
use sinew_transport_core::NodeName;
use support::{Mesh, NodePlan, Service, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// A caller, `web`, and a host of `orders`, which echoes.
async fn pair() -> (Mesh, Service) {
    let service = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").serve("orders", service.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    (mesh, service)
}

/// Sends `len` bytes, ends, and reads them back.
async fn echo(listener: SocketAddr, len: usize) -> io::Result<()> {
    let mut app = TcpStream::connect(listener).await?;
    app.write_all(&vec![7; len]).await?;
    app.shutdown().await?;
    let mut back = Vec::new();
    app.read_to_end(&mut back).await?;
    assert_eq!(back, vec![7; len]);
    Ok(())
}

async fn sinew(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sinew")).args(arguments).output().await.expect("the program runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_nodes_services_endpoints_links_certificates_and_the_revision() {
    let (mesh, _service) = pair().await;
    echo(mesh.listener("caller", "orders"), 1000).await.expect("echoed");
    let measured = || async {
        let status = mesh.status().await;
        let known = |links: &[LinkStatus]| !links.is_empty() && links.iter().all(|link| link.rtt_us > 0);
        let known = status.nodes.iter().all(|node| known(&node.links));
        if known { Ok(status) } else { Err(format!("{:?}", status.nodes)) }
    };

    let status = until("every link's round trip", measured).await.expect("reported");

    let names: Vec<_> = status.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["caller", "host"]);
    for node in &status.nodes {
        assert!(node.connected && node.acknowledged == status.revision, "{node:?}");
        let day_us = 24 * 3600 * 1_000_000;
        let left_us = (node.certificate_expiry * 1_000_000).saturating_sub(support::now_us());
        assert!(left_us <= day_us && left_us > day_us - 3600 * 1_000_000, "{node:?}");
        assert!(node.links.iter().all(|link| link.state == LinkState::Up), "{node:?}");
    }
    let orders = status.services.iter().find(|service| service.name.as_str() == "orders").expect("listed");
    assert_eq!(orders.endpoints.len(), 1);
    assert_eq!((orders.endpoints[0].node.as_str(), orders.endpoints[0].slot), ("host", 0));
    assert_eq!(orders.callers, [NodeName::new("caller").expect("valid")]);

    let state = mesh.controller_state();
    let shown = sinew(&["status", "--state", &state.display().to_string()]).await;
    let table = String::from_utf8_lossy(&shown.stdout);
    for word in ["caller", "host/0", "orders", "up", "expires in", "ROUND TRIP"] {
        assert!(table.contains(word), "`{word}` is not in:\n{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_a_peer_that_does_not_answer_as_suspect() {
    let (mut mesh, _service) = pair().await;
    echo(mesh.listener("caller", "orders"), 10).await.expect("echoed");
    mesh.pause("host").await;

    let suspected = || async {
        let status = mesh.status().await;
        let links =
            status.nodes.iter().filter(|node| node.name.as_str() == "caller").flat_map(|node| &node.links);
        match links.clone().any(|link| link.state == LinkState::Suspect) {
            true => Ok(()),
            false => Err(format!("{:?}", links.collect::<Vec<_>>())),
        }
    };
    until("the stopped node to be suspect", suspected).await.expect("shown");

    mesh.resume("host");
    echo(mesh.listener("caller", "orders"), 10).await.expect("used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_log_and_metrics_of_both_ends_agree_with_the_applications() {
    let (mesh, _service) = pair().await;
    let lens = [1, 1000, 100_000];
    for len in lens {
        echo(mesh.listener("caller", "orders"), len).await.expect("echoed");
    }

    for (node, direction) in [("caller", "outbound"), ("host", "inbound")] {
        let records = mesh.records_when(node, |records| records.len() == lens.len()).await;
        for (record, len) in records.iter().zip(lens) {
            assert_eq!((record.direction.as_str(), record.outcome.as_str()), (direction, "ok"), "{record:?}");
            assert_eq!((record.source.as_str(), record.destination.as_str()), ("web", "orders"));
            assert_eq!(
                (record.endpoint.as_str(), record.bytes_up, record.bytes_down),
                ("host/0", len as u64, len as u64)
            );
        }
        let edge = [("direction", direction), ("source", "web"), ("destination", "orders")];
        let closed = "sinew_tcp_connections_closed_total";
        let metrics = mesh.metrics_when(node, |metrics| metrics.count(closed, &edge) == 3.0).await;
        assert_eq!(metrics.count("sinew_tcp_connections_opened_total", &edge), 3.0);
        assert_eq!(metrics.count(closed, &[("outcome", "ok")]), 3.0);
        let bytes: usize = lens.iter().sum();
        assert_eq!(metrics.count("sinew_tcp_sent_bytes_total", &edge), bytes as f64);
        assert_eq!(metrics.count("sinew_tcp_received_bytes_total", &edge), bytes as f64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_tell_alive_from_ready() {
    let (mesh, _service) = pair().await;
    let admin = mesh.ports("caller").admin.expect("on by default");

    for (path, said) in [("/livez", "ok"), ("/readyz", "revision")] {
        let answer = http_answer(admin, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(said), "{path}: {answer}");
    }
    assert!(http_answer(admin, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_configuration_is_shown_at_its_place_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("node.toml");
    let text = "[node]\nstate = \"s\"\nshardz = 2\ndata = \"nowhere\"\n\n[[listen]]\nservice = \"Not A Name\"\naddress = \"127.0.0.1:5001\"\n";
    std::fs::write(&file, text).expect("written");

    let ended = sinew(&["node", "--config", &file.display().to_string()]).await;

    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    for part in
        ["shardz", "shards", "nowhere", "Not A Name", "node.toml:3:1", "node.toml:4:8", "node.toml:7:11"]
    {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

/// One question over HTTP, the answer as it comes.
async fn http_answer(address: SocketAddr, path: &str) -> String {
    let mut asked = TcpStream::connect(address).await.expect("listens");
    let question = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    asked.write_all(question.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    asked.read_to_string(&mut answer).await.expect("answered");
    answer
}
