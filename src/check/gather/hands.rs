//! Whether a controller answers: a handshake over UDP, as for joining, which asks for nothing and is closed at once.
//! Whoever answers must show the root that this node trusts.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sinew_api::join::Token;
use sinew_node_core::Config;
use sinew_transport::session::dial_join;
use sinew_transport::tls::identity_in;
use sinew_transport::verify::sha256;
use sinew_transport::{OsRuntime, Runtime};
use sinew_transport_core::ids::TrustDomain;
use tokio::task::JoinSet;

use super::files;

/// The most addresses that are tried: what a configuration and a token may name.
const DIALS_MAX: usize = 16;

/// A controller by name, and how long the handshake took or why there was none.
type Shaken = (String, Result<Duration, String>);

/// What `keys.json` says of controllers; nothing else of it is read.
#[derive(serde::Deserialize)]
struct Kept {
    controllers: Vec<SocketAddr>,
}

/// Whom this node trusts, and where it was told to look for controllers.
struct Known {
    trust_domain: TrustDomain,
    pin: [u8; 32],
    controllers: Vec<SocketAddr>,
}

/// Shakes hands with every controller that is known, all at once.
pub(super) async fn shake(config: &Config) -> Vec<Shaken> {
    let known = match kept(&config.state).or_else(|| promised(config.token_file.as_deref()?)) {
        Some(known) => known,
        None => {
            let unknown =
                "without its certificate or its token this node can't tell a controller from others";
            return config.controllers.iter().map(|name| (name.clone(), Err(unknown.to_owned()))).collect();
        }
    };
    let mut names = config.controllers.clone();
    names.extend(known.controllers.iter().map(ToString::to_string));
    let mut once = Vec::new();
    names.retain(|name| {
        !once.contains(name) && once.len() < DIALS_MAX && {
            once.push(name.clone());
            true
        }
    });
    let known = Arc::new(known);
    let mut dials = JoinSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let known = Arc::clone(&known);
        dials.spawn(async move {
            let took = dial(&name, &known).await;
            (index, (name, took))
        });
    }
    let mut shaken = dials.join_all().await;
    shaken.sort_by_key(|(index, _)| *index);
    shaken.into_iter().map(|(_, shaken)| shaken).collect()
}

async fn dial(name: &str, known: &Known) -> Result<Duration, String> {
    let owned = name.to_owned();
    let found = tokio::task::spawn_blocking(move || owned.to_socket_addrs().map(|mut all| all.next())).await;
    let address = match found {
        Ok(Ok(Some(address))) => address,
        Ok(Err(error)) => return Err(format!("its name can't be resolved: {error}")),
        _ => return Err("its name has no address".to_owned()),
    };
    let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
    let begun = Instant::now();
    let session = dial_join(&runtime, address, &known.trust_domain, known.pin, &Arc::default()).await;
    let session = session.map_err(|error| error.to_string())?;
    let took = begun.elapsed();
    session.closer().close_and_wait("checked").await;
    Ok(took)
}

/// What a node that has joined knows.
fn kept(state: &Path) -> Option<Known> {
    let own = files::certificate(&state.join("identity.pem")).ok()??;
    let root = files::certificate(&state.join("root.cert.pem")).ok()??;
    let keys = std::fs::read(state.join("keys.json")).ok()?;
    let kept: Kept = serde_json::from_slice(&keys).ok()?;
    let trust_domain = identity_in(&own)?.trust_domain().clone();
    Some(Known { trust_domain, pin: sha256(&root), controllers: kept.controllers })
}

/// What a token says to a node that has not.
fn promised(file: &Path) -> Option<Known> {
    let token = Token::parse(&std::fs::read_to_string(file).ok()?).ok()?;
    Some(Known { trust_domain: token.trust_domain, pin: token.root_pin, controllers: token.controllers })
}
