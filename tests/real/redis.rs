//! Redis with redis-benchmark and redis-cli.

use std::net::SocketAddr;
use std::process::Stdio;

use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::programs::{Said, free_address, run, serve, succeed};
use crate::support::bytes_of;
use crate::tally::Tally;
use crate::{mesh_of, turn};

/// Requests of each kind in one run of redis-benchmark.
const REQUESTS: u64 = 20_000;

/// The same when each has a connection of its own.
const REQUESTS_ALONE: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by .ci/run"]
async fn redis_has_every_request_of_redis_benchmark_and_the_mesh_every_connection() {
    let _turn = turn().await;
    let redis = Redis::start().await;
    let mesh = mesh_of("cache", &[redis.address]).await;
    let listener = mesh.listener("caller", "cache");
    let before = redis.counts().await;

    let requests = REQUESTS.to_string();
    let kept = benchmark(listener, &["-n", &requests, "-c", "16", "-P", "4", "-d", "1000"]).await;
    let requests = REQUESTS_ALONE.to_string();
    let alone = benchmark(listener, &["-n", &requests, "-c", "16", "-k", "0"]).await;

    let after = redis.counts().await;
    for (name, count) in [("set", after.sets - before.sets), ("get", after.gets - before.gets)] {
        assert_eq!(count, REQUESTS + REQUESTS_ALONE, "{name}: {}{}", kept.text, alone.text);
    }
    // Its own question about itself is one connection, too.
    let connections = after.connections - before.connections - 1;
    assert!(connections > 2 * REQUESTS_ALONE, "each request has a connection of its own: {connections}");
    let tally = Tally::of(&mesh, &["n1"], connections).await;
    assert!(tally.bytes_up > REQUESTS * 1000 && tally.bytes_down > REQUESTS * 5, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Redis: run by .ci/run"]
async fn redis_keeps_a_value_as_it_was_given_through_the_mesh() {
    let _turn = turn().await;
    let redis = Redis::start().await;
    let mesh = mesh_of("cache", &[redis.address]).await;
    let listener = mesh.listener("caller", "cache");
    let mut chunks = bytes_of(5);
    let value: Vec<u8> = (0..64).flat_map(|_| chunks()).collect();

    set(listener, "through", &value).await;
    set(redis.address, "beside", &value).await;

    let through = get(redis.address, "through").await;
    let beside = get(listener, "beside").await;
    assert!(through == value, "8 MiB up");
    assert!(beside == value, "8 MiB down");
    let tally = Tally::of(&mesh, &["n1"], 2).await;
    assert!(tally.bytes_up > value.len() as u64 && tally.bytes_down > value.len() as u64, "{tally:?}");
}

/// One Redis that keeps nothing on disk.
struct Redis {
    address: SocketAddr,
    _server: Process,
    _dir: TempDir,
}

/// What a Redis has counted.
struct Counts {
    connections: u64,
    sets: u64,
    gets: u64,
}

impl Redis {
    async fn start() -> Self {
        let dir = TempDir::with_prefix("sinew-redis-").unwrap();
        let address = free_address();
        let port = address.port().to_string();
        let mut args: Vec<std::ffi::OsString> =
            ["--port", &port, "--bind", "127.0.0.1", "--save", ""].map(Into::into).into();
        args.extend(["--appendonly", "no", "--dir"].map(Into::into));
        args.push(dir.path().into());
        let server = serve("redis-server".into(), args, dir.path().join("redis.log"), address).await;
        Self { address, _server: server, _dir: dir }
    }

    async fn counts(&self) -> Counts {
        let said = succeed(&mut cli(self.address, &["INFO", "everything"])).await;
        let of = |words: &str| said.number_after(words).unwrap_or(0);
        Counts {
            connections: of("total_connections_received:"),
            sets: of("cmdstat_set:calls="),
            gets: of("cmdstat_get:calls="),
        }
    }
}

fn cli(address: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]).args(args);
    command
}

async fn benchmark(listener: SocketAddr, args: &[&str]) -> Said {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &listener.ip().to_string(), "-p", &listener.port().to_string()]);
    let said = run(command.args(["-t", "set,get", "--csv"]).args(args)).await;
    assert!(said.success && !said.text.contains("rror"), "{}", said.text);
    said
}

/// Sets a key to what `redis-cli` reads from its standard input.
async fn set(address: SocketAddr, key: &str, value: &[u8]) {
    let mut command = cli(address, &["-x", "SET", key]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(value).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "OK", "{output:?}");
}

async fn get(address: SocketAddr, key: &str) -> Vec<u8> {
    let output = cli(address, &["GET", key]).kill_on_drop(true).output().await.unwrap();
    // It ends what it prints with a line's end.
    output.stdout.strip_suffix(b"\n").unwrap().to_vec()
}
