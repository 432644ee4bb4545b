//! QUIC ends without any of our checks, so that they can misbehave: they show whatever they are given,
//! believe anyone, and write any bytes.
//!
//! The node's tests use this file too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, SignatureScheme};
use sinew_transport_core::ids::Revision;
use sinew_transport_core::wire::{self, HEAD_LEN, Head, Hello, Message};
use tokio::time::timeout;

use super::authority::Issued;

/// How long anything may take before a story is called stuck.
const STUCK: Duration = Duration::from_secs(15);

/// What a future yields, unless the story is stuck in it.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(STUCK, future).await.unwrap_or_else(|_| panic!("stuck: {what}"))
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("valid")
}

/// Who dials with that certificate and protocol.
pub(crate) fn client(shown: Option<&Issued>, alpn: &[u8]) -> Endpoint {
    let provider = sinew_transport::provider();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelievesAnyone));
    let mut tls = match shown {
        Some(issued) => builder.with_client_cert_resolver(Arc::new(Shows::new(issued))),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = QuicClientConfig::try_from(tls).expect("AES-128-GCM is there");
    let mut endpoint = Endpoint::client(loopback()).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

/// Who answers with that certificate and protocol. It asks nobody for theirs.
pub(crate) fn server(shown: &Issued, alpn: &[u8]) -> Endpoint {
    let mut tls = rustls::ServerConfig::builder_with_provider(sinew_transport::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows::new(shown)));
    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = QuicServerConfig::try_from(tls).expect("AES-128-GCM is there");
    Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(tls)), loopback()).expect("a socket")
}

pub(crate) async fn connect(endpoint: &Endpoint, address: SocketAddr) -> Result<Connection, ConnectionError> {
    soon("connecting", endpoint.connect(address, "sinew").expect("a valid address")).await
}

/// Connects, and tells how that ended. A TLS 1.3 client believes that it is connected before the other end
/// has looked at its certificate, so the end may come after the beginning.
pub(crate) async fn end_of_connecting(endpoint: &Endpoint, address: SocketAddr) -> ConnectionError {
    match connect(endpoint, address).await {
        Ok(connection) => soon("being refused", connection.closed()).await,
        Err(error) => error,
    }
}

/// The greeting of a node that has restarted never.
pub(crate) fn hello() -> Hello {
    Hello {
        version: "0.0.0".into(),
        build: String::new(),
        boot: 1,
        lane: 0,
        capabilities: vec![],
        revision: Revision(0),
        ext: vec![],
    }
}

/// Greets: the connection's first stream, and what the other end said on it.
pub(crate) async fn greet(connection: &Connection) -> (SendStream, RecvStream, Hello) {
    let (mut send, mut receive) = soon("the first stream", connection.open_bi()).await.expect("opened");
    write(&mut send, &wire::encode(&hello())).await;
    let theirs = read_frame(&mut receive).await;
    (send, receive, theirs)
}

pub(crate) async fn write(send: &mut SendStream, bytes: &[u8]) {
    soon("writing", send.write_all(bytes)).await.expect("written");
}

/// The next frame, which must be an `M`.
pub(crate) async fn read_frame<M: Message>(receive: &mut RecvStream) -> M {
    let (head, payload) = read_any(receive).await;
    assert_eq!(head.kind, M::KIND, "another frame is due");
    wire::decode(&payload).expect("well-formed")
}

/// The next frame, whatever it is.
pub(crate) async fn read_any(receive: &mut RecvStream) -> (Head, Vec<u8>) {
    let mut head = [0; HEAD_LEN];
    soon("a frame's head", receive.read_exact(&mut head)).await.expect("a frame");
    let head = Head::parse(head);
    let mut payload = vec![0; head.len as usize];
    soon("a frame's payload", receive.read_exact(&mut payload)).await.expect("a whole frame");
    (head, payload)
}

/// Shows one certificate to everybody, whether the key belongs to it or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl Shows {
    fn new(issued: &Issued) -> Self {
        let provider = sinew_transport::provider();
        let key = provider.key_provider.load_private_key(issued.private_key()).expect("a key");
        Self(Arc::new(CertifiedKey::new(issued.chain.clone(), key)))
    }
}

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Shows {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct BelievesAnyone;

impl ServerCertVerifier for BelievesAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC speaks TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        sinew_transport::provider().signature_verification_algorithms.supported_schemes()
    }
}
