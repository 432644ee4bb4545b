//! A controller and nodes in memory, started as `src/` starts them: from configuration text and a token.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sinew_node_core::Mechanisms;
use sinew_sim::{MemoryHost, MemoryProgram, MemoryWorld};
use sinew_transport::{Runtime, ShardHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::apps::{LISTENER, SERVICE};

const CONTROLLER_STATE: &str = "/var/lib/sinew/controller";
const NODE_STATE: &str = "/var/lib/sinew/node";
const ACCESS_LOG: &str = "/var/log/sinew/access.log";
const TOKEN: &str = "/run/sinew/token";
/// Between two questions whether a node is ready, in virtual time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A mesh with a controller.
pub(crate) struct Mesh {
    world: MemoryWorld,
    controller: MemoryProgram,
}

/// A node that was started.
pub(crate) struct Node {
    name: &'static str,
    config: sinew_node_core::Config,
    program: MemoryProgram,
}

impl Mesh {
    /// Starts a controller, and waits until it listens.
    pub(crate) async fn start() -> Self {
        let world = MemoryWorld::default();
        let controller = world.host([10, 0, 0, 100].into()).program();
        let text = format!("[controller]\nstate = \"{CONTROLLER_STATE}\"\nlisten = \"10.0.0.100:7401\"\n");
        let config =
            sinew_controller::Config::parse("controller.toml", &text).expect("a right configuration");
        let (runtime, stop) = (controller.runtime(), controller.stop().clone());
        controller.tasks().run(async move {
            let store = Arc::new(sinew_controller::store::MemoryStore::default());
            sinew_controller::run(config, runtime, store, stop).await.expect("the controller runs");
        });
        controller.host().file_when(format!("{CONTROLLER_STATE}/ports.json"), |_| true).await;
        Self { world, controller }
    }

    pub(crate) fn world(&self) -> &MemoryWorld {
        &self.world
    }

    /// Starts a node that hosts `echo`, whether that is there yet or not, with a token, and waits until it has its snapshot.
    pub(crate) async fn join(&self, name: &'static str, mechanisms: Mechanisms, listens: bool) -> Node {
        let host = self.world.host(ip(name));
        host.put_file(TOKEN, self.token(name).await.as_bytes());
        let mut text = format!(
            "[node]\nstate = \"{NODE_STATE}\"\ndata = \"{ip}:7410\"\naccess_log = \"{ACCESS_LOG}\"\ntoken_file = \"{TOKEN}\"\n\
             [[serve]]\nservice = \"echo\"\naddress = \"{SERVICE}\"\nhealth = false\n",
            ip = host.ip()
        );
        if listens {
            text += &format!("[[listen]]\nservice = \"echo\"\nas = \"web\"\naddress = \"{LISTENER}\"\n");
        }
        let mut config = sinew_node_core::Config::parse("node.toml", &text).expect("a right configuration");
        config.mechanisms = mechanisms;
        let node = Node::start(name, config, &host);
        node.ready().await;
        host.remove_file(TOKEN);
        node
    }

    /// Starts a killed node again, on the same disk, and waits until it has its snapshot.
    pub(crate) async fn restart(&self, node: &Node) -> Node {
        let node = Node::start(node.name, node.config.clone(), node.host());
        node.ready().await;
        node
    }

    /// Stops the controller as SIGTERM does, and waits until it has.
    pub(crate) async fn stop(&self) {
        self.controller.stop().cancel();
        self.controller.tasks().ended().await;
    }

    /// Makes a join token through the controller's API, as `sinew token create` does.
    async fn token(&self, node: &str) -> String {
        let host = self.controller.host();
        let admin = host.file_when(format!("{CONTROLLER_STATE}/admin.token"), |_| true).await;
        let admin = String::from_utf8(admin).expect("a token is text");
        let new = serde_json::json!({ "node": node, "services": ["echo", "web"], "ttlSeconds": 900 });
        let authorization = format!("Authorization: Bearer {}\r\n", admin.trim());
        let api = "127.0.0.1:7402".parse().expect("an address");
        let (status, answer) = ask(host, api, "POST", "/v1/tokens", &authorization, &new.to_string())
            .await
            .expect("the API answers");
        assert_eq!(status, 201, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["token"].as_str().expect("a token").to_owned()
    }
}

impl Node {
    fn start(name: &'static str, config: sinew_node_core::Config, host: &MemoryHost) -> Self {
        let program = host.program();
        let (runtime, stop) = (program.runtime(), program.stop().clone());
        let shards: Arc<dyn ShardHost> = Arc::clone(program.tasks()) as _;
        let own = config.clone();
        program.tasks().run(async move {
            sinew_node::run(own, runtime, shards, stop.into()).await.expect("the node runs");
        });
        Self { name, config, program }
    }

    pub(crate) fn host(&self) -> &MemoryHost {
        self.program.host()
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        self.program.kill();
    }

    /// SIGTERM; waits until it has stopped.
    pub(crate) async fn stop(&self) {
        self.program.stop().cancel();
        self.program.tasks().ended().await;
    }

    /// Waits until it listens, and has a snapshot in use.
    async fn ready(&self) {
        self.answers("/readyz", |status, _| status == 200).await;
    }

    /// Waits until it has a connection with another node.
    pub(crate) async fn sees(&self, peer: &str) {
        let up = format!("sinew_peer_up{{peer=\"{peer}\"}} 1");
        self.answers("/metrics", |_, body| body.contains(&up)).await;
    }

    /// Asks its admin pages until the answer is as wanted.
    async fn answers(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) {
        let admin = "127.0.0.1:7403".parse().expect("an address");
        loop {
            match ask(self.host(), admin, "GET", path, "", "").await {
                Ok((status, body)) if wanted(status, &body) => return,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The first line of its access log that is as wanted, waited for.
    pub(crate) async fn record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let find = |log: &[u8]| {
            let lines = log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
            let mut records = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
            records.find(&wanted)
        };
        let log = self.host().file_when(ACCESS_LOG, |log| find(log).is_some()).await;
        find(&log).expect("it was just there")
    }
}

fn ip(name: &str) -> IpAddr {
    let number = name.trim_start_matches('n').parse().expect("nodes are n1, n2 and so on");
    [10, 0, 0, number].into()
}

/// One HTTP/1.1 call on a host: the status, and the body.
async fn ask(
    host: &MemoryHost,
    address: SocketAddr,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = host.program().connect(address).await?;
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\
         Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Ok((status, body.to_owned()))
}
