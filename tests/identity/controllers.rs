//! Several addresses of controllers, of which some are dead: nodes find the one that lives without waiting for
//! the others, when they join, and when the controller moves.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Mesh, NodePlan, until};

/// Within this a node must have found the address that lives: a handshake with a dead one alone takes 5 s.
const SOON: Duration = Duration::from_secs(4);

/// An address at which nobody answers, and nobody else will.
fn dead() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_first_controllers_are_dead_comes_up_by_the_next() {
    let ((_one, first), (_other, second)) = (dead(), dead());
    let mut mesh = Mesh::start().await;
    let live = mesh.controller_address();
    let controllers = format!("[\"{first}\", \"{second}\", \"{live}\"]");

    mesh.add(NodePlan::new("n1").grant("web").set("controllers", &controllers)).await;
    for _ in 0..3 {
        mesh.stop("n1").await;
        let began = Instant::now();
        mesh.restart("n1").await;
        assert!(began.elapsed() < SOON, "{:?}\n{}", began.elapsed(), mesh.log("n1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_names_several_addresses_and_the_dead_ones_hold_up_nobody_who_joins() {
    let (_socket, dead) = dead();
    let mut mesh = Mesh::start().await;
    let live = mesh.controller_address();
    mesh.kill_controller().await;
    mesh.move_controller(live, &format!("advertise = [\"{dead}\", \"{live}\"]"));
    mesh.start_controller().await;

    mesh.add(NodePlan::new("n1").grant("web")).await;

    mesh.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_moves_is_followed_to_its_other_address() {
    let mut mesh = Mesh::start().await;
    let here = mesh.controller_address();
    let (socket, there) = dead();
    // By name: what the configuration says is resolved at every attempt.
    let controllers = format!("[\"localhost:{}\", \"{there}\"]", here.port());
    mesh.add(NodePlan::new("n1").grant("web").set("controllers", &controllers)).await;
    mesh.settled().await;

    mesh.kill_controller().await;
    drop(socket);
    mesh.move_controller(there, "");
    mesh.start_controller().await;

    let followed = until("the node to follow", || async {
        let log = mesh.log("n1");
        let up = format!("\"control session up\",\"controller\":\"{there}\"");
        if log.contains(&up) { Ok(()) } else { Err(log) }
    });
    followed.await.unwrap();
    mesh.settled().await;
}
