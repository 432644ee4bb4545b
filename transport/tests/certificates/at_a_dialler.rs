//! Whom a node believes when it dials: exactly the peer that it set out to reach, or a controller.

use std::sync::Arc;

use quinn::{ConnectionError, Endpoint};
use rustls::CertificateError;
use sinew_transport::session::{DialError, dial_control};
use sinew_transport::tls::{ALPN_CONTROL, ALPN_DATA};
use sinew_transport::verify::{Refusal, Refusals};
use sinew_transport::{OsRuntime, Runtime, SessionListener};
use tokio::task::JoinSet;

use crate::common::log::{Line, Log};
use crate::common::raw::{self, loopback, soon};
use crate::common::{Authority, Node, echo};
use crate::{Bad, counts, flawed};

const NOT_ACCEPTED: CertificateError = CertificateError::ApplicationVerificationFailure;

/// How the next connection that somebody opens ends, at the end that answers.
pub(crate) async fn end_of_answering(server: &Endpoint) -> ConnectionError {
    let incoming = soon("being dialled", server.accept()).await.expect("the socket is open");
    match soon("a handshake", incoming.into_future()).await {
        Ok(connection) => soon("being refused", connection.closed()).await,
        Err(error) => error,
    }
}

/// Node `a` dials `b`, and somebody shows what is bad there; then `b` is found where it is. Leaves the
/// nodes to `ends`: a node that ends waits a moment for connections that were just refused.
async fn a_peer_is_not_taken_for(authority: &Authority, bad: &Bad, ends: &mut JoinSet<()>) {
    let log = Log::start();
    let a = Node::start("a", authority.node("a"), echo());
    let b = Node::start("b", authority.node("b"), echo());
    let impostor = raw::server(bad.shown.as_ref().expect("shown"), ALPN_DATA);
    let there = impostor.local_addr().expect("bound");

    a.wants("b", there);
    let end = end_of_answering(&impostor).await;

    bad.assert_told(&end);
    bad.assert_named(&log).await;
    // Nodes of the case before may be ending meanwhile, and miss each other.
    let here =
        |line: &Line| line.message == "peer can't be reached" && line.field("address") == there.to_string();
    assert_eq!(log.next(bad.what, here).await.field("peer"), "b");
    // It is dialled again and again, so there may be more than one by now.
    let counted = counts(&a.refusals);
    assert_eq!(counted.keys().collect::<Vec<_>>(), [&bad.refusal.name()], "{}", bad.what);
    assert!(a.peers.get(&crate::common::node_name("b")).is_some_and(|b| !b.usable()), "{}", bad.what);

    a.wants("b", b.address);
    soon("the true one", a.link("b")).await;
    ends.spawn(a.end());
    ends.spawn(b.end());
}

#[tokio::test]
async fn nobody_whose_certificate_has_a_flaw_is_taken_for_a_peer() {
    let (authority, mut ends) = (Authority::new(), JoinSet::new());

    for bad in flawed(&authority, "spiffe://mesh.local/node/b") {
        a_peer_is_not_taken_for(&authority, &bad, &mut ends).await;
    }

    ends.join_all().await;
}

#[tokio::test]
async fn a_controller_is_not_taken_for_a_peer() {
    let (authority, mut ends) = (Authority::new(), JoinSet::new());
    let controller = "spiffe://mesh.local/controller/b";

    let shown = authority.issue_controller("b");
    let bad = Bad::new("a controller", shown, Refusal::WrongRole, controller, NOT_ACCEPTED);

    a_peer_is_not_taken_for(&authority, &bad, &mut ends).await;

    ends.join_all().await;
}

#[tokio::test]
async fn a_valid_node_at_another_nodes_address_is_not_taken_for_it() {
    let (log, authority) = (Log::start(), Authority::new());
    let a = Node::start("a", authority.node("a"), echo());
    let c = Node::start("c", authority.node("c"), echo());

    a.wants("b", c.address);

    let line = log.next("the wrong node", |line| line.message == "certificate refused").await;
    assert_eq!(
        (line.field("reason"), line.field("shown")),
        (Refusal::WrongIdentity.name(), "spiffe://mesh.local/node/c")
    );
    assert!(line.field("expected").contains("NodeName(b)"), "{line:?}");
    // The node that answered learns that it was not accepted, and not for whom it was taken.
    let told = log.next("being refused", |line| line.message == "data connection refused").await;
    let reason = rustls::Error::from(NOT_ACCEPTED).to_string();
    assert!(told.field("reason").ends_with(&format!("error 49: {reason}")), "{told:?}");
    assert_eq!(counts(&a.refusals).keys().collect::<Vec<_>>(), [&"wrong_identity"]);
    assert!(c.refusals.get(Refusal::Other) >= 1);

    // Under its own name it is as good as any.
    a.wants("c", c.address);
    soon("the same address", a.link("c")).await;
    a.end().await;
    c.end().await;
}

#[tokio::test]
async fn nobody_is_taken_for_a_controller_but_a_controller() {
    let (log, authority) = (Log::start(), Authority::new());
    let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
    let (node, refusals) = (authority.node("n1"), Arc::new(Refusals::default()));
    let mut all = flawed(&authority, "spiffe://mesh.local/controller/c1");
    all.push(Bad::new(
        "a node",
        authority.issue_node("n2"),
        Refusal::WrongRole,
        "spiffe://mesh.local/node/n2",
        NOT_ACCEPTED,
    ));

    for bad in all {
        let counted = refusals.get(bad.refusal);
        let impostor = raw::server(bad.shown.as_ref().expect("shown"), ALPN_CONTROL);
        let there = impostor.local_addr().expect("bound");

        let (dialled, end) =
            tokio::join!(dial_control(&runtime, there, &node, &refusals), end_of_answering(&impostor));

        let Err(DialError::Refused { address, reason }) = dialled else {
            panic!("{}: {dialled:?}", bad.what)
        };
        assert_eq!(address, there);
        assert!(reason.ends_with(&bad.told.to_string()), "{}: {reason}", bad.what);
        bad.assert_told(&end);
        bad.assert_named(&log).await;
        assert_eq!(refusals.get(bad.refusal), counted + 1, "{}", bad.what);
    }

    let listener =
        SessionListener::bind(&runtime, loopback(), &authority.controller("c1")).expect("a socket");
    let address = listener.local_addr();
    soon("dialling", dial_control(&runtime, address, &node, &refusals)).await.expect("a controller");
    listener.close().await;
}
