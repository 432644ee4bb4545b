//! The greeting: a connection is up when each end has the other's Hello.
//!
//! A TLS 1.3 client believes that it is connected before the server has looked at its certificate; only
//! the Hello proves otherwise. Certificates are checked by then; here it is checked that the protocol is
//! ours and the peer a node.

use std::net::SocketAddr;
use std::sync::Arc;

use sinew_transport_core::identity::Identity;
use sinew_transport_core::wire::{self, Echo, Echoed, Hello, Malformed, Message, Ping};

use crate::link::Link;
use crate::peers::Peer;
use crate::session::{alpn_of, peer_identity, refusal_of};
use crate::shard::Shard;
use crate::stream::{RecvStream, SendStream, StreamError};
use crate::tell::{StreamHandler, TELL_MAX};
use crate::tls::{self, ALPN_DATA, SERVER_NAME};
use crate::verify::{Expect, Refusal};

/// What a dialler is told that must not come back.
const TURNED_AWAY: &str =
    "another process with this node's identity took over: was the state directory copied?";

/// A greeted connection's first stream.
pub(crate) struct Greeted {
    pub(crate) link: Arc<Link>,
    pub(crate) send: SendStream,
    pub(crate) receive: RecvStream,
}

/// Why not, unless the verifier has counted it already; and in words.
pub(crate) type NotGreeted = (Option<Refusal>, String);

/// The accepting side of the greeting: handshake, their Hello, ours.
pub(crate) async fn greet_dialler(shard: &Shard, incoming: quinn::Incoming) -> Result<Greeted, NotGreeted> {
    let (estimator, transport) = shard.tap();
    let (own, mut config) = shard.server();
    config.transport_config(transport);
    let connecting =
        incoming.accept_with(Arc::new(config)).map_err(|e| (Some(Refusal::Other), e.to_string()))?;
    let connection = connecting.await.map_err(|e| (refusal_of(&e), e.to_string()))?;
    let Some(Identity::Node(_, peer)) = peer_identity(&connection) else {
        return Err((Some(Refusal::NoIdentity), "no node's certificate".into()));
    };
    if alpn_of(&connection).as_deref() != Some(ALPN_DATA) {
        return Err((Some(Refusal::Protocol), "another protocol".into()));
    }
    let opened = connection.accept_bi().await.map_err(|e| (Some(Refusal::Other), e.to_string()))?;
    let (mut send, mut receive) = (SendStream::new(opened.0), RecvStream::new(opened.1));
    let hello: Hello = receive.read_frame().await.map_err(|e| bad_hello(&connection, &e))?;
    let known = shard.common.peers.get(&peer);
    if known.as_ref().is_some_and(|known| known.turns_away(hello.boot)) {
        connection.close(quinn::VarInt::from_u32(1), TURNED_AWAY.as_bytes());
        return Err((Some(Refusal::Superseded), format!("{peer} is used twice: this one is superseded")));
    }
    let vouches = known.map(|peer| peer.vouches()).unwrap_or_default();
    send.write_frame(&shard.hello(hello.lane, vouches), bytes::Bytes::new())
        .await
        .map_err(|e| bad_hello(&connection, &e))?;
    let link = shard.link(connection, peer, hello, None, estimator, &own);
    Ok(Greeted { link, send, receive })
}

fn bad_hello(connection: &quinn::Connection, error: &StreamError) -> NotGreeted {
    connection.close(quinn::VarInt::from_u32(1), format!("greeting: {error}").as_bytes());
    (Some(Refusal::BadHello), error.to_string())
}

/// The dialling side of the greeting: handshake, our Hello, theirs. Only then is the peer up: a TLS 1.3
/// client believes that it is connected before the server has looked at its certificate.
pub(crate) async fn greet_peer(
    shard: &Shard,
    peer: &Peer,
    lane: u16,
    address: SocketAddr,
) -> Result<Greeted, String> {
    let common = &shard.common;
    let own = common.keyring.current();
    let expect = Expect::Exactly(Identity::Node(own.identity().trust_domain().clone(), peer.name().clone()));
    let tls = tls::client(&common.runtime, &own, expect, ALPN_DATA, &common.trust, &common.refusals)
        .map_err(|e| e.to_string())?;
    let (estimator, transport) = shard.tap();
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport);
    let connecting = shard.endpoint.connect_with(config, address, SERVER_NAME).map_err(|e| e.to_string())?;
    let connection = connecting.await.map_err(|e| e.to_string())?;
    // What the refusing side says is in the connection's end, not in the stream's error.
    let why = |error: String| connection.close_reason().map_or(error, |reason| reason.to_string());
    let opened = connection.open_bi().await.map_err(|e| why(e.to_string()))?;
    let (mut send, mut receive) = (SendStream::new(opened.0), RecvStream::new(opened.1));
    let hello = shard.hello(lane, peer.vouches());
    send.write_frame(&hello, bytes::Bytes::new()).await.map_err(|e| why(e.to_string()))?;
    let hello: Hello = receive.read_frame().await.map_err(|e| why(e.to_string()))?;
    let link = shard.link(connection.clone(), peer.name().clone(), hello, Some(lane), estimator, &own);
    Ok(Greeted { link, send, receive })
}

/// Reads what follows the greeting, and says how it ended. A keep-alive asks for nothing, an echo is answered by
/// whoever speaks on the link. Tells go to whoever takes them, one after the other. What a later version tells is skipped, however much of it: nothing is kept,
/// and sending it costs more.
pub(crate) async fn read_tells(
    receive: &mut RecvStream,
    link: &Arc<Link>,
    handler: &dyn StreamHandler,
) -> StreamError {
    loop {
        if let Err(error) = read_tell(receive, link, handler).await {
            return error;
        }
    }
}

async fn read_tell(
    receive: &mut RecvStream,
    link: &Arc<Link>,
    handler: &dyn StreamHandler,
) -> Result<(), StreamError> {
    let head = receive.read_head().await?;
    let max = match head.kind {
        Ping::KIND => Ping::MAX_LEN,
        Echo::KIND => Echo::MAX_LEN,
        Echoed::KIND => Echoed::MAX_LEN,
        _ if head.skippable() => TELL_MAX,
        found => return Err(Malformed::Unexpected { found, expected: Ping::KIND }.into()),
    };
    if head.len > max {
        return Err(Malformed::TooLong { kind: head.kind, len: head.len, max }.into());
    }
    let mut payload = vec![0; head.len as usize];
    receive.read_exact(&mut payload).await?;
    match head.kind {
        Ping::KIND => {
            wire::decode::<Ping>(&payload)?;
        }
        Echo::KIND => link.echoes.on_echo(&wire::decode(&payload)?),
        Echoed::KIND => link.echoes.on_echoed(&wire::decode(&payload)?),
        kind => handler.hear(link, kind, payload).await?,
    }
    Ok(())
}
