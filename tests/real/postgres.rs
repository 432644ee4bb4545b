//! PostgreSQL behind the mesh, with pgbench before it. Every transaction leaves a row in `pgbench_history`,
//! so what the database did can be set beside what pgbench was told.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, chown};
use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::process::Command;

use crate::casualties::Casualties;
use crate::programs::{Said, free_address, run, serve, succeed};
use crate::support::now_us;
use crate::{all_called, mesh_of, turn};

/// Clients of one pgbench, each with a thread of its own: one that waits holds up no other.
const CLIENTS: usize = 8;

/// How long pgbench goes on around a kill: a dead node's streams are given up after 10 s.
const AROUND_A_KILL: &str = "14";

/// How long a cluster may take to stop when told to stop at once.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and pgbench: run by .ci/run"]
async fn pgbench_sees_no_error_and_the_database_has_every_transaction() {
    let _turn = turn().await;
    let cluster = Cluster::start().await;
    let mesh = mesh_of("database", &[cluster.address]).await;
    let listener = mesh.listener("caller", "database");

    let kept = pgbench(listener, "4", &["-P", "1"]).await;
    assert!(kept.success, "{}", kept.text);
    let anew = pgbench(listener, "4", &["-C"]).await;
    assert!(anew.success, "{}", anew.text);

    let told = processed(&kept) + processed(&anew);
    assert!(told > 100, "{}{}", kept.text, anew.text);
    assert_eq!(cluster.transactions().await, told);
    let failed = mesh.records("caller").into_iter().filter(|record| record.outcome != "ok");
    assert_eq!(failed.collect::<Vec<_>>(), []);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and pgbench: run by .ci/run"]
async fn a_node_killed_under_pgbench_takes_only_its_own_transactions_with_it() {
    let _turn = turn().await;
    let (one, two) = (Cluster::start().await, Cluster::start().await);
    let mut mesh = mesh_of("database", &[one.address, two.address]).await;

    let listener = mesh.listener("caller", "database");
    let running = tokio::spawn(async move { pgbench(listener, AROUND_A_KILL, &["-C"]).await });
    all_called(&mesh, &["n1", "n2"], 50.0).await;
    let killed_us = mesh.kill("n1").await;
    let said = running.await.unwrap();
    let ended_us = now_us();

    let casualties = Casualties::of(&mesh, "n1", killed_us, Duration::from_secs(1), ended_us).await;
    let aborted = aborted(&said);
    let (told, done) = (processed(&said), one.transactions().await + two.transactions().await);
    println!(
        "node killed under pgbench -C: {aborted} of {CLIENTS} clients lost their connection; {casualties}"
    );
    println!("{told} transactions were answered, {done} are in the databases");
    // Fewer clients than connections: a goodbye that was lost hurts nobody, and libpq calls again when it was
    // cut off before its first answer.
    assert!((1..=casualties.failed).contains(&aborted), "{}", said.text);
    assert!(casualties.failed <= 2 * CLIENTS && aborted < CLIENTS && casualties.carried_on > 100);
    // A transaction whose answer was lost may have been done. Nothing is done twice.
    assert!((told..=told + aborted as u64).contains(&done));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and pgbench: run by .ci/run"]
async fn a_postgresql_killed_under_pgbench_takes_only_its_own_transactions_with_it() {
    let _turn = turn().await;
    let (mut one, two) = (Cluster::start().await, Cluster::start().await);
    let mesh = mesh_of("database", &[one.address, two.address]).await;

    let listener = mesh.listener("caller", "database");
    let running = tokio::spawn(async move { pgbench(listener, "6", &["-C"]).await });
    all_called(&mesh, &["n1", "n2"], 50.0).await;
    let killed_us = now_us();
    one.server.kill().await.unwrap();
    let said = running.await.unwrap();
    let ended_us = now_us();

    let casualties = Casualties::of(&mesh, "n1", killed_us, Duration::from_millis(300), ended_us).await;
    let aborted = aborted(&said);
    one.start_again().await;
    let (told, done) = (processed(&said), one.transactions().await + two.transactions().await);
    println!(
        "PostgreSQL killed under pgbench -C: {aborted} of {CLIENTS} clients lost their connection; {casualties}"
    );
    println!("{told} transactions were answered, {done} are in the databases");
    assert!(aborted <= casualties.exposed, "{}", said.text);
    assert!(aborted < CLIENTS && casualties.carried_on > 100, "{}", said.text);
    assert!((told..=told + aborted as u64).contains(&done));
}

/// One PostgreSQL with its data.
struct Cluster {
    address: SocketAddr,
    server: Process,
    dir: TempDir,
}

impl Cluster {
    /// Makes a cluster with the tables of pgbench.
    async fn start() -> Self {
        let dir = TempDir::with_prefix("sinew-postgres-").unwrap();
        if let Some(user) = own_user() {
            chown(dir.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = dir.path().join("data");
        let mut initdb = as_postgres(program("initdb"));
        initdb
            .extend(["--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "-D"].map(Into::into));
        initdb.push(data.into());
        succeed(Command::new(&initdb[0]).args(&initdb[1..]).current_dir(dir.path())).await;
        let address = free_address();
        let server = start_server(&dir, address).await;
        let cluster = Self { address, server, dir };
        let mut tables = client("pgbench", address);
        succeed(tables.args(["--initialize", "--quiet", "--scale", "4", "postgres"])).await;
        cluster
    }

    /// Transactions that pgbench has had done here.
    async fn transactions(&self) -> u64 {
        let mut psql = client("psql", self.address);
        let count = "select count(*) from pgbench_history";
        let said = succeed(psql.args(["-X", "-A", "-t", "-c", count, "postgres"])).await;
        said.text.trim().parse().unwrap()
    }

    /// Ends it as a crash would: connections are dropped, nothing is written any more.
    fn stop_at_once(&mut self) {
        let told = self.server.signal(Signal::SIGQUIT);
        let begun = Instant::now();
        while told.is_ok() && self.server.check_running().is_ok() && begun.elapsed() < STOP_PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    async fn start_again(&mut self) {
        self.server = start_server(&self.dir, self.address).await;
    }
}

impl Drop for Cluster {
    /// SIGKILL would leave a piece of shared memory behind.
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

async fn start_server(dir: &TempDir, address: SocketAddr) -> Process {
    let mut command = as_postgres(program("postgres"));
    command.extend(["-D".into(), dir.path().join("data").into(), "-p".into()]);
    command.push(address.port().to_string().into());
    let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
    command.extend(settings.iter().flat_map(|setting| ["-c".into(), setting.into()]));
    let args = command.split_off(1);
    let server = serve(PathBuf::from(&command[0]), args, dir.path().join("postgres.log"), address).await;
    // It takes connections before it answers them: recovery comes first.
    let ready = crate::support::until("PostgreSQL to answer", || async {
        let said = run(client("psql", address).args(["-X", "-c", "select 1", "postgres"])).await;
        if said.success { Ok(()) } else { Err(said.text) }
    });
    ready.await.unwrap_or_else(|why| panic!("{why}\n{}", server.log_tail()));
    server
}

/// PostgreSQL refuses to run as root: then it runs as the user of its package. The new user would be free
/// of the leash, so it is put on again.
fn as_postgres(program: PathBuf) -> Vec<OsString> {
    let drop_root = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"];
    let mut command: Vec<OsString> = Vec::new();
    if own_user().is_some() {
        command.extend(drop_root.map(Into::into));
    }
    command.push(program.into());
    command
}

/// The user of PostgreSQL's package, if we are root.
fn own_user() -> Option<User> {
    let root = Uid::effective().is_root();
    root.then(|| User::from_name("postgres").unwrap().expect("the package postgresql makes this user"))
}

/// A program of the newest PostgreSQL that is installed; Debian keeps them apart by version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let programs = versions.map(|version| version.path().join("bin").join(name));
    let number = |path: &PathBuf| path.iter().nth(4).and_then(|v| v.to_str()?.parse::<u32>().ok());
    programs.filter(|program| program.exists()).max_by_key(number).unwrap_or_else(|| name.into())
}

fn client(name: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(name);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "postgres"]);
    command
}

async fn pgbench(listener: SocketAddr, seconds: &str, args: &[&str]) -> Said {
    let clients = CLIENTS.to_string();
    let mut command = client("pgbench", listener);
    command.args(["-n", "-c", &clients, "-j", &clients, "-T", seconds]).args(args);
    run(command.arg("postgres")).await
}

/// Transactions that were answered.
fn processed(said: &Said) -> u64 {
    let words = "number of transactions actually processed:";
    said.number_after(words).unwrap_or_else(|| panic!("pgbench says nothing: {}", said.text))
}

/// Clients that lost their connection: pgbench does not let them begin anew. Its threads write at once, so
/// that a line may hold two messages.
fn aborted(said: &Said) -> usize {
    said.text.matches(" aborted in command ").count()
        + said.text.matches(" aborted while establishing connection").count()
}
