//! What a flood of strangers costs those who are connected: the latency of one kept connection through a pair of nodes,
//! quiet and while 10,000 first packets a second from a thousand ports reach the node beside its service.
//!
//! `cargo bench --bench flood` prints the table of `benches/README.md`, and fails when the flood makes the 99th
//! percentile three times as long or more. Run without `--bench`, as `cargo test` does, it lasts a second and proves
//! only that it works. Rounds alternate, so that what else the machine does meets both.

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]
#![allow(clippy::unwrap_used, reason = "a measurement that unwraps fails there")]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use quinn::crypto::rustls::QuicClientConfig;
use support::{Mesh, NodePlan, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// First packets a second.
const RATE: u32 = 10_000;
/// Ports that they come from.
const PORTS: usize = 1000;
/// Different first packets, sent again and again: what the node answers with a Retry leaves nothing there by which it
/// would know them again.
const PACKETS: usize = 2000;
/// The most that the 99th percentile may grow by.
const REACH: f64 = 3.0;

/// First packets of connections, as `sinew` nodes send them: what clients send to somebody who does not answer.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(sinew_transport::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![sinew_transport::tls::ALPN_DATA.to_vec()];
    let tls = QuicClientConfig::try_from(tls).unwrap();
    let mut client = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let (mut packets, mut known, mut packet) = (Vec::new(), BTreeSet::new(), [0; 2048]);
    while packets.len() < count {
        // As many as a socket's default buffer keeps.
        let connecting: Vec<_> = (0..50).map(|_| client.connect(address, "sinew").unwrap()).collect();
        let wanted = packets.len() + connecting.len();
        while packets.len() < wanted {
            let (len, _) = silent.recv_from(&mut packet).await.unwrap();
            // RFC 9000 section 17.2: the length of the destination's connection id is the sixth byte.
            if known.insert(packet[6..6 + usize::from(packet[5])].to_vec()) {
                packets.push(packet[..len].to_vec());
            }
        }
    }
    packets
}

/// Sends packets at [`RATE`] while it is told to, on a thread of its own.
struct Flood {
    on: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn start(packets: Vec<Vec<u8>>, targets: Vec<SocketAddr>) -> Self {
        let (on, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let flood = Self { on: Arc::clone(&on), sent: Arc::clone(&sent) };
        std::thread::spawn(move || {
            let sockets: Vec<_> = (0..PORTS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            let mut next = (0..).zip(packets.iter().cycle());
            let burst = RATE / 1000;
            let mut due = Instant::now();
            loop {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if !on.load(Relaxed) {
                    due = Instant::now() + Duration::from_millis(1);
                    continue;
                }
                due += Duration::from_millis(1);
                for _ in 0..burst {
                    let Some((number, packet)) = next.next() else { return };
                    let number: usize = number;
                    // A full queue is the receiver's loss.
                    let _ = sockets[number % PORTS].send_to(packet, targets[number % targets.len()]);
                    sent.fetch_add(1, Relaxed);
                }
            }
        });
        flood
    }
}

/// The latency of exchanges of 64 bytes for some time, in nanoseconds.
async fn turns(stream: &mut TcpStream, time: Duration, into: &mut Histogram<u64>) {
    let (end, mut bytes) = (Instant::now() + time, [7; 64]);
    while Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&bytes).await.unwrap();
        stream.read_exact(&mut bytes).await.unwrap();
        into.record(u64::try_from(begun.elapsed().as_nanos()).unwrap()).unwrap();
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds for a person")]
fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[tokio::main]
async fn main() -> ExitCode {
    let whole = std::env::args().any(|arg| arg == "--bench");
    let (rounds, time) = if whole { (10, Duration::from_secs(2)) } else { (1, Duration::from_millis(500)) };
    let service = Service::echo().await;
    let mut mesh = Mesh::start().await;
    mesh.add(NodePlan::new("host").serve("orders", service.address())).await;
    mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
    mesh.settled().await;
    let mut stream = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let flood = Flood::start(first_packets(PACKETS).await, mesh.ports("host").data.clone());

    let mut warm_up = Histogram::new(3).unwrap();
    turns(&mut stream, time, &mut warm_up).await;
    let (mut quiet, mut flooded) = (Histogram::new(3).unwrap(), Histogram::new(3).unwrap());
    for _ in 0..rounds {
        turns(&mut stream, time, &mut quiet).await;
        flood.on.store(true, Relaxed);
        turns(&mut stream, time, &mut flooded).await;
        flood.on.store(false, Relaxed);
    }

    let retried = mesh.metrics("host").await.count("sinew_handshakes_retried_total", &[]);
    let rate = flood.sent.load(Relaxed) / (rounds * u64::try_from(time.as_millis()).unwrap()).max(1) * 1000;
    println!("{rate} first packets/s from {PORTS} ports, {retried} answered with a Retry\n");
    println!("| | quiet | flooded | flooded / quiet |\n|---|--:|--:|--:|");
    let mut ratio = 0.0;
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let (quiet, flooded) =
            (us(quiet.value_at_quantile(quantile)), us(flooded.value_at_quantile(quantile)));
        ratio = flooded / quiet;
        println!("| {name} | {quiet:.0} µs | {flooded:.0} µs | {ratio:.2} |");
    }
    assert!(retried > 0.0, "no address had to be proven");
    if whole && ratio >= REACH {
        eprintln!(
            "the flood makes the 99th percentile {ratio:.2} times as long; less than {REACH} is wanted"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
