//! Whom a joiner believes: a controller under the root that its token pins. To anyone else it says nothing.

use std::sync::Arc;

use quinn::ConnectionError;
use rustls::CertificateError;
use sinew_transport::session::{DialError, dial_join};
use sinew_transport::tls::ALPN_JOIN;
use sinew_transport::verify::{Refusal, Refusals, sha256};
use sinew_transport::{OsRuntime, Runtime, SessionListener};
use sinew_transport_core::ids::TrustDomain;

use crate::common::authority::{Authority, Issued};
use crate::common::log::Log;
use crate::common::raw::{self, loopback, soon};
use crate::{Bad, at_a_dialler::end_of_answering, counts, flawed};

const CONTROLLER: &str = "spiffe://mesh.local/controller/c1";

/// A joiner with a token of `authority`.
struct Joiner {
    authority: Authority,
    runtime: Arc<dyn Runtime>,
    refusals: Arc<Refusals>,
    log: Arc<Log>,
}

impl Joiner {
    fn new() -> Self {
        let (log, authority) = (Log::start(), Authority::new());
        Self { authority, runtime: Arc::new(OsRuntime), refusals: Arc::default(), log }
    }

    /// Dials somebody who shows that, and gives up; how that looks at the other end.
    async fn turns_away_from(&self, shown: &Issued, refusal: Refusal) -> (DialError, ConnectionError) {
        let counted = self.refusals.get(refusal);
        let impostor = raw::server(shown, ALPN_JOIN);
        let address = impostor.local_addr().expect("bound");
        let domain = TrustDomain::new("mesh.local").expect("valid");
        let pin = sha256(self.authority.root());

        let dialled = dial_join(&self.runtime, address, &domain, pin, &self.refusals);
        let (dialled, end) = tokio::join!(dialled, end_of_answering(&impostor));

        assert_eq!(self.refusals.get(refusal), counted + 1, "{:?}", counts(&self.refusals));
        // The handshake itself failed: there was never a stream on which a secret could have been sent.
        assert!(matches!(end, ConnectionError::ConnectionClosed(_)), "{end}");
        (dialled.expect_err("nobody to join"), end)
    }

    /// The root of the token is there after all.
    async fn joins(&self) {
        let listener = SessionListener::bind(&self.runtime, loopback(), &self.authority.controller("c1"))
            .expect("a socket");
        let domain = TrustDomain::new("mesh.local").expect("valid");
        let pin = sha256(self.authority.root());
        let dialled = dial_join(&self.runtime, listener.local_addr(), &domain, pin, &self.refusals);
        soon("dialling", dialled).await.expect("the controller of the token");
        listener.close().await;
    }
}

#[tokio::test]
async fn a_controller_with_another_root_than_the_pinned_one_is_refused() {
    let joiner = Joiner::new();
    let other = Authority::new();
    let shown = other.issue_controller("c1").with_root(other.root());

    let (error, end) = joiner.turns_away_from(&shown, Refusal::WrongPin).await;

    let bad = Bad::new("another root", shown, Refusal::WrongPin, "", CertificateError::UnknownIssuer);
    assert!(error.to_string().ends_with(&bad.told.to_string()), "{error}");
    bad.assert_told(&end);
    let line = joiner.log.next("the pin", |line| line.field("reason") == "wrong_pin").await;
    assert_eq!(line.level, tracing::Level::WARN);
    joiner.joins().await;
}

#[tokio::test]
async fn a_controller_that_shows_no_root_is_refused() {
    let joiner = Joiner::new();
    let shown = joiner.authority.issue_controller("c1");

    joiner.turns_away_from(&shown, Refusal::WrongPin).await;

    joiner.joins().await;
}

#[tokio::test]
async fn showing_the_pinned_root_beside_a_bad_certificate_does_not_help() {
    let joiner = Joiner::new();
    let root = joiner.authority.root();

    // Roots are public: anyone can put one behind a certificate of their own making.
    for bad in flawed(&joiner.authority, CONTROLLER) {
        let shown = bad.shown.clone().expect("shown").with_root(root);
        let (_, end) = joiner.turns_away_from(&shown, bad.refusal).await;
        bad.assert_told(&end);
        bad.assert_named(&joiner.log).await;
    }

    joiner.joins().await;
}

#[tokio::test]
async fn a_node_cannot_give_certificates_to_joiners() {
    let joiner = Joiner::new();
    let shown = joiner.authority.issue_node("n1").with_root(joiner.authority.root());

    let (_, end) = joiner.turns_away_from(&shown, Refusal::WrongRole).await;

    let told = CertificateError::ApplicationVerificationFailure;
    let bad = Bad::new("a node", shown, Refusal::WrongRole, "spiffe://mesh.local/node/n1", told);
    bad.assert_told(&end);
    bad.assert_named(&joiner.log).await;
    joiner.joins().await;
}
