//! A mesh of real processes for stories over real sockets: everything a test needs to start one, talk
//! through it, hurt it, and read what it says about itself.
//!
//! ```ignore
//! mod support;
//! use support::{Mesh, NodePlan, Service};
//!
//! #[tokio::test(flavor = "multi_thread")]
//! async fn a_call_reaches_the_service() {
//!     let greeter = Service::greeter("first").await;
//!     let mut mesh = Mesh::start().await;
//!     mesh.add(NodePlan::new("n1").serve("orders", greeter.address())).await;
//!     mesh.add(NodePlan::new("caller").listen("orders", "web")).await;
//!     mesh.settled().await;
//!
//!     let app = TcpStream::connect(mesh.listener("caller", "orders")).await.unwrap();
//!     …
//!     let records = mesh.records_when("caller", |records| records.len() == 1).await;
//!     assert_eq!(records[0].outcome, "ok");
//! }
//! ```
//!
//! - [`Mesh`]: the controller and the nodes, each the program `sinew` as a user would start it, with
//!   configuration files, tokens and ports of their own; killed, paused, stopped and restarted by name.
//! - [`Service`]: small services inside the test, which can die and come back at their address.
//! - [`Record`], [`Metrics`]: what nodes write and count.
//! - [`until`]: the one way to wait.
//!
//! Whatever is wrong panics and shows the end of the log of whoever is late. Everything lives in a temporary
//! directory and ends when the mesh is dropped, or, should the test be killed, when the test's thread ends:
//! so start meshes from the body of a test, never from a task that it spawned.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test program uses its part of this")]
#![allow(clippy::disallowed_methods, reason = "a program in the real world")]

mod archive;
mod books;
mod look;
mod mesh;
mod node;
mod records;
mod services;
mod supervisor;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use archive::unpack;
pub use books::Sum;
pub use mesh::Mesh;
pub use node::{NodePlan, NodePorts};
pub use records::{Metrics, Record};
pub use services::{Service, bytes_of, digest_of_stream, send_bytes};
pub use supervisor::Supervisor;

/// How often [`until`] looks. What is waited for takes milliseconds, so this adds little.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How long [`until`] looks: far longer than anything takes, also while other tests use the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long one question over HTTP may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer that is read: metrics and status of a few nodes take some ten KiB.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// Looks until `look` yields a value; what it says instead is shown when [`PATIENCE`] is over.
///
/// # Errors
/// What was waited for, and what was there in its place.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return Ok(value),
            Err(seen) if tokio::time::Instant::now() >= deadline => {
                return Err(format!("waited {PATIENCE:?} in vain for {what}; last seen: {seen}"));
            }
            Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// One GET: the status code and the body. `bearer` is the token that the controller's API wants.
///
/// # Errors
/// What went wrong, and where.
pub async fn http_get(
    address: SocketAddr,
    path: &str,
    bearer: Option<&str>,
) -> Result<(u16, String), String> {
    http_call("GET", address, path, bearer, "").await
}

/// Calls over HTTP with a JSON body, and yields the status and the body of the answer.
///
/// # Errors
/// What went wrong, and where.
pub async fn http_call(
    method: &str,
    address: SocketAddr,
    path: &str,
    bearer: Option<&str>,
    body: &str,
) -> Result<(u16, String), String> {
    let authorization = bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let content = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{content}{authorization}\r\n");
    let request = head + body;
    let question = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(QUESTION_TIMEOUT, question).await;
    let answer = answer.map_err(|_| format!("{address}{path}: no answer in {QUESTION_TIMEOUT:?}"))?;
    let answer = answer.map_err(|error| format!("{address}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(format!("{address}{path}: no HTTP: {answer}"))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or(format!("{address}{path}: no status in {head}"))?, body.to_owned()))
}

/// Microseconds since 1970: the clock of access logs.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_micros()).expect("it is earlier than 584,000 years from now")
}
