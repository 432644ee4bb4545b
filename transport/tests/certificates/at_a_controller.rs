//! Who may open a session with a controller: nodes of the mesh for control, anyone for joining.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError};
use sinew_transport::session::{dial_control, dial_join};
use sinew_transport::tls::{ALPN_CONTROL, ALPN_DATA};
use sinew_transport::verify::{Refusal, Refusals, sha256};
use sinew_transport::{Arrival, OsRuntime, Runtime, SessionListener};
use sinew_transport_core::ids::TrustDomain;
use sinew_transport_core::wire::Ping;

use crate::common::Authority;
use crate::common::log::{Line, Log};
use crate::common::raw::{self, loopback, soon};
use crate::{Bad, flawed};

/// A controller's socket, and what it counts and says.
struct Stage {
    authority: Authority,
    listener: SessionListener,
    log: Arc<Log>,
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(OsRuntime)
}

impl Stage {
    fn set() -> Self {
        let (log, authority) = (Log::start(), Authority::new());
        let listener =
            SessionListener::bind(&runtime(), loopback(), &authority.controller("c1")).expect("a socket");
        Self { authority, listener, log }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.listener.refused().into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// Dials for control with what is bad; it is refused, and a good node has its session afterwards.
    async fn refuses(&self, bad: &Bad) {
        let mut expected = self.counts();
        *expected.entry(bad.refusal.name().to_owned()).or_default() += 1;
        let client = raw::client(bad.shown.as_ref(), ALPN_CONTROL);

        let end = raw::end_of_connecting(&client, self.address()).await;

        bad.assert_told(&end);
        bad.assert_named(&self.log).await;
        self.where_refused(&client, bad.what).await;
        assert_eq!(self.counts(), expected, "{}", bad.what);
        self.takes_a_good_node().await;
    }

    /// The log says where the refused one is.
    async fn where_refused(&self, client: &quinn::Endpoint, what: &str) -> Line {
        let address = client.local_addr().expect("bound").to_string();
        let refused = |line: &Line| line.message == "session refused" && line.field("remote") == address;
        self.log.next(what, refused).await
    }

    async fn takes_a_good_node(&self) {
        let refusals = Arc::default();
        let node = self.authority.node("n1");
        let mut session = soon("dialling", dial_control(&runtime(), self.address(), &node, &refusals))
            .await
            .expect("taken");
        session.sender.send(&Ping { padding: [0; 32] }).await.expect("sent");
        let arrived = soon("the session", self.listener.accept()).await;
        let Some(Arrival::Control(mut at_controller, name)) = arrived else {
            panic!("a control session, not {arrived:?}")
        };
        assert_eq!(name.as_str(), "n1");
        let frame = soon("its frame", at_controller.receiver.next()).await.expect("a frame");
        frame.decode::<Ping>().expect("as sent");
    }
}

#[tokio::test]
async fn a_controller_takes_no_node_whose_certificate_has_a_flaw() {
    let stage = Stage::set();

    for bad in flawed(&stage.authority, "spiffe://mesh.local/node/n1") {
        stage.refuses(&bad).await;
    }

    stage.listener.close().await;
}

#[tokio::test]
async fn a_controller_takes_no_other_controller_for_a_node() {
    let stage = Stage::set();

    let bad = Bad::new(
        "a controller",
        stage.authority.issue_controller("c2"),
        Refusal::WrongRole,
        "spiffe://mesh.local/controller/c2",
        CertificateError::ApplicationVerificationFailure,
    );
    stage.refuses(&bad).await;

    stage.listener.close().await;
}

#[tokio::test]
async fn there_is_no_control_session_without_a_certificate() {
    let stage = Stage::set();
    let client = raw::client(None, ALPN_CONTROL);

    let end = raw::end_of_connecting(&client, stage.address()).await;

    // TLS lets it pass, since joining is done without one: the session itself is refused.
    let ConnectionError::ApplicationClosed(close) = end else { panic!("closed, not: {end}") };
    assert_eq!(close.reason, "a control session needs a node's certificate");
    let line = stage.where_refused(&client, "no certificate").await;
    assert_eq!(line.field("refusal"), Refusal::NoCertificate.name());
    assert_eq!(stage.counts(), [("no_certificate".to_owned(), 1)].into());
    stage.takes_a_good_node().await;
    stage.listener.close().await;
}

#[tokio::test]
async fn whoever_comes_to_join_with_a_certificate_must_have_a_good_one() {
    let stage = Stage::set();
    let other = Authority::new().issue_node("n1");
    let client = raw::client(Some(&other), sinew_transport::tls::ALPN_JOIN);

    let end = raw::end_of_connecting(&client, stage.address()).await;

    let unknown = CertificateError::UnknownIssuer;
    Bad::new("to join", other, Refusal::UnknownIssuer, "", unknown).assert_told(&end);
    stage.where_refused(&client, "to join").await;
    assert_eq!(stage.counts(), [("unknown_issuer".to_owned(), 1)].into());
    stage.takes_a_good_node().await;
    stage.listener.close().await;
}

#[tokio::test]
async fn a_controller_speaks_no_protocol_of_the_data_plane() {
    let stage = Stage::set();
    let good = stage.authority.issue_node("n1");
    let client = raw::client(Some(&good), ALPN_DATA);

    let end = raw::end_of_connecting(&client, stage.address()).await;

    let ConnectionError::ConnectionClosed(close) = end else { panic!("closed, not: {end}") };
    let alert = 0x100 + u64::from(u8::from(AlertDescription::NoApplicationProtocol));
    assert_eq!(u64::from(close.error_code), alert, "{close}");
    stage.where_refused(&client, "the protocol").await;
    assert_eq!(stage.counts(), [("protocol".to_owned(), 1)].into());
    stage.takes_a_good_node().await;
    stage.listener.close().await;
}

#[tokio::test]
async fn somebody_without_a_certificate_arrives_only_to_join() {
    let stage = Stage::set();
    let (domain, pin) = (TrustDomain::new("mesh.local").expect("valid"), sha256(stage.authority.root()));
    let refusals: Arc<Refusals> = Arc::default();

    let runtime = runtime();
    let dialled = dial_join(&runtime, stage.address(), &domain, pin, &refusals);
    let mut session = soon("dialling", dialled).await.expect("the pinned root is shown");
    session.sender.send(&Ping { padding: [0; 32] }).await.expect("sent");

    let arrived = soon("the arrival", stage.listener.accept()).await;
    assert!(matches!(arrived, Some(Arrival::Join(_))), "{arrived:?}");
    assert_eq!((crate::counts(&refusals), stage.counts()), (BTreeMap::new(), BTreeMap::new()));
    stage.listener.close().await;
}
