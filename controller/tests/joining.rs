//! Stories of joining, over real sockets: who gets a certificate, who does not, and what each is told.

mod support;

use sinew_api::Secret;
use sinew_api::join::{JoinAnswer, MAX_CSR_LEN};
use sinew_transport::session::{DialError, dial_control};
use sinew_transport::verify::{Refusal, Refusals};
use sinew_transport_core::identity::Identity;
use std::sync::Arc;
use support::Controller;
use support::node::{self, Node, join};
use tokio::time::timeout;

fn joins(outcome: &str) -> String {
    format!("sinew_controller_joins_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn a_token_gives_a_certificate_for_the_node_that_it_names() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;

    let credentials = join(&controller, &token).await.expect("joined");

    let Identity::Node(domain, name) = credentials.identity() else { panic!("{credentials:?}") };
    assert_eq!((domain.as_str(), name.as_str()), ("mesh.local", "n1"));
    controller.metric_becomes(&joins("granted"), 1).await;
    assert_eq!(controller.metric("sinew_controller_certificates_issued_total").await, 1);
    assert_eq!(controller.metric("sinew_controller_tokens_outstanding").await, 0);
}

#[tokio::test]
async fn a_reused_token_is_refused_and_counted() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;
    join(&controller, &token).await.expect("joined");

    let again = join(&controller, &token).await.expect_err("used");

    assert_eq!(again, JoinAnswer::Refused);
    controller.metric_becomes(&joins("used"), 1).await;
}

#[tokio::test]
async fn a_token_that_is_used_twice_at_once_joins_once() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;

    let (one, other) = tokio::join!(join(&controller, &token), join(&controller, &token));

    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn an_expired_token_is_refused_and_counted() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;
    controller.runtime.shift_clock(900);

    let late = join(&controller, &token).await.expect_err("expired");

    assert_eq!(late, JoinAnswer::Refused);
    controller.metric_becomes(&joins("expired"), 1).await;
}

#[tokio::test]
async fn a_made_up_token_is_refused_in_the_same_words() {
    let controller = Controller::start().await;
    let mut token = controller.token("n1", &["web"]).await;
    token.secret = Secret::new("0".repeat(64));

    let refused = join(&controller, &token).await.expect_err("unknown");

    assert_eq!(refused, JoinAnswer::Refused, "whoever guesses learns nothing");
    controller.metric_becomes(&joins("unknown"), 1).await;
}

#[tokio::test]
async fn a_token_of_another_mesh_is_refused_by_both_sides() {
    let (controller, other) = (Controller::start().await, Controller::start().await);
    let foreign = other.token("n1", &["web"]).await;

    // As carried, its pin does not fit; with the pin corrected, its secret is not known.
    let by_pin = node::dial(&controller, &foreign).await;
    let root_pin = controller.token("n2", &["web"]).await.root_pin;
    let by_secret = join(&controller, &sinew_api::join::Token { root_pin, ..foreign }).await;

    assert!(matches!(by_pin, Err(DialError::Refused { .. })), "{by_pin:?}");
    assert_eq!(by_secret.expect_err("unknown"), JoinAnswer::Refused);
    controller.metric_becomes(&joins("unknown"), 1).await;
}

#[tokio::test]
async fn a_joiner_refuses_a_controller_whose_root_is_not_the_pinned_one() {
    let controller = Controller::start().await;
    let mut token = controller.token("n1", &["web"]).await;
    token.root_pin[0] ^= 1;
    let refusals = Arc::new(Refusals::default());

    let dialled = sinew_transport::session::dial_join(
        &controller.world(),
        controller.ports.control,
        &token.trust_domain,
        token.root_pin,
        &refusals,
    )
    .await;

    assert!(matches!(dialled, Err(DialError::Refused { .. })), "{dialled:?}");
    assert_eq!(refusals.get(Refusal::WrongPin), 1);
    assert_eq!(
        controller.metric("sinew_controller_tokens_outstanding").await,
        1,
        "the token was never shown"
    );
}

