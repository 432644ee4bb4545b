//! What sources may touch. Cores: nothing outside their arguments. Drivers: the world only through the
//! `Runtime` seam, and no task that nobody owns. bincode: in one module.
//!
//! Tests inside those crates are free, and so is everything above them. A pattern ends where it ends: it
//! covers all that lies below it. One that begins with `*::` may begin anywhere in a path.

use crate::Finding;
use crate::code::Named;
use crate::workspace::{Area, Source};

/// What a core must not touch: DESIGN's first invariant.
const NOT_IN_CORES: [&str; 22] = [
    "*::Instant::now",
    "*::SystemTime",
    "fastrand::Rng::default",
    "fastrand::Rng::new",
    "quinn::*",
    "rand::*",
    "rustls::*",
    // Their order is drawn anew in every process: use `BTreeMap`, or a map with a fixed hasher.
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "tokio::*",
];

/// What no driver may do, the real world's side of the seam included: tasks without an owner, threads and
/// runtimes of its own, ambient configuration and randomness.
const NOT_IN_DRIVERS: [&str; 9] = [
    "fastrand::Rng::default",
    "fastrand::Rng::new",
    "std::env",
    "std::thread",
    "tokio::runtime",
    "tokio::spawn",
    "tokio::task::spawn",
    "tokio::task::spawn_blocking",
    "tokio::task::spawn_local",
];

/// The runtime that one is in, which may be looked at: how many tasks live in it. What would start something on it,
/// `clippy.toml` forbids by its methods' names.
const LOOKED_AT: &str = "tokio::runtime::Handle";

/// What only the real world's side of the seam may touch.
const ONLY_IN_WORLD: [&str; 14] = [
    "*::SystemTime::now",
    "nix::*",
    "socket2::*",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::signal",
];

/// The module that calls bincode.
const WIRE: [&str; 2] = ["transport/core/src/wire.rs", "transport/core/src/wire/"];

/// What others need of bincode to give a type its place on the wire.
const BINCODE_TRAITS: [&str; 6] = [
    "bincode::BorrowDecode",
    "bincode::Decode",
    "bincode::Encode",
    "bincode::de",
    "bincode::enc",
    "bincode::error",
];

/// The lint that `clippy.toml` feeds; lifting it in a core or driver would undo what is kept here.
const LIFTED: [&str; 2] = ["*::disallowed_methods", "*::disallowed_types"];

