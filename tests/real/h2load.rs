//! nginx over HTTP/2 without TLS, with h2load: many streams in one connection, which the mesh carries as bytes.

use std::fs;
use std::net::SocketAddr;

use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::process::Command;

use crate::nginx::nginx_program;
use crate::programs::{free_address, serve, succeed};
use crate::tally::Tally;
use crate::{mesh_of, turn};

const REQUESTS: u64 = 20_000;
const CONNECTIONS: u64 = 8;
const BODY_LEN: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and h2load: run by .ci/run"]
async fn h2load_gets_every_answer_whole_over_its_few_connections() {
    let _turn = turn().await;
    let dir = TempDir::with_prefix("sinew-h2-").unwrap();
    let servers = [start(&dir, "one").await, start(&dir, "two").await];
    let mesh = mesh_of("pages", &servers.each_ref().map(|(address, _)| *address)).await;
    let url = format!("http://{}/page", mesh.listener("caller", "pages"));

    let [requests, connections] = [REQUESTS, CONNECTIONS].map(|count| count.to_string());
    let mut h2load = Command::new("h2load");
    let said = succeed(h2load.args(["-n", &requests, "-c", &connections, "-m", "32", &url])).await;

    assert_eq!(said.number_before(" succeeded"), Some(REQUESTS), "{}", said.text);
    assert_eq!(said.number_after("status codes:"), Some(REQUESTS), "{}", said.text);
    let data = said
        .text
        .split_once("headers")
        .and_then(|(_, rest)| rest.split_once('(')?.1.split_once('('))
        .unwrap();
    let data: u64 = data.1.split(')').next().unwrap().parse().unwrap();
    assert_eq!(data, REQUESTS * BODY_LEN as u64, "{}", said.text);
    let tally = Tally::of(&mesh, &["n1", "n2"], CONNECTIONS).await;
    let total = said.text.split_once("traffic: ").and_then(|(_, rest)| rest.split_once('(')).unwrap().1;
    assert_eq!(tally.bytes_down, total.split(')').next().unwrap().parse::<u64>().unwrap(), "{}", said.text);
}

async fn start(dir: &TempDir, name: &str) -> (SocketAddr, Process) {
    let address = free_address();
    let root = dir.path().join(name);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("page"), vec![b'x'; BODY_LEN]).unwrap();
    let (root, config) = (root.display(), root.join("nginx.conf"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|kind| format!("{kind}_temp_path {root}/{kind};\n")).collect();
    let text = format!(
        "daemon off; master_process off; pid {root}/pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; default_type application/octet-stream; keepalive_requests 1000000;
            {temporary}
            server {{ listen {address} http2; root {root}; }}
        }}"
    );
    fs::write(&config, text).unwrap();
    let log = dir.path().join(format!("{name}.log"));
    let args = ["-e".into(), log.clone().into(), "-c".into(), config.into()];
    (address, serve(nginx_program(), args.into(), log, address).await)
}
