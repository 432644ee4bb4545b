//! What silence proves: nothing. A node hears its caller and is not heard, then dies.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::requests::{Ledger, Manner, Requests};
use crate::support::{Mesh, PATIENCE};
use crate::wire::Wire;
use crate::{caller, serving};

/// More than the second within which a peer must have been heard for payload to ride with the preamble.
const FRESH_FOR: Duration = Duration::from_millis(1200);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_acceptance_was_lost_is_not_sent_to_another() {
    let ledger = Ledger::default();
    let (mut mesh, wire) = mesh(&ledger).await;
    ask(&mesh, &ledger).ended().await;
    let before = ledger.len();

    wire.deafen_callers();
    let requests = ask(&mesh, &ledger);
    timeout(PATIENCE, ledger.delivered("n1", before)).await.expect("some come to n1");
    mesh.kill("n1").await;

    for request in requests.ended().await {
        let by_the_living = request.answer.as_deref() == Ok("n2");
        assert!(by_the_living || request.answer.is_err(), "{request:?}");
    }
    assert!(ledger.doubles().is_empty(), "{:?}", ledger.doubles());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_to_be_accepted_by_a_peer_that_was_not_heard_for_a_second() {
    let ledger = Ledger::default();
    let (mesh, wire) = mesh(&ledger).await;
    // A link that was never used is asked for a sign of life every five seconds only.
    sleep(FRESH_FOR).await;

    wire.deafen_callers();
    let requests = ask(&mesh, &ledger).ended().await;

    assert!(ledger.accepted("n1") > 0, "no request came to n1");
    assert_eq!(ledger.read_at("n1"), 0, "n1 has read what it should not have");
    for request in requests {
        assert_eq!(request.answer.as_deref(), Ok("n2"), "{request:?}");
    }
}

/// Sixteen requests at once: some go to either.
fn ask(mesh: &Mesh, ledger: &Ledger) -> Requests {
    let mut requests = Requests::new(ledger, fastrand::Rng::new());
    requests.send(mesh, &[Manner::Eager; 16]);
    requests
}

/// n1 at the end of a wire, n2, and a caller that has used both.
async fn mesh(ledger: &Ledger) -> (Mesh, Wire) {
    let mut mesh = Mesh::start().await;
    mesh.add(Wire::wired(serving(ledger, "n1").await)).await;
    let wire = Wire::lay(mesh.ports("n1").data[0]).await;
    mesh.add(serving(ledger, "n2").await).await;
    // By latency, the one at the end of the wire would be picked less.
    mesh.add(caller().without("latency")).await;
    mesh.settled().await;
    (mesh, wire)
}
