//! Certificates over sessions: renewed for whoever the session is of, in time or a little late, and told why
//! not. And sessions of a run of the program that another took over from.

mod support;

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sinew_api::control::{Farewell, FarewellReason, Register, Renew, Renewed, Report};
use sinew_transport::runtime::Runtime as _;
use sinew_transport::session::{Session, dial_control};
use sinew_transport::tls::Credentials;
use sinew_transport::verify::Refusals;
use sinew_transport_core::wire::Message as _;
use tokio::time::timeout;

use support::node::{Heard, Node, register};
use support::*;

const DAY: i64 = 24 * 3600;

/// A session with nothing said on it yet.
async fn open(controller: &Controller, credentials: &Credentials) -> Session {
    let (world, refusals) = (controller.world(), Arc::new(Refusals::default()));
    dial_control(&world, controller.ports.control, credentials, &refusals).await.expect("a session")
}

/// A new key, and a request for it that asks to be `uri`.
fn request(uri: &str) -> (KeyPair, Renew) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
    let csr = params.serialize_request(&key).expect("a request").der().to_vec();
    (key, Renew { csr })
}

/// The answer, whatever else the controller says before it.
async fn answer(session: &mut Session) -> Renewed {
    loop {
        let frame = timeout(PATIENCE, session.receiver.next()).await.expect("in time").expect("an answer");
        if frame.kind() == Renewed::KIND {
            return frame.decode().expect("well-formed");
        }
    }
}

/// What a node makes of the answer to its request.
fn credentials_of(renewed: Renewed, key: &KeyPair, before: &Credentials) -> Credentials {
    assert_eq!(renewed.refused, "");
    let chain = renewed.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Credentials::new(chain, key, before.root().clone()).expect("usable")
}

#[tokio::test]
async fn a_session_renews_the_certificate_of_its_own_node_whatever_the_request_says() {
    let controller = Controller::start().await;
    let (mut node, before) = Node::up(&controller, "n1", &["orders"], &[]).await;
    controller.runtime.shift_clock(3600);
    let (key, renew) = request("spiffe://mesh.local/controller/c1");

    node.session.sender.send(&renew).await.expect("sent");
    let after = credentials_of(answer(&mut node.session).await, &key, &before);

    assert_eq!(after.identity(), before.identity());
    assert!(after.expiry() >= before.expiry() + 3600);
    assert_eq!(controller.metric("sinew_controller_renewals_total{outcome=\"renewed\"}").await, 1);
    Node::welcomed(&controller, &after, &["orders"], &[]).await;
}

#[tokio::test]
async fn a_renewal_that_is_refused_says_why_and_the_session_goes_on() {
    let controller = Controller::start().await;
    let (mut node, _) = Node::up(&controller, "n1", &["orders"], &[]).await;

    node.session.sender.send(&Renew { csr: vec![7; 9000] }).await.expect("sent");
    let too_long = answer(&mut node.session).await;
    node.session.sender.send(&request("spiffe://mesh.local/node/n1").1).await.expect("sent");
    let too_soon = answer(&mut node.session).await;

    assert!(too_long.chain.is_empty() && too_long.refused.contains("8192 bytes"), "{too_long:?}");
    assert!(too_soon.chain.is_empty() && too_soon.refused.contains("less than 1s ago"), "{too_soon:?}");
    assert_eq!(controller.metric("sinew_controller_renewals_total{outcome=\"bad_request\"}").await, 1);
    assert_eq!(controller.metric("sinew_controller_renewals_total{outcome=\"too_soon\"}").await, 1);
    assert!(controller.status().await.nodes[0].connected);
}

#[tokio::test]
async fn an_expired_certificate_opens_a_session_to_renew_it_and_for_nothing_else() {
    let controller = Controller::start().await;
    let (node, before) = Node::up(&controller, "n1", &["orders"], &[]).await;
    node.close();
    controller.runtime.shift_clock(3 * DAY);

    let mut registers = Node::open(&controller, &before, &register(&["orders"], &[])).await;
    let Some(Heard::Farewell(Farewell { reason, .. })) = registers.hear().await else { panic!("a farewell") };
    let (key, renew) = request("spiffe://mesh.local/node/n1");
    let mut renews = open(&controller, &before).await;
    renews.sender.send(&renew).await.expect("sent");
    let after = credentials_of(answer(&mut renews).await, &key, &before);
    renews.closer().close("renewed");

    assert_eq!(reason, FarewellReason::CertificateExpired);
    Node::welcomed(&controller, &after, &["orders"], &[]).await;
}

#[tokio::test]
async fn a_session_ends_with_the_certificate_that_it_was_made_with() {
    let controller = Controller::start().await;
    let (node, credentials) = Node::up(&controller, "n1", &["orders"], &[]).await;
    node.close();
    let left = credentials.expiry() - controller.runtime.wall_now().as_secs();
    controller.runtime.shift_clock(i64::try_from(left).expect("a day") - 2);

    let mut node = Node::welcomed(&controller, &credentials, &["orders"], &[]).await;

    assert_eq!(node.farewell().await.reason, FarewellReason::CertificateExpired);
}

#[tokio::test]
async fn a_run_that_was_superseded_is_told_so_when_it_comes_back_and_the_newer_stays() {
    let controller = Controller::start().await;
    let (_older, credentials) = Node::up(&controller, "n1", &["orders"], &[]).await;
    let second = Register { boot: 2, ..register(&["orders"], &[]) };
    let mut newer = Node::open(&controller, &credentials, &second).await;
    assert!(matches!(newer.hear().await, Some(Heard::Welcome(_))));

    let mut back = Node::open(&controller, &credentials, &register(&["orders"], &[])).await;
    let farewell = back.farewell().await;

    assert_eq!(farewell.reason, FarewellReason::Superseded);
    assert!(farewell.detail.contains("sinew token create"), "{farewell:?}");
    let status = controller.status().await;
    let local = std::net::Ipv4Addr::LOCALHOST;
    assert_eq!((status.nodes[0].connected, status.nodes[0].copy_at), (true, Some(local.into())));
    newer.snapshot().await;
}

#[tokio::test]
async fn status_shows_how_far_a_nodes_clock_is_from_the_controllers() {
    let controller = Controller::start().await;
    let (mut node, _) = Node::up(&controller, "n1", &[], &[]).await;
    let clock_ms = u64::try_from(controller.runtime.wall_now().as_millis()).expect("some 200 million years");
    let report = Report {
        certificate_expiry: 77,
        certificate_issued: 7,
        clock_ms: clock_ms + 45_000,
        links: vec![],
        endpoints: vec![],
        ext: vec![],
    };

    node.report(&report).await;

    let shown = async {
        loop {
            if let Some(skew) = controller.status().await.nodes[0].clock_skew_ms {
                return skew;
            }
        }
    };
    let skew = timeout(PATIENCE, shown).await.expect("in time");
    assert!((44_000..=45_000).contains(&skew), "{skew} ms");
}
