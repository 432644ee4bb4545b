//! A flood of first packets, each from another address, none of them followed by a second.
#![allow(clippy::disallowed_methods, reason = "stories in the real world")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::raw::{self, soon};
use common::{Authority, Node, echo, loopback};
use sinew_transport::tls::ALPN_DATA;
use sinew_transport::verify::Refusal;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// First packets, within the time that a handshake has.
const FLOOD: usize = 300;

/// Handshakes that may be in progress before addresses must be proven.
const UNPROVEN: usize = 64;

/// As many packets as a socket's default buffer keeps.
const BATCH: usize = 50;

/// The longest packet.
const PACKET_MAX: usize = 2048;

/// The first packets of as many connections: what clients send to somebody who does not answer.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let silent = UdpSocket::bind(loopback()).await.expect("a socket");
    let (client, address) = (raw::client(None, ALPN_DATA), silent.local_addr().expect("bound"));
    let (mut packets, mut known, mut packet) = (Vec::new(), BTreeSet::new(), [0; PACKET_MAX]);
    while packets.len() < count {
        let batch = BATCH.min(count - packets.len());
        let connecting: Vec<_> =
            (0..batch).map(|_| client.connect(address, "sinew").expect("a valid address")).collect();
        let wanted = packets.len() + connecting.len();
        while packets.len() < wanted {
            let (len, _) = soon("a first packet", silent.recv_from(&mut packet)).await.expect("received");
            // RFC 9000 section 17.2: the length of the destination's connection id is the sixth byte.
            let id = packet[6..6 + usize::from(packet[5])].to_vec();
            if known.insert(id) {
                packets.push(packet[..len].to_vec());
            }
        }
    }
    packets
}

/// Whether it is a Retry packet (RFC 9000 section 17.2.5).
fn is_retry(packet: &[u8]) -> bool {
    packet[0] & 0xf0 == 0xf0
}

/// Until so many handshakes have not come to an end in time: they have five seconds.
async fn until_given_up(node: &Node, count: u64) {
    while node.refusals.get(Refusal::Timeout) < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn addresses_must_be_proven_in_a_flood_and_a_peer_gets_in_all_the_same() {
    let authority = Authority::new();
    let flooded = Node::start("b", authority.node("b"), echo());

    let mut strangers = Vec::new();
    for packet in first_packets(FLOOD).await {
        let stranger = UdpSocket::bind(loopback()).await.expect("a socket");
        stranger.send_to(&packet, flooded.address).await.expect("sent");
        strangers.push(stranger);
    }
    let mut retried = 0;
    for stranger in &strangers[UNPROVEN..] {
        let mut answer = [0; PACKET_MAX];
        let answered = timeout(Duration::from_secs(2), stranger.recv_from(&mut answer)).await;
        retried += usize::from(answered.is_ok() && is_retry(&answer));
    }
    let peer = Node::start("a", authority.node("a"), echo());
    peer.wants("b", flooded.address);
    let link = soon("a peer in the flood", peer.link("b")).await;

    let given_up = until_given_up(&flooded, UNPROVEN as u64);
    soon("the others' time to be over", given_up).await;

    assert_eq!(retried, FLOOD - UNPROVEN);
    assert!(flooded.refusals.retried() >= (FLOOD - UNPROVEN) as u64);
    drop(link);
    peer.end().await;
    flooded.end().await;
}
