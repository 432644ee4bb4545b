//! What is on disk when it counts.

use std::path::Path;
use std::sync::Arc;

use sinew_transport::OsRuntime;
use sinew_transport::runtime::Runtime;

use super::*;

const NOW: u64 = 1_800_000_000;
const TTL: Duration = Duration::from_secs(900);
const HASH: SecretHash = SecretHash([7; 32]);

fn open(path: &Path) -> Result<Ledger, StateError> {
    let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
    Ledger::open(&StateDir::new(path, &runtime))
}

fn grant(services: &[&str]) -> Grant {
    let services = services.iter().map(|name| ServiceName::new(name).expect("valid")).collect();
    Grant { node: NodeName::new("n1").expect("valid"), services }
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_used_token_stays_used_and_its_grant_stays_granted_after_a_restart() {
    let dir = dir();
    let mut ledger = open(dir.path()).expect("new");
    ledger.create_token(NOW, HASH, grant(&["web", "orders"]), TTL).expect("made");
    let redeemed = ledger.redeem(NOW, &HASH).expect("kept");
    drop(ledger);

    let mut again = open(dir.path()).expect("kept");

    assert_eq!(redeemed, Outcome::Granted(grant(&["web", "orders"])));
    assert_eq!(again.redeem(NOW, &HASH).expect("kept"), Outcome::Used(grant(&[]).node));
    assert_eq!(again.grants()[&grant(&[]).node], grant(&["web", "orders"]).services);
}

#[test]
fn joining_again_replaces_the_grants() {
    let dir = dir();
    let mut ledger = open(dir.path()).expect("new");
    let other = SecretHash([8; 32]);
    ledger.create_token(NOW, HASH, grant(&["web"]), TTL).expect("made");
    ledger.create_token(NOW, other, grant(&["orders"]), TTL).expect("made");

    ledger.redeem(NOW, &HASH).expect("kept");
    ledger.redeem(NOW, &other).expect("kept");

    assert_eq!(ledger.grants()[&grant(&[]).node], grant(&["orders"]).services);
}

#[test]
fn a_token_that_can_not_be_kept_is_not_used_up() {
    let dir = dir();
    let mut ledger = open(dir.path()).expect("new");
    ledger.create_token(NOW, HASH, grant(&["web"]), TTL).expect("made");
    std::fs::remove_file(dir.path().join(TOKENS)).expect("removed");
    std::fs::create_dir(dir.path().join(TOKENS)).expect("in the way");

    let failed = ledger.redeem(NOW, &HASH);

    assert!(matches!(failed, Err(StateError::Io { .. })), "{failed:?}");
    assert!(matches!(ledger.look(NOW, &HASH), Outcome::Granted(_)));
    assert!(ledger.grants().is_empty());
}

#[test]
fn no_revision_is_handed_out_in_two_runs() {
    let dir = dir();
    let mut first = open(dir.path()).expect("new");
    let mut handed_out = first.last_revision();
    for _ in 0..2500 {
        handed_out = Revision(handed_out.0 + 1);
        first.reserve(handed_out).expect("kept");
    }
    drop(first);

    let second = open(dir.path()).expect("kept").last_revision();
    let third = open(dir.path()).expect("kept").last_revision();

    assert!(second >= handed_out, "{second} was handed out before");
    assert!(third > second, "a run that handed out a few must not see them repeated by the next");
}

#[test]
fn a_newer_or_damaged_file_is_refused_with_a_remedy_and_left_alone() {
    for (name, text, expected) in [
        (TOKENS, r#"{"version": 2, "tokens": []}"#, "has version 2, this program knows up to 1"),
        (GRANTS, r#"{"version": 99, "other": true}"#, "a newer sinew wrote it"),
        (REVISION, r#"{"version": 1, "reserved": "x"}"#, "delete it and restart every node"),
        (GRANTS, r#"{"version": 1, "nodes": {"N 1": []}}"#, "every node must join again"),
        (TOKENS, r#"{"version": 1, "tok"#, "tokens that were not used are lost"),
        (TOKENS, "[]", "it has no `version`"),
        (
            TOKENS,
            r#"{"version": 1, "tokens": [{"sha256": "12", "node": "n1", "services": [], "expires": 1, "used": true}]}"#,
            "64 hex digits",
        ),
    ] {
        let dir = dir();
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");

        let error = open(dir.path()).expect_err("refused").to_string();

        assert!(error.contains(expected) && error.contains(name), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
    }
}
