//! Clients and servers in Python, Node.js and Go, by the HTTP libraries that each comes with: every client calls every
//! server. And WebSockets, in which both ends speak when they like.
//!
//! The programs are in `programs/`; each client checks every answer and ends with what it has sent.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::process::Command;

use crate::programs::{free_address, serve, succeed};
use crate::support::{Mesh, NodePlan};
use crate::tally::Tally;
use crate::turn;

/// Connections of one client, and requests on each.
const CONNECTIONS: u64 = 10;
const REQUESTS: u64 = 40;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/programs");

/// Debian's own, for which Debian has packages.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python, Node.js and Go: run by .ci/run"]
async fn clients_in_three_languages_call_servers_in_three() {
    let _turn = turn().await;
    let dir = TempDir::with_prefix("sinew-languages-").unwrap();
    let programs = [("python", python("hash.py")), ("node", node()), ("go", go(dir.path()).await)];
    let mut mesh = Mesh::start().await;
    let mut servers = Vec::new();
    let mut caller = NodePlan::new("caller");
    for (language, program) in &programs {
        let (address, server) = started(program, &dir.path().join(format!("{language}.log"))).await;
        servers.push(server);
        mesh.add(NodePlan::new(&format!("n-{language}")).serve(language, address)).await;
        caller = caller.listen(language, "web");
    }
    mesh.add(caller).await;
    mesh.settled().await;

    let hosts = ["n-python", "n-node", "n-go"];
    let mut before = Tally::default();
    for (round, (language, client)) in (1..).zip(&programs) {
        for (called, _) in (0_u64..).zip(&programs) {
            let (service, _) = &programs[usize::try_from(called).unwrap()];
            let sent = called_by(client, mesh.listener("caller", service)).await;
            let done = (round - 1) * 3 + called + 1;
            let now = Tally::of(&mesh, &hosts, done * CONNECTIONS).await;
            let tally = now.since(before);
            before = now;
            // The bodies, and a head for each.
            let heads = tally.bytes_up - sent;
            let head = 40 * CONNECTIONS * REQUESTS..400 * CONNECTIONS * REQUESTS;
            assert!(
                head.contains(&heads),
                "{language} calls {service}: {tally:?}, and {sent} bytes of bodies"
            );
            assert!(tally.bytes_down > 64 * CONNECTIONS * REQUESTS, "{tally:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with websockets: run by .ci/run"]
async fn websockets_carry_messages_of_every_length_both_ways() {
    let _turn = turn().await;
    let dir = TempDir::with_prefix("sinew-languages-").unwrap();
    let program = python("chat.py");
    let (address, _server) = started(&program, &dir.path().join("chat.log")).await;
    let mesh = crate::mesh_of("chat", &[address]).await;

    let sent = called_by(&program, mesh.listener("caller", "chat")).await;

    let tally = Tally::of(&mesh, &["n1"], CONNECTIONS).await;
    // A frame's head has 6 to 14 bytes; the handshake and what answers the pings is little.
    let heads = tally.bytes_up - sent;
    assert!((6 * CONNECTIONS * REQUESTS..64 * CONNECTIONS * REQUESTS).contains(&heads), "{tally:?}, {sent}");
}

/// A program and its first arguments.
type Program = (PathBuf, Vec<OsString>);

fn python(script: &str) -> Program {
    (PYTHON.into(), vec![format!("{PROGRAMS}/{script}").into()])
}

fn node() -> Program {
    ("node".into(), vec![format!("{PROGRAMS}/hash.mjs").into()])
}

/// Builds the program in Go; everything that comes with it stays in `dir`.
async fn go(dir: &Path) -> Program {
    let program = dir.join("hash");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(format!("{PROGRAMS}/hash.go"));
    build.env("GOCACHE", dir.join("cache")).env("GOPATH", dir.join("path")).env("GOFLAGS", "-mod=mod");
    succeed(build.env("GO111MODULE", "off").env("GOTOOLCHAIN", "local")).await;
    (program, Vec::new())
}

async fn started((program, first): &Program, log: &Path) -> (SocketAddr, Process) {
    let address = free_address();
    let mut args = first.clone();
    args.extend(["serve".into(), address.port().to_string().into()]);
    (address, serve(program.clone(), args, log.to_owned(), address).await)
}

/// Runs a client to its end; yields the bytes that it sent as bodies.
async fn called_by((program, first): &Program, listener: SocketAddr) -> u64 {
    let mut client = Command::new(program);
    client.args(first).args(["call", &listener.port().to_string()]);
    let said = succeed(client.args([CONNECTIONS, REQUESTS].map(|count| count.to_string()))).await;
    assert_eq!(said.number_after("requests "), Some(CONNECTIONS * REQUESTS), "{}", said.text);
    said.number_after(" bytes ").unwrap()
}
