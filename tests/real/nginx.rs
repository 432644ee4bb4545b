//! nginx behind the mesh, with curl and wrk before it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::process::Command;

use crate::casualties::Casualties;
use crate::programs::{Said, free_address, run, serve, succeed};
use crate::support::{Mesh, bytes_of, now_us};
use crate::{all_called, mesh_of, turn};

/// Kept connections of one wrk.
const CONNECTIONS: usize = 16;

/// How long wrk goes on around a kill: a dead node's streams are given up after 10 s.
const AROUND_A_KILL: &str = "14s";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and curl: run by .ci/run"]
async fn curl_gets_and_puts_files_whole() {
    let _turn = turn().await;
    let (one, two) = (Nginx::start("one").await, Nginx::start("two").await);
    let mesh = mesh_of("files", &[one.address, two.address]).await;
    let url = format!("http://{}", mesh.listener("caller", "files"));
    let dir = TempDir::with_prefix("sinew-curl-").unwrap();

    let got = dir.path().join("got");
    let get = |path: &str| curl(&["-o", got.to_str().unwrap(), &format!("{url}{path}")]);
    succeed(&mut get("/large")).await;
    assert!(fs::read(&got).unwrap() == large(), "64 MiB down");

    let part = ["-r", "1000000-1999999", "-o", got.to_str().unwrap(), &format!("{url}/large")];
    succeed(&mut curl(&part)).await;
    assert!(fs::read(&got).unwrap() == large()[1_000_000..2_000_000], "a range");

    let sent = one.dir.path().join("www/large");
    let put = ["-T", sent.to_str().unwrap(), &format!("{url}/put/large")];
    succeed(&mut curl(&put)).await;
    let kept: Vec<_> =
        [&one, &two].iter().filter_map(|n| fs::read(n.dir.path().join("www/put/large")).ok()).collect();
    assert!(kept == [large()], "64 MiB up, at one of the two");

    let missing = run(&mut curl(&[&format!("{url}/missing")])).await;
    assert!(!missing.success && missing.text.contains("404"), "{}", missing.text);
    let records = mesh.records_when("caller", |records| records.len() == 4).await;
    assert!(records.iter().all(|record| record.outcome == "ok"), "{records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and wrk: run by .ci/run"]
async fn wrk_sees_no_error() {
    let _turn = turn().await;
    let (one, two) = (Nginx::start("one").await, Nginx::start("two").await);
    let mesh = mesh_of("files", &[one.address, two.address]).await;

    let said = wrk(&mesh, "3s", &[]).await;
    assert_eq!(Errors::of(&said), Errors::default(), "{}", said.text);
    let said = wrk(&mesh, "3s", &["-H", "Connection: close"]).await;
    assert_eq!(Errors::of(&said), Errors::default(), "{}", said.text);
    assert!(said.number_before(" requests in").unwrap() > 100, "{}", said.text);
    all_called(&mesh, &["n1", "n2"], 10.0).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and wrk: run by .ci/run"]
async fn a_node_killed_under_wrk_takes_only_its_own_requests_with_it() {
    let _turn = turn().await;
    let (one, two) = (Nginx::start("one").await, Nginx::start("two").await);
    let mut mesh = mesh_of("files", &[one.address, two.address]).await;

    let listener = mesh.listener("caller", "files");
    let running = tokio::spawn(async move { wrk_at(listener, AROUND_A_KILL, &[]).await });
    all_called(&mesh, &["n1", "n2"], 1.0).await;
    let killed_us = mesh.kill("n1").await;
    let said = running.await.unwrap();
    let ended_us = now_us();

    let casualties = Casualties::of(&mesh, "n1", killed_us, Duration::from_secs(1), ended_us).await;
    let errors = Errors::of(&said);
    println!("node killed under wrk: {errors:?}; {casualties}");
    assert_eq!((errors.connect, errors.write, errors.timeout, errors.status), (0, 0, 0, 0), "{}", said.text);
    // A kept connection has one request on its way, and is opened anew after it failed. It may also have been
    // on its way to a clean end, which nginx asks for after a thousand requests: then wrk misses nothing.
    assert!((1..=casualties.failed).contains(&(errors.read as usize)), "{}", said.text);
    assert!(casualties.failed <= CONNECTIONS, "{casualties}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and wrk: run by .ci/run"]
async fn nginx_killed_under_wrk_takes_only_its_own_requests_with_it() {
    let _turn = turn().await;
    let (mut one, two) = (Nginx::start("one").await, Nginx::start("two").await);
    let mesh = mesh_of("files", &[one.address, two.address]).await;

    // Kept connections are opened once, and anew after they failed; the others after each answer.
    let listener = mesh.listener("caller", "files");
    let kept = tokio::spawn(async move { wrk_at(listener, "5s", &[]).await });
    let short = tokio::spawn(async move { wrk_at(listener, "5s", &["-H", "Connection: close"]).await });
    all_called(&mesh, &["n1", "n2"], 200.0).await;
    let killed_us = now_us();
    one.server.kill().await.unwrap();
    let errors = [kept.await.unwrap(), short.await.unwrap()].map(|said| Errors::of(&said));
    let ended_us = now_us();

    let casualties = Casualties::of(&mesh, "n1", killed_us, Duration::from_millis(300), ended_us).await;
    println!("nginx killed under wrk: kept {:?}, short {:?}; {casualties}", errors[0], errors[1]);
    for errors in &errors {
        assert_eq!((errors.connect, errors.write, errors.timeout, errors.status), (0, 0, 0, 0));
    }
    let read = (errors[0].read + errors[1].read) as usize;
    assert!(read <= casualties.exposed, "each failed request was on a connection to the killed nginx");
    assert!(casualties.exposed <= 2 * CONNECTIONS && casualties.carried_on > 100);
}

/// One nginx with its files.
struct Nginx {
    address: SocketAddr,
    server: Process,
    dir: TempDir,
}

impl Nginx {
    async fn start(name: &str) -> Self {
        let dir = TempDir::with_prefix("sinew-nginx-").unwrap();
        let address = free_address();
        fs::create_dir_all(dir.path().join("www/put")).unwrap();
        fs::write(dir.path().join("www/small"), name.repeat(256)).unwrap();
        fs::write(dir.path().join("www/large"), large()).unwrap();
        let config = dir.path().join("nginx.conf");
        fs::write(&config, nginx_conf(dir.path(), address)).unwrap();
        let log = dir.path().join("error.log");
        let args = ["-e".into(), log.clone().into(), "-c".into(), config.into()];
        let server = serve(nginx_program(), args.into(), log, address).await;
        Self { address, server, dir }
    }
}

/// One process, everything in `dir`.
fn nginx_conf(dir: &Path, address: SocketAddr) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|kind| format!("{kind}_temp_path {}/{kind};\n", dir.display())).collect();
    format!(
        "daemon off; master_process off; pid {dir}/pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_max_body_size 0; default_type application/octet-stream;
            {temporary}
            server {{
                listen {address};
                root {dir}/www;
                location /put/ {{ dav_methods PUT; }}
            }}
        }}",
        dir = dir.display()
    )
}

