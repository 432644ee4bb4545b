//! The controller's API and a node's admin listener, as commands call them: found through the state directory, or
//! told by address and token file. Every error says what to look at next.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sinew_api::Secret;
use sinew_api::status::Problem;
use sinew_controller::Ports;
use tokio::net::TcpStream;

/// How long one call may take; the controller answers from memory.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read: the status of some thousand nodes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Which controller to ask.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// The controller's state directory; its API and admin token are found there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sinew/controller", env = "SINEW_STATE")]
    state: PathBuf,
    /// The address of the controller's API, instead of what the state directory says
    #[arg(long, value_name = "ADDRESS", env = "SINEW_API")]
    api: Option<SocketAddr>,
    /// The file with the admin token, instead of the one in the state directory
    #[arg(long, value_name = "FILE", env = "SINEW_ADMIN_TOKEN")]
    admin_token: Option<PathBuf>,
}

/// Which node to ask.
#[derive(Debug, Args)]
pub(crate) struct NodeApiArgs {
    /// The node's state directory; its admin listener and admin token are found there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sinew/node", env = "SINEW_NODE_STATE")]
    state: PathBuf,
}

/// What a command needs of a node's `ports.json`.
#[derive(Debug, serde::Deserialize)]
struct NodePorts {
    admin: Option<SocketAddr>,
}

/// A controller's API, or a node's admin listener.
#[derive(Debug)]
pub(crate) struct Client {
    /// Which of the two.
    who: &'static str,
    address: SocketAddr,
    token: Secret,
}

impl Client {
    /// Finds the API.
    ///
    /// # Errors
    /// When no controller keeps its state where `args` say, or its files may not be read.
    pub(crate) fn find(args: &ApiArgs) -> anyhow::Result<Self> {
        let address = match args.api {
            Some(address) => address,
            None => ports(&args.state)?.api,
        };
        let default = args.state.join("admin.token");
        let file = args.admin_token.as_deref().unwrap_or(&default);
        let token = read(file, "the admin token", "pass the controller's own with --state or --admin-token")?;
        Ok(Self { who: "controller", address, token: Secret::new(token.trim().to_owned()) })
    }

    /// Finds the admin listener of the node on this machine.
    ///
    /// # Errors
    /// When no node keeps its state there, its files may not be read, or it has no admin listener.
    pub(crate) fn of_node(args: &NodeApiArgs) -> anyhow::Result<Self> {
        Self::of_node_at(&args.state)
    }

    /// Finds the API of the controller that keeps its state there.
    ///
    /// # Errors
    /// As for [`Client::find`].
    pub(crate) fn of_controller_at(state: &Path) -> anyhow::Result<Self> {
        Self::find(&ApiArgs { state: state.to_owned(), api: None, admin_token: None })
    }

    /// Finds the admin listener of the node that keeps its state there.
    ///
    /// # Errors
    /// As for [`Client::of_node`].
    pub(crate) fn of_node_at(state: &Path) -> anyhow::Result<Self> {
        let file = state.join("ports.json");
        let hint = "is a node running with this state directory? Pass --state DIR";
        let ports = read(&file, "where the node listens", hint)?;
        let ports: NodePorts = serde_json::from_str(&ports)
            .with_context(|| format!("{} is not what a node writes; restart the node", file.display()))?;
        let address = ports.admin.context("this node has no admin listener: set `admin` in its node.toml")?;
        let token = read(&state.join("admin.token"), "the node's admin token", hint)?;
        Ok(Self { who: "node", address, token: Secret::new(token.trim().to_owned()) })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// When the controller can't be reached, or refuses.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Vec::new())
    }

    /// Asks for a page of text.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn text(&self, path: &str) -> anyhow::Result<String> {
        let (status, body) = now(self.answer(Method::GET, path, Vec::new()))?;
        if !status.is_success() {
            bail!("{}{path} answers {status}", self.address);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks for something to be made.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?)
    }

    /// Asks for something to be taken away.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.call(Method::DELETE, path, serde_json::to_vec(body)?)
    }

    /// Asks for something to be made, by a call that can be refused in a form of its own (status 422).
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) fn try_post<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<Result<T, E>> {
        let (status, body) = now(self.answer(Method::POST, path, serde_json::to_vec(body)?))?;
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Ok(refused) = serde_json::from_slice(&body)
        {
            return Ok(Err(refused));
        }
        self.read(status, &body).map(Ok)
    }

    /// As [`Client::get`], for whoever has something else to do meanwhile.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.answer(Method::GET, path, Vec::new()).await?;
        self.read(status, &body)
    }

    /// As [`Client::post`], for whoever has something else to do meanwhile.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let (status, body) = self.answer(Method::POST, path, serde_json::to_vec(body)?).await?;
        self.read(status, &body)
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<T> {
        let (status, body) = now(self.answer(method, path, body))?;
        self.read(status, &body)
    }

    async fn answer(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .context("the admin token holds characters that no token has; is it the right file?")?;
        match tokio::time::timeout(CALL_TIMEOUT, self.ask(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                bail!(
                    "the {} at {} did not answer in {CALL_TIMEOUT:?}; is it stopped?",
                    self.who,
                    self.address
                )
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, body: &[u8]) -> anyhow::Result<T> {
        if status.is_success() {
            return serde_json::from_slice(body)
                .with_context(|| format!("the answer of {} is not what this version expects", self.address));
        }
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => bail!("{}", problem.error),
            Err(_) => bail!("{} answers {status}; is that a {}?", self.address, self.who),
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let (address, who) = (self.address, self.who);
        let stream = TcpStream::connect(address).await.with_context(|| {
            format!(
                "no {who} answers at {address}: is it running? Its state directory says where it listened last \
                 (ports.json); look at its log, or pass --state"
            )
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|e| anyhow::anyhow!("reading the answer of {address}: {e}"))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(answer);
        // The connection's own future must run beside the question; when it ends first, the answer still
        // says what became of it.
        tokio::select! {
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
    }
}

/// Runs one call on this thread.
fn now<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(call)
}

/// Where the controller of this state directory listens.
fn ports(state: &Path) -> anyhow::Result<Ports> {
    let file = state.join(Ports::FILE);
    let text = read(
        &file,
        "where the controller listens",
        "is a controller running with this state directory? Pass --state DIR, or --api and --admin-token",
    )?;
    serde_json::from_str(&text).with_context(|| {
        format!("{} is not what a controller writes; restart the controller", file.display())
    })
}

fn read(file: &Path, what: &str, hint: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(file).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "only the user who runs it may read it; use sudo",
            _ => hint,
        };
        anyhow::anyhow!("reading {what} from {}: {error}; {hint}", file.display())
    })
}
