//! A story about what is said afterwards: a load whose every byte and end is known, through two nodes, and all that tells
//! of it. Access logs and metrics of both nodes, their pages and the applications must have the same numbers.
//!
//! Other stories end with the same comparison (`Mesh::books_agree`); this one has every way in which a connection can
//! end that an application can bring about.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::{Mesh, NodePlan, Service, Sum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many applications there are at once, and what each does after the other.
const APPLICATIONS: usize = 8;
const CALLS: usize = 10;

/// An application that says all it has, reads the same back, and ends cleanly.
async fn exchange(listener: SocketAddr, len: usize) {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    let (mut down, mut up) = stream.split();
    let payload: Vec<u8> = (0..len).map(|i| (i % 249) as u8).collect();
    let mut back = Vec::new();
    let sending = async {
        up.write_all(&payload).await?;
        up.shutdown().await
    };
    let (sent, read) = tokio::join!(sending, down.read_to_end(&mut back));
    sent.unwrap();
    read.unwrap();
    assert!(back == payload, "{} of {len} bytes came back", back.len());
}

/// One that resets its connection after an exchange of `len` bytes.
async fn exchange_and_reset(listener: SocketAddr, len: usize) {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    stream.write_all(&vec![1; len]).await.unwrap();
    stream.read_exact(&mut vec![0; len]).await.unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// One that is told that there is nothing for it.
async fn in_vain(listener: SocketAddr) {
    let tried = async {
        let mut stream = TcpStream::connect(listener).await?;
        stream.read(&mut [0]).await
    };
    tried.await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_said_of_a_load_is_the_same_and_true() {
    let service = Service::echo().await;
    let gone = Service::echo().await;
    let nobody = gone.address();
    gone.stop().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").serve("orders", service.address()).serve("stock", nobody)).await;
    let caller =
        NodePlan::new("caller").listen("orders", "web").listen("stock", "web").listen("host-only", "web");
    mesh.add(caller.set("connect_timeout", "\"1s\"")).await;
    mesh.settled().await;
    let [orders, stock, nothing] = ["orders", "stock", "host-only"].map(|to| mesh.listener("caller", to));

    let len = |application: usize, call: usize| 1 + application * 70_001 + call * 977;
    let mut applications = JoinSet::new();
    for application in 0..APPLICATIONS {
        applications.spawn(async move {
            for call in 0..CALLS {
                exchange(orders, len(application, call)).await;
                exchange_and_reset(orders, 1000 + call).await;
            }
            in_vain(stock).await;
            in_vain(nothing).await;
        });
    }
    while let Some(ended) = applications.join_next().await {
        ended.unwrap();
    }
    mesh.books_agree().await;

    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let sum = |connections: usize, bytes: usize| Sum {
        connections: connections as f64,
        up: bytes as f64,
        down: bytes as f64,
    };
    let exchanged: usize = (0..APPLICATIONS).flat_map(|a| (0..CALLS).map(move |c| len(a, c))).sum();
    let reset: usize = APPLICATIONS * (0..CALLS).map(|call| 1000 + call).sum::<usize>();
    for (node, direction) in [("caller", "outbound"), ("host", "inbound")] {
        assert_eq!(mesh.booked(node, direction, "ok"), sum(APPLICATIONS * CALLS, exchanged), "{node}");
        let resets = mesh.booked(node, direction, "reset_by_application");
        assert_eq!(resets, sum(APPLICATIONS * CALLS, reset), "{node}");
    }
    // Whether one that is in vain was refused, or held back because others were, is the breaker's.
    let in_vain =
        ["unavailable", "refused"].map(|outcome| mesh.booked("caller", "outbound", outcome).connections);
    assert_eq!(in_vain.iter().sum::<f64>(), sum(2 * APPLICATIONS, 0).connections);
    let (caller, host) = (mesh.metrics("caller").await, mesh.metrics("host").await);
    let refused = host.count("sinew_streams_refused_total", &[("code", "REFUSED")]);
    assert!(refused >= 1.0);
    assert_eq!(mesh.booked("host", "inbound", "refused"), Sum { connections: refused, up: 0.0, down: 0.0 });
    assert_eq!(caller.count("sinew_connections_moved_total", &[("reason", "REFUSED")]), refused);
}