/// Debian has it where a user's PATH does not look.
pub(crate) fn nginx_program() -> PathBuf {
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].map(PathBuf::from);
    places.into_iter().find(|place| place.exists()).unwrap_or_else(|| "nginx".into())
}

/// 64 MiB, the same for every nginx.
fn large() -> Vec<u8> {
    let mut next = bytes_of(7);
    let mut all = Vec::new();
    while all.len() < 64 << 20 {
        all.extend(next());
    }
    all
}

fn curl(args: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-q", "--fail", "--silent", "--show-error", "--noproxy", "*"]).args(args);
    command
}

async fn wrk(mesh: &Mesh, duration: &str, args: &[&str]) -> Said {
    wrk_at(mesh.listener("caller", "files"), duration, args).await
}

/// Two threads, and patience: a request counts once, as failed or not, and never as merely late.
async fn wrk_at(listener: SocketAddr, duration: &str, args: &[&str]) -> Said {
    let connections = CONNECTIONS.to_string();
    let mut command = Command::new("wrk");
    command.args(["-t", "2", "-c", &connections, "-d", duration, "--timeout", "60s"]).args(args);
    succeed(command.arg(format!("http://{listener}/small"))).await
}

/// What wrk complains about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Errors {
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
    status: u64,
}

impl Errors {
    fn of(said: &Said) -> Self {
        let status = said.number_after("Non-2xx or 3xx responses:").unwrap_or(0);
        let Some((_, list)) = said.text.split_once("Socket errors: ") else {
            return Self { status, ..Self::default() };
        };
        let list = Said { text: list.into(), success: said.success };
        let count = |kind| list.number_after(kind).unwrap_or_else(|| panic!("no {kind} in {}", said.text));
        let [connect, read, write, timeout] = ["connect", "read", "write", "timeout"].map(count);
        Self { connect, read, write, timeout, status }
    }
}

#[test]
fn what_wrk_says_is_understood() {
    let text = "  1234 requests in 3.00s, 1MB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n  \
                Non-2xx or 3xx responses: 5\n";
    let said = Said { text: text.into(), success: true };

    assert_eq!(Errors::of(&said), Errors { connect: 1, read: 2, write: 3, timeout: 4, status: 5 });
    assert_eq!(said.number_before(" requests in"), Some(1234));
}
