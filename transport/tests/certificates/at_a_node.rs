//! Who may open a data connection: nodes of the mesh.

use std::sync::Arc;

use quinn::ConnectionError;
use rustls::{AlertDescription, CertificateError};
use sinew_transport::tls::{ALPN_CONTROL, ALPN_DATA};
use sinew_transport::verify::Refusal;

use crate::common::authority::{Authority, Issued};
use crate::common::log::Log;
use crate::common::raw::{self, soon};
use crate::common::{Node, echo};
use crate::{Bad, counts, flawed};

/// A node, and what it counts and says.
struct Stage {
    authority: Authority,
    node: Node,
    log: Arc<Log>,
}

impl Stage {
    fn set() -> Self {
        let (log, authority) = (Log::start(), Authority::new());
        let node = Node::start("b", authority.node("b"), echo());
        Self { authority, node, log }
    }

    /// Dials with what is bad; it is refused, and a good node is served by the same socket afterwards.
    async fn refuses(&self, bad: &Bad) {
        let counted = self.node.refusals.get(bad.refusal);
        let all: u64 = self.node.refusals.all().map(|(_, n)| n).sum();
        let client = raw::client(bad.shown.as_ref(), ALPN_DATA);

        let end = raw::end_of_connecting(&client, self.node.address).await;

        bad.assert_told(&end);
        if bad.shown.is_some() {
            bad.assert_named(&self.log).await;
        }
        self.assert_where(&client, bad.what).await;
        assert_eq!(self.node.refusals.get(bad.refusal), counted + 1, "{}", bad.what);
        assert_eq!(
            self.node.refusals.all().map(|(_, n)| n).sum::<u64>(),
            all + 1,
            "{}: counted once",
            bad.what
        );
        self.serves(&self.authority.issue_node("a")).await;
    }

    /// The log says where the refused one is.
    async fn assert_where(&self, client: &quinn::Endpoint, what: &str) {
        let address = client.local_addr().expect("bound").to_string();
        let refused = |line: &crate::common::log::Line| {
            line.message == "data connection refused" && line.field("remote") == address
        };
        self.log.next(what, refused).await;
    }

    /// A node with that certificate is greeted, and its stream answered.
    async fn serves(&self, shown: &Issued) {
        let client = raw::client(Some(shown), ALPN_DATA);
        let connection = raw::connect(&client, self.node.address).await.expect("let in");
        let _greeting = raw::greet(&connection).await;

        let (mut send, mut receive) = soon("a stream", connection.open_bi()).await.expect("opened");
        raw::write(&mut send, b"hello").await;
        send.finish().expect("open until here");

        assert_eq!(soon("the echo", receive.read_to_end(100)).await.expect("a clean end"), b"hello");
    }
}

#[tokio::test]
async fn a_node_lets_in_no_node_whose_certificate_has_a_flaw() {
    let stage = Stage::set();

    for bad in flawed(&stage.authority, "spiffe://mesh.local/node/a") {
        stage.refuses(&bad).await;
    }

    stage.node.end().await;
}

#[tokio::test]
async fn a_node_lets_in_nobody_without_a_certificate() {
    let stage = Stage::set();

    let bad = Bad {
        what: "nothing shown",
        shown: None,
        refusal: Refusal::NoCertificate,
        named: String::new(),
        alert: AlertDescription::CertificateRequired,
        told: rustls::Error::NoCertificatesPresented,
    };
    stage.refuses(&bad).await;

    stage.node.end().await;
}

#[tokio::test]
async fn a_controllers_certificate_opens_no_data_connection() {
    let stage = Stage::set();

    let bad = Bad::new(
        "a controller",
        stage.authority.issue_controller("c1"),
        Refusal::WrongRole,
        "spiffe://mesh.local/controller/c1",
        CertificateError::ApplicationVerificationFailure,
    );
    stage.refuses(&bad).await;

    stage.node.end().await;
}

#[tokio::test]
async fn a_node_speaks_no_protocol_but_its_own() {
    let stage = Stage::set();
    let good = stage.authority.issue_node("a");

    let client = raw::client(Some(&good), ALPN_CONTROL);
    let end = raw::end_of_connecting(&client, stage.node.address).await;

    let ConnectionError::ConnectionClosed(close) = end else { panic!("closed, not: {end}") };
    let alert = 0x100 + u64::from(u8::from(AlertDescription::NoApplicationProtocol));
    assert_eq!(u64::from(close.error_code), alert, "{close}");
    stage.assert_where(&client, "the protocol").await;
    assert_eq!(counts(&stage.node.refusals), [("protocol", 1)].into());
    stage.serves(&good).await;
    stage.node.end().await;
}
