//! A story about `sinew dev`: what it tells the user to try works, also after a node was killed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::processes::{Running, await_gone, sinew};

/// A dead node is picked no later than this after its death.
const NOTICE_TIME: Duration = Duration::from_secs(1);

/// What `curl -i` would print.
fn get(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The word after `before`.
fn word_after<'l>(line: &'l str, before: &str) -> &'l str {
    line.split_once(before).unwrap().1.split([' ', ',', ';', '/']).next().unwrap()
}

#[test]
fn dev_runs_a_mesh_that_survives_a_killed_node_and_leaves_nothing() {
    let temporary = TempDir::new().unwrap();
    let mut running = Running::start(sinew().arg("dev").env("TMPDIR", temporary.path()));
    let line = running.await_line("curl http://");
    let orders = word_after(&line, "http://").to_owned();
    let greeter = running.await_line("  nc ").trim().replacen("nc ", "", 1).replace(' ', ":");
    let kill_line = running.await_line("kill -9");
    let victim: i32 = word_after(&kill_line, "kill -9 ").parse().unwrap();
    let children = running.children();

    assert!(get(&orders).unwrap().starts_with("HTTP/1.1 200"));
    let mut greeting = String::new();
    BufReader::new(TcpStream::connect(&greeter).unwrap()).read_line(&mut greeting).unwrap();
    assert!(greeting.ends_with(" is ready\n"), "the service speaks first: {greeting:?}");

    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    running.await_line("node n3 is gone");
    // For a moment calls may still be handed to the dead node in good faith, and are lost then.
    let noticed = Instant::now() + NOTICE_TIME;
    while Instant::now() < noticed {
        let _ = get(&orders);
    }
    for _ in 0..20 {
        let answer = get(&orders).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("n3/0"), "{answer}");
    }
    running.await_line("node n3 was started again");
    let again = running.children();

    running.interrupt();

    assert_eq!(running.await_end(), Some(0));
    await_gone(&children);
    await_gone(&again);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
