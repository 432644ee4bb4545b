//! A mesh's authority and shards on loopback, for stories about the transport alone.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "stories in the real world; each uses a part of this"
)]

pub(crate) mod authority;
pub(crate) mod log;
pub(crate) mod raw;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_transport::link::Stream;
use sinew_transport::verify::Refusals;
use sinew_transport::{
    BoxFuture, Common, Credentials, Keyring, Link, OsRuntime, Peers, ResetKeys, Runtime, Shard,
    StreamHandler, Target, Trust,
};
use sinew_transport_core::ids::{NodeName, Revision};
use tokio_util::sync::CancellationToken;

pub(crate) use authority::Authority;
pub(crate) use raw::loopback;

/// One node of one shard.
pub(crate) struct Node {
    pub(crate) peers: Arc<Peers>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(name: &str, credentials: Credentials, handler: Arc<dyn StreamHandler>) -> Self {
        let peers = Arc::new(Peers::new(node_name(name)));
        let refusals = Arc::new(Refusals::default());
        let stop = CancellationToken::new();
        let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
        let keys = ResetKeys::random();
        let common = Common {
            runtime,
            keyring: Arc::new(Keyring::new(credentials)),
            trust: Arc::new(Trust::strict()),
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
    pub(crate) fn wants(&self, peer: &str, address: SocketAddr) {
        let target = Target { addresses: vec![address], wanted: true };
        self.peers.set(Revision(1), [(node_name(peer), target)]);
    }

    /// Waits until `peer` is up.
    pub(crate) async fn link(&self, peer: &str) -> Arc<Link> {
        let mut news = self.peers.news();
        loop {
            news.borrow_and_update();
            if let Some(link) = self.peers.get(&node_name(peer)).and_then(|p| p.link_for(0)) {
                return link;
            }
            news.changed().await.expect("the table lives");
        }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("no panic");
    }
}

pub(crate) fn node_name(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

/// Handles streams by a function.
pub(crate) struct Handle<F>(pub(crate) F);

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
pub(crate) fn echo() -> Arc<dyn StreamHandler> {
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
