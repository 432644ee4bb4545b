//! Stories about addresses: everything on IPv6, both families in one mesh, and nodes with several addresses of which
//! one never answers, or stops answering.
//!
//! [`way`]: an address of a node that is nothing but a way to it, which the test can block.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

#[path = "../support/mod.rs"]
mod support;
mod way;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use support::{Mesh, NodePlan, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use way::Way;

const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// One dial at an address that says nothing takes two seconds; who tries one address after the other needs longer.
const ONE_DIAL: Duration = Duration::from_secs(2);

/// A whole call: the greeting of the service, and a clean end.
async fn call(listener: SocketAddr) -> String {
    let mut app = TcpStream::connect(listener).await.unwrap();
    app.shutdown().await.unwrap();
    let mut greeting = String::new();
    app.read_to_string(&mut greeting).await.unwrap();
    greeting.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_lives_on_ipv6_alone() {
    let greeter = Service::greeter_at(SocketAddr::new(SIX, 0), "n1").await;
    let other = Service::greeter_at(SocketAddr::new(SIX, 0), "late").await;
    let mut mesh = Mesh::start_at("", SIX, SIX).await;
    let serving = NodePlan::new("n1").on(SIX).serve("orders", greeter.address()).grant("mail");
    mesh.add(serving.health("{ interval = \"50ms\" }")).await;
    let calling = NodePlan::new("caller").on(SIX).listen("orders", "web").listen("mail", "web");
    mesh.add(calling).await;
    mesh.settled().await;

    assert_eq!(call(mesh.listener("caller", "orders")).await, "220 n1");
    // A person's commands find their way, too.
    let state = mesh.node_dir("n1").join("state");
    let address = other.address().to_string();
    let registered =
        mesh.sinew(&["register", "mail", &address, "--wait", "--state", state.to_str().unwrap()]).await;
    assert!(registered.status.success(), "{registered:?}");
    assert_eq!(call(mesh.listener("caller", "mail")).await, "220 late");
    let status = mesh.sinew(&["status"]).await;
    assert!(String::from_utf8_lossy(&status.stdout).contains("[::1]"), "{status:?}");

    let bound = |ports: &support::NodePorts| ports.data.iter().chain(&ports.admin).all(SocketAddr::is_ipv6);
    assert!(bound(mesh.ports("n1")) && bound(mesh.ports("caller")));
    let records = mesh.records_when("caller", |records| records.len() == 2).await;
    assert!(records.iter().all(|r| r.outcome == "ok" && r.client.starts_with("[::1]:")), "{records:?}");
    // And after a restart of everybody.
    mesh.stop_controller().await;
    mesh.start_controller().await;
    for node in ["n1", "caller"] {
        mesh.stop(node).await;
        mesh.restart(node).await;
    }
    mesh.settled().await;
    assert_eq!(call(mesh.listener("caller", "orders")).await, "220 n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_family_and_of_both_call_each_other() {
    let [four, six, dual] = [
        Service::greeter("four").await,
        Service::greeter_at(SocketAddr::new(SIX, 0), "six").await,
        Service::greeter("dual").await,
    ];
    let mut mesh = Mesh::start_at("", ANY, FOUR).await;
    let plan = |name: &str| NodePlan::new(name).serve(name, [&four, &six, &dual][index(name)].address());
    mesh.add(plan("four").on(FOUR).listen("dual", "four")).await;
    mesh.add(plan("six").on(SIX).listen("dual", "six")).await;
    let both = plan("dual").set("data", "\"[::]:0\"").set("advertise", "[\"::1\", \"127.0.0.1\"]");
    mesh.add(both.listen("four", "dual").listen("six", "dual")).await;
    mesh.settled().await;

    for (node, service) in [("dual", "four"), ("dual", "six"), ("four", "dual"), ("six", "dual")] {
        let began = Instant::now();
        assert_eq!(call(mesh.listener(node, service)).await, format!("220 {service}"), "from {node}");
        assert!(began.elapsed() < ONE_DIAL, "{service} from {node}: {:?}", began.elapsed());
    }
}

fn index(name: &str) -> usize {
    ["four", "six", "dual"].iter().position(|known| *known == name).unwrap()
}

/// A node that serves `orders` and is reached by way of `way` first, then directly.
fn behind(way: &Way, greeter: &Service) -> NodePlan {
    let data = format!("\"{}\"", way.leads_to());
    let advertise = format!("[\"{}\", \"{}\"]", way.address().ip(), way.leads_to().ip());
    let plan = NodePlan::new("n1").set("data", &data).set("advertise", &advertise).set("shards", "1");
    plan.serve("orders", greeter.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_never_answers_costs_a_moment() {
    let greeter = Service::greeter("n1").await;
    let way = Way::blocked().await;
    let mut mesh = Mesh::start().await;
    mesh.add(behind(&way, &greeter)).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;

    let began = Instant::now();
    assert_eq!(call(mesh.listener("caller", "orders")).await, "220 n1");

    assert!(began.elapsed() < ONE_DIAL, "{:?}", began.elapsed());
    assert!(way.packets() > 0, "it was tried first");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_address_in_use_falls_silent_the_next_takes_over() {
    let greeter = Service::greeter("n1").await;
    let way = Way::open().await;
    let mut mesh = Mesh::start().await;
    mesh.add(behind(&way, &greeter)).await;
    // Long enough that nothing is given up for dead here.
    mesh.add(NodePlan::new("caller").listen("orders", "web").set("dead_after", "\"25s\"")).await;
    mesh.settled().await;
    let listener = mesh.listener("caller", "orders");
    assert_eq!(call(listener).await, "220 n1");
    let before = way.packets();
    assert!(before > 0, "it is in use");

    way.block();
    let began = Instant::now();
    assert_eq!(call(listener).await, "220 n1");
    let lasted = began.elapsed();

    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(call(listener).await, "220 n1");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    let log = mesh.log("caller");
    assert!(!log.contains("is dead"), "{log}");
    let records = mesh.records_when("caller", |records| records.len() == 22).await;
    assert!(records.iter().all(|record| record.outcome == "ok"), "{records:?}");
}
