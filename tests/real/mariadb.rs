//! MariaDB with its own clients: a protocol in which the server speaks first.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use nix::unistd::Uid;
use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::programs::{Said, free_address, run, serve, succeed};
use crate::support::until;
use crate::tally::Tally;
use crate::{mesh_of, turn};

/// Rows of the table that goes through the mesh and back.
const ROWS: u64 = 2_000;

/// What mariadb-slap does: so many clients, and so many questions in all.
const CLIENTS: u64 = 8;
const QUERIES: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MariaDB: run by .ci/run"]
async fn mariadb_has_every_row_and_every_question_and_the_mesh_every_connection() {
    let _turn = turn().await;
    let server = Server::start().await;
    let mesh = mesh_of("database", &[server.address]).await;
    let listener = mesh.listener("caller", "database");
    let before = server.counts().await;

    // Rows up, by a client that reads them from a file; then down, by one that dumps the table.
    feed(listener, &rows()).await;
    let [through, beside] = [dump(listener).await, dump(server.address).await];
    assert!(through == beside, "the dump through the mesh and the one beside it");
    assert_eq!(beside.matches("0123456789abcdef").count() as u64, ROWS, "every row is there, whole");
    let (clients, queries) = (CLIENTS.to_string(), QUERIES.to_string());
    let mut slap = client("mariadb-slap", listener);
    slap.args(["--auto-generate-sql", "--auto-generate-sql-load-type=mixed", "--no-drop"]);
    succeed(slap.args(["--concurrency", &clients, "--number-of-queries", &queries])).await;

    let after = server.counts().await;
    assert!(after.questions - before.questions >= QUERIES, "{before:?} {after:?}");
    // The dump beside the mesh, and the second question about itself, have one each.
    let connections = after.connections - before.connections - 2;
    assert!(connections >= CLIENTS + 2, "{connections}");
    let tally = Tally::of(&mesh, &["n1"], connections).await;
    assert!(tally.bytes_up >= rows().len() as u64, "{tally:?}");
    assert!(tally.bytes_down >= through.len() as u64 / 2, "{tally:?}");
}

/// SQL that makes a table: values that compress badly, so that each byte counts.
fn rows() -> String {
    let mut random = fastrand::Rng::with_seed(11);
    let mut sql =
        "CREATE DATABASE kept; USE kept; CREATE TABLE item (id INT PRIMARY KEY, value TEXT);\n".to_owned();
    for id in 0..ROWS {
        let value: String = std::iter::repeat_with(|| random.alphanumeric()).take(500).collect();
        sql.push_str(&format!("INSERT INTO item VALUES ({id}, '0123456789abcdef {value}');\n"));
    }
    sql
}

/// One MariaDB with its data.
struct Server {
    address: SocketAddr,
    _server: Process,
    _dir: TempDir,
}

#[derive(Debug)]
struct Counts {
    connections: u64,
    questions: u64,
}

impl Server {
    async fn start() -> Self {
        let dir = TempDir::with_prefix("sinew-mariadb-").unwrap();
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        succeed(install.args(own_user()).arg(option("--datadir", &dir.path().join("data")))).await;
        let address = free_address();
        let mut args: Vec<OsString> =
            ["--no-defaults", "--skip-log-bin", "--bind-address=127.0.0.1"].map(Into::into).into();
        args.extend(own_user().iter().map(Into::into));
        args.push(format!("--port={}", address.port()).into());
        for (name, file) in
            [("--datadir", "data"), ("--socket", "socket"), ("--pid-file", "pid"), ("--tmpdir", "")]
        {
            args.push(option(name, &dir.path().join(file)));
        }
        let program =
            ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"].into_iter().find(|path| Path::new(path).exists());
        let server =
            serve(program.unwrap_or("mariadbd").into(), args, dir.path().join("mariadb.log"), address).await;
        let this = Self { address, _server: server, _dir: dir };
        let ready = until("MariaDB to answer", || async {
            let said = run(client("mariadb", address).args(["-e", "select 1"])).await;
            if said.success { Ok(()) } else { Err(said.text) }
        });
        ready.await.unwrap();
        this
    }

    async fn counts(&self) -> Counts {
        let said = succeed(client("mariadb", self.address).args(["-N", "-e", "show global status"])).await;
        let of = |name: &str| {
            let line = said.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
            line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", said.text))
        };
        Counts { connections: of("Connections"), questions: of("Questions") }
    }
}

/// MariaDB refuses to run as root unless told that it may.
fn own_user() -> &'static [&'static str] {
    if Uid::effective().is_root() { &["--user=root"] } else { &[] }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(path);
    option
}

fn client(name: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(name);
    command.args(["--no-defaults", "--protocol=tcp", "--user=root"]);
    command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
    command
}

async fn feed(address: SocketAddr, sql: &str) {
    let mut command = client("mariadb", address);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let fed = input.write_all(sql.as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(fed.is_ok() && output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn dump(address: SocketAddr) -> String {
    let mut command = client("mariadb-dump", address);
    let Said { text, .. } = succeed(command.args(["--skip-comments", "kept"])).await;
    text
}
