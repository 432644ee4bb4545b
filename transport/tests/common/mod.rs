//! A mesh's authority and shards on loopback, for stories about the transport alone.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "stories in the real world; each uses a part of this"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use sinew_transport::link::Stream;
use sinew_transport::verify::Refusals;
use sinew_transport::{
    BoxFuture, Common, Credentials, Link, OsRuntime, Peers, ResetKeys, Runtime, Shard, StreamHandler, Target,
};
use sinew_transport_core::ids::{NodeName, Revision};
use tokio_util::sync::CancellationToken;

/// An authority of its own; certificates of two of them do not chain to each other.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

/// What a certificate says, when it is not simply right.
pub struct Leaf<'a> {
    pub uris: &'a [&'a str],
    /// From now, in days.
    pub days: (i64, i64),
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        Self { issuer: Issuer::new(params, key), root }
    }

    pub fn credentials(&self, leaf: &Leaf<'_>) -> Credentials {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            leaf.uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))).collect();
        let unix = i64::try_from(OsRuntime.wall_now().as_secs()).expect("now");
        let day =
            |days: i64| time::OffsetDateTime::from_unix_timestamp(unix + days * 86_400).expect("a date");
        params.not_before = day(leaf.days.0);
        params.not_after = day(leaf.days.1);
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Credentials::new(vec![cert.der().clone()], key, self.root.der().clone()).expect("credentials")
    }

    pub fn node(&self, name: &str) -> Credentials {
        self.credentials(&Leaf { uris: &[&format!("spiffe://mesh.local/node/{name}")], days: (-1, 1) })
    }

    pub fn controller(&self, name: &str) -> Credentials {
        self.credentials(&Leaf { uris: &[&format!("spiffe://mesh.local/controller/{name}")], days: (-1, 1) })
    }
}

/// One node of one shard.
pub struct Node {
    pub peers: Arc<Peers>,
    pub refusals: Arc<Refusals>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Node {
    pub fn start(name: &str, credentials: Credentials, handler: Arc<dyn StreamHandler>) -> Self {
        let peers = Arc::new(Peers::new(node_name(name)));
        let refusals = Arc::new(Refusals::default());
        let stop = CancellationToken::new();
        let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
        let keys = ResetKeys::random();
        let common = Common {
            runtime,
            credentials,
            boot: keys.connection_id,
            keys,
            peers: Arc::clone(&peers),
            refusals: Arc::clone(&refusals),
            dead_after: Duration::from_secs(10),
            suspicion: true,
        };
        let shard = Shard::bind(0, loopback(), common, stop.clone()).expect("a shard");
        let address = shard.local_addr().expect("bound");
        let running = tokio::spawn(shard.run(handler));
        Self { peers, refusals, address, stop, running }
    }

    /// Makes `peer` somebody whom this node calls.
    pub fn wants(&self, peer: &str, address: SocketAddr) {
        let target = Target { addresses: vec![address], wanted: true };
        self.peers.set(Revision(1), [(node_name(peer), target)]);
    }

    /// Waits until `peer` is up.
    pub async fn link(&self, peer: &str) -> Arc<Link> {
        let mut news = self.peers.news();
        loop {
            news.borrow_and_update();
            if let Some(link) = self.peers.get(&node_name(peer)).and_then(|p| p.link_for(0)) {
                return link;
            }
            news.changed().await.expect("the table lives");
        }
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("no panic");
    }
}

pub fn node_name(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("valid")
}

/// Handles streams by a function.
pub struct Handle<F>(pub F);

impl<F, R> StreamHandler for Handle<F>
where
    F: Fn(Stream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn handle(&self, stream: Stream) -> BoxFuture<'static, ()> {
        Box::pin((self.0)(stream))
    }
}

/// Sends everything back, then ends cleanly.
pub fn echo() -> Arc<dyn StreamHandler> {
    Arc::new(Handle(|mut stream: Stream| async move {
        let mut pieces = [const { bytes::Bytes::new() }; 16];
        while let Ok(Some(count)) = stream.receive.read(&mut pieces).await {
            for piece in &mut pieces[..count] {
                if stream.send.write(std::mem::take(piece)).await.is_err() {
                    return;
                }
            }
        }
        stream.send.finish();
        let _ = stream.send.delivered().await;
    }))
}