fn covers(pattern: &str, path: &str) -> bool {
    let begins = |path: &str, head: &str| {
        path.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if let Some(tail) = pattern.strip_prefix("*::") {
        let mut rest = path;
        loop {
            if begins(rest, tail) {
                return true;
            }
            match rest.split_once("::") {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    match pattern.strip_suffix("::*") {
        // The name alone may be anything; with something behind it, it is the crate.
        Some(package) => path.strip_prefix(package).is_some_and(|rest| rest.starts_with("::")),
        None => begins(path, pattern),
    }
}

/// Global functions of fastrand: its types begin with a capital.
fn is_ambient_random(path: &str) -> bool {
    let function = path.strip_prefix("fastrand::");
    function.is_some_and(|name| name.starts_with(|c: char| c.is_lowercase() || c == '*'))
}

fn touched<'a>(source: &'a Source, patterns: &'a [&str]) -> impl Iterator<Item = &'a Named> {
    let paths = source.shipped.paths.iter();
    paths.filter(|named| patterns.iter().any(|pattern| covers(pattern, &named.path)))
}

fn unreadable(sources: &[Source]) -> Vec<Finding> {
    let errors = sources.iter().filter_map(|source| Some((source, source.all.error.as_ref()?)));
    errors.map(|(source, error)| Finding::new(&source.file, 0, format!("is not Rust: {error}"))).collect()
}

/// Cores name nothing outside.
pub(crate) fn cores(sources: &[Source]) -> Vec<Finding> {
    let mut findings = unreadable(sources);
    for source in sources.iter().filter(|source| source.area == Area::Core) {
        for named in touched(source, &NOT_IN_CORES).chain(random(source)) {
            let problem = format!("a core may not touch `{}`: same inputs, same outputs", named.path);
            findings.push(Finding::new(&source.file, named.line, problem));
        }
        findings.extend(lifted(source));
    }
    findings
}

/// Drivers reach sockets, files and wall time through the seam, and own their tasks.
pub(crate) fn drivers(sources: &[Source]) -> Vec<Finding> {
    let mut findings = unreadable(sources);
    for source in sources.iter().filter(|source| matches!(source.area, Area::Driver | Area::World)) {
        let touched_here = touched(source, &NOT_IN_DRIVERS).filter(|named| !covers(LOOKED_AT, &named.path));
        for named in touched_here.chain(random(source)) {
            let problem = format!("a driver may not use `{}`; see the reasons in clippy.toml", named.path);
            findings.push(Finding::new(&source.file, named.line, problem));
        }
        if source.area == Area::Driver {
            for named in touched(source, &ONLY_IN_WORLD) {
                let problem = format!("`{}` goes around the seam; ask `Runtime` for it", named.path);
                findings.push(Finding::new(&source.file, named.line, problem));
            }
            findings.extend(lifted(source));
        }
    }
    findings
}

fn random(source: &Source) -> impl Iterator<Item = &Named> {
    source.shipped.paths.iter().filter(|named| is_ambient_random(&named.path))
}

fn lifted(source: &Source) -> impl Iterator<Item = Finding> {
    touched(source, &LIFTED).map(|named| {
        let problem = format!("`{}` may be lifted only in tests, os.rs and above the drivers", named.path);
        Finding::new(&source.file, named.line, problem)
    })
}

/// `encode` and `decode` are called in the wire module, where the limits are; tests are not excepted.
pub(crate) fn bincode(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !WIRE.iter().any(|wire| source.file.starts_with(wire))) {
        for named in source.all.paths.iter().filter(|named| covers("bincode::*", &named.path)) {
            if !BINCODE_TRAITS.iter().any(|allowed| covers(allowed, &named.path)) {
                let problem = format!("`{}` belongs in transport/core/src/wire.rs", named.path);
                findings.push(Finding::new(&source.file, named.line, problem));
            }
        }
    }
    findings
}

mod tests {
    use super::*;

    fn one(file: &str, text: &str) -> [Source; 1] {
        [Source::new(file, text)]
    }

    #[test]
    fn a_core_that_looks_at_the_world_is_found() {
        for text in [
            "use std::{fs, fmt};",
            "use std::net::{SocketAddr, UdpSocket};",
            "use std::time::Instant; fn f() { let now = Instant::now(); }",
            "fn f() -> std::time::SystemTime { todo() }",
            "fn f() { let home = std::env::var(\"HOME\"); }",
            "fn f() { ::std::thread::yield_now(); }",
            "fn f() { tokio::select! { _ = x => {} } }",
            "fn f() { fastrand::shuffle(&mut v); }",
            "use std::collections::{BTreeMap, HashMap};",
            "fn f() { let rng = fastrand::Rng::new(); }",
            "#![allow(clippy::disallowed_methods)]",
        ] {
            assert_eq!(cores(&one("node/core/src/x.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_core_that_is_told_everything_is_fine() {
        let text = "
            use std::net::SocketAddr; use std::time::{Duration, Instant}; use std::io::Read;
            fn pick(now: Instant, rng: &mut fastrand::Rng) -> u64 { let rand = rng.u64(..); rand }
            #[cfg(test)] mod tests { fn f() { std::fs::read(\"x\"); } }
        ";

        assert_eq!(cores(&one("node/core/src/x.rs", text)), []);
    }

    #[test]
    fn a_driver_that_goes_around_the_seam_is_found() {
        for text in [
            "use tokio::net::TcpListener;",
            "fn f() { std::fs::write(\"a\", \"b\"); }",
            "fn f() { std::time::SystemTime::now(); }",
            "use std::net::TcpStream;",
            "fn f() { socket2::Socket::new(); }",
        ] {
            assert_eq!(drivers(&one("node/src/x.rs", text)).len(), 1, "{text}");
            assert_eq!(drivers(&one("transport/src/os.rs", text)), [], "{text}");
        }
    }

    #[test]
    fn a_driver_whose_tasks_have_no_owner_is_found() {
        for text in [
            "fn f() { tokio::spawn(async {}); }",
            "use tokio::task::{JoinSet, spawn_blocking};",
            "fn f() { std::thread::spawn(|| ()); }",
            "fn f() { tokio::runtime::Runtime::new(); }",
        ] {
            assert_eq!(drivers(&one("controller/src/x.rs", text)).len(), 1, "{text}");
            assert_eq!(drivers(&one("transport/src/os.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_driver_may_look_at_its_runtime() {
        let text = "fn f() -> usize { tokio::runtime::Handle::current().metrics().num_alive_tasks() }";

        assert_eq!(drivers(&one("controller/src/x.rs", text)), []);
    }

    #[test]
    fn programs_and_tests_are_free() {
        let text = "fn f() { tokio::spawn(async { std::fs::read(\"x\") }); }";

        for file in ["src/dev.rs", "scenarios/src/run.rs", "node/tests/story.rs", "tests/real.rs"] {
            assert_eq!(drivers(&one(file, text)), [], "{file}");
        }
    }

    #[test]
    fn a_call_of_bincode_outside_the_wire_is_found() {
        let text = "fn f() { bincode::decode_from_slice(b, bincode::config::standard()); }";

        assert_eq!(bincode(&one("controller/api/src/snapshot.rs", text)).len(), 2);
        assert_eq!(bincode(&one("tests/golden.rs", text)).len(), 2);
        assert_eq!(bincode(&one("transport/core/src/wire/data.rs", text)), []);
    }

    #[test]
    fn deriving_bincode_is_fine_anywhere() {
        let text = "use bincode::{Decode, Encode, de::Decoder}; use bincode::error::DecodeError;";

        assert_eq!(bincode(&one("controller/api/src/snapshot.rs", text)), []);
    }

    #[test]
    fn a_source_that_is_not_rust_is_found() {
        assert_eq!(cores(&one("node/src/x.rs", "fn f( {")).len(), 1);
    }
}