#[tokio::test]
async fn a_bad_certificate_request_is_told_and_costs_no_token() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;

    let junk = node::join_with(&controller, &token, b"hello".to_vec()).await;
    let long = node::join_with(&controller, &token, vec![0; MAX_CSR_LEN + 1]).await;
    let good = join(&controller, &token).await;

    assert!(matches!(&junk, JoinAnswer::BadRequest(why) if why.contains("PKCS #10")), "{junk:?}");
    assert!(matches!(&long, JoinAnswer::BadRequest(why) if why.contains("longer")), "{long:?}");
    assert!(good.is_ok());
    controller.metric_becomes(&joins("bad_request"), 2).await;
}

#[tokio::test]
async fn a_bad_request_without_a_good_token_is_told_nothing() {
    let controller = Controller::start().await;
    let mut token = controller.token("n1", &["web"]).await;
    token.secret = Secret::new("0".repeat(64));

    let refused = node::join_with(&controller, &token, b"hello".to_vec()).await;

    assert_eq!(refused, JoinAnswer::Refused);
}

#[tokio::test]
async fn what_is_no_join_request_is_refused_and_the_next_join_works() {
    let controller = Controller::start().await;
    let token = controller.token("n1", &["web"]).await;
    let mut session = node::dial(&controller, &token).await.expect("dialled");

    session.sender.send(&node::register(&[], &[])).await.expect("sent");
    let frame =
        timeout(support::PATIENCE, session.receiver.next()).await.expect("in time").expect("an answer");

    assert_eq!(frame.decode::<JoinAnswer>(), Ok(JoinAnswer::Refused));
    controller.metric_becomes(&joins("malformed"), 1).await;
    assert!(join(&controller, &token).await.is_ok());
}

#[tokio::test]
async fn joining_again_with_a_fresh_token_replaces_what_the_node_may_do() {
    let controller = Controller::start().await;
    let (first, _) = Node::up(&controller, "n1", &["orders"], &[]).await;
    first.close();
    let narrower = controller.token("n1", &["web"]).await;

    let credentials = join(&controller, &narrower).await.expect("joined again");
    let mut refused = Node::open(&controller, &credentials, &node::register(&["orders"], &[])).await;

    let farewell = refused.farewell().await;
    assert!(farewell.detail.contains("serve `orders`: not granted"), "{farewell:?}");
}

#[tokio::test]
async fn a_node_can_not_pose_as_the_controller() {
    let controller = Controller::start().await;
    let (_, credentials) = Node::up(&controller, "n1", &[], &[]).await;
    // A node's certificate on a controller's socket.
    let impostor = sinew_transport::session::SessionListener::bind(
        &controller.world(),
        "127.0.0.1:0".parse().expect("valid"),
        &credentials,
    )
    .expect("bound");
    let refusals = Arc::new(Refusals::default());

    let dialled = dial_control(&controller.world(), impostor.local_addr(), &credentials, &refusals).await;

    assert!(matches!(dialled, Err(DialError::Refused { .. })), "{dialled:?}");
    assert_eq!(refusals.get(Refusal::WrongRole), 1);
}

#[tokio::test]
async fn a_certificate_that_expired_longer_ago_than_the_grace_opens_no_session() {
    let controller = Controller::start().await;
    let (node, credentials) = Node::up(&controller, "n1", &[], &[]).await;
    node.close();
    controller.runtime.shift_clock(8 * 24 * 3600 + 60);
    let real: Arc<dyn sinew_transport::runtime::Runtime> = Arc::new(sinew_transport::OsRuntime);
    let refusals = Arc::new(Refusals::default());

    // The node's own clock is late, so it shows the certificate, and learns of the refusal afterwards.
    let mut session = dial_control(&real, controller.ports.control, &credentials, &refusals).await;
    if let Ok(session) = &mut session {
        let _ = session.sender.send(&node::register(&[], &[])).await;
        assert!(session.receiver.next().await.is_err());
    }

    controller.metric_becomes("sinew_controller_refused_total{reason=\"expired\"}", 1).await;
    assert_eq!(controller.metric("sinew_controller_sessions").await, 0);
}
