//! Waiting for other processes: they can't tell us anything but by files and answers, so these are looked
//! for at intervals, for a limited time, with an error that says what was still missing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use sinew_api::status::Status;
use tokio::net::TcpStream;

use super::config::NodePorts;

/// How often to look: a start takes a few hundred milliseconds, so this adds little to it.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long a process may take to be ready: under a second by itself, more when the machine is busy with
/// a build or with other scenarios.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a node that is ready may take to reach its peers before it is taken as it is: of those that are down,
/// nothing comes.
const LINKS_PATIENCE: Duration = Duration::from_secs(2);

/// How long one question may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer: a status of a few hundred nodes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Something that did not happen in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("waited {PATIENCE:?} in vain for {what}; last seen: {seen}")]
pub struct NotReady {
    /// What was waited for.
    pub what: String,
    /// What was there instead.
    pub seen: String,
}

/// Looks again and again until `look` yields a value; its error says what is there instead.
async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> Result<T, NotReady>
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(seen) if tokio::time::Instant::now() >= deadline => {
                return Err(NotReady { what: what.to_owned(), seen });
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// The ports that a process has bound, once it says so.
pub(super) async fn ports<T: DeserializeOwned>(state: &Path) -> Result<T, NotReady> {
    let file = state.join("ports.json");
    until(&format!("{}", file.display()), || async {
        let text = tokio::fs::read(&file).await.map_err(|e| e.to_string())?;
        serde_json::from_slice(&text).map_err(|e| e.to_string())
    })
    .await
}

/// The ports of a node, once it is ready: joined, and with a configuration in use.
///
/// # Errors
/// [`NotReady`] says what it still lacked.
pub async fn node(state: &Path) -> Result<NodePorts, NotReady> {
    let ports: NodePorts = ports(state).await?;
    let Some(admin) = ports.admin else { return Ok(ports) };
    until(&format!("node at {admin} to be ready"), || async move {
        match get(admin, "/readyz", None).await? {
            (200, _) => Ok(()),
            (code, body) => Err(format!("/readyz answers {code}: {}", String::from_utf8_lossy(&body))),
        }
    })
    .await?;
    Ok(ports)
}

/// The ports of a node that was started for the first time, once it is ready and has tried its links. Otherwise
/// its first connections would all go to whoever answered its handshake first.
///
/// # Errors
/// [`NotReady`] says what it still lacked. A peer that does not answer is none.
pub async fn joined_node(state: &Path) -> Result<NodePorts, NotReady> {
    let ports = node(state).await?;
    let Some(admin) = ports.admin else { return Ok(ports) };
    let what = format!("the peers of the node at {admin} to be up");
    let all_up = until(&what, || async move {
        let (_, metrics) = get(admin, "/metrics", None).await?;
        peers_up(&String::from_utf8_lossy(&metrics))
    });
    let _ = tokio::time::timeout(LINKS_PATIENCE, all_up).await;
    Ok(ports)
}

/// Whether all peers in a node's metrics are up, and otherwise the first that is not.
fn peers_up(metrics: &str) -> Result<(), String> {
    let down = |line: &&str| line.starts_with("sinew_peer_up{") && !line.ends_with(" 1");
    metrics.lines().find(down).map_or(Ok(()), |line| Err(line.to_owned()))
}

/// The mesh as the controller sees it, once `settled` finds nothing missing.
pub(super) async fn status(
    api: SocketAddr,
    state: &Path,
    settled: impl Fn(&Status) -> Result<(), String>,
) -> Result<Status, NotReady> {
    until(&format!("the controller at {api} to see the whole mesh"), || async {
        let token = tokio::fs::read_to_string(state.join("admin.token")).await.map_err(|e| e.to_string())?;
        let (code, body) = get(api, "/v1/status", Some(token.trim())).await?;
        if code != 200 {
            return Err(format!("/v1/status answers {code}: {}", String::from_utf8_lossy(&body)));
        }
        let status: Status = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        settled(&status).map(|()| status)
    })
    .await
}

/// One GET: the status code and the body.
async fn get(address: SocketAddr, path: &str, bearer: Option<&str>) -> Result<(u16, Bytes), String> {
    let question = async {
        let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let mut request = Request::get(path).header(HOST, address.to_string());
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let code = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok((code, body.map_err(|e| e.to_string())?.to_bytes()))
        };
        tokio::select! {
            answer = answer => answer,
            // The connection's own future must run beside the question, and ends only when it broke.
            Err(e) = connection => Err(e.to_string()),
        }
    };
    match tokio::time::timeout(QUESTION_TIMEOUT, question).await {
        Ok(answer) => answer.map_err(|e| format!("{address}{path}: {e}")),
        Err(_) => Err(format!("{address}{path}: no answer in {QUESTION_TIMEOUT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_peer_that_is_not_up_is_named() {
        let metrics =
            |n2| format!("sinew_peer_up{{peer=\"n1\"}} 1\nsinew_peer_up{{peer=\"n2\"}} {n2}\n# EOF\n");

        assert_eq!(peers_up(&metrics(1)), Ok(()));
        assert_eq!(peers_up(&metrics(0)), Err("sinew_peer_up{peer=\"n2\"} 0".to_owned()));
    }
}
