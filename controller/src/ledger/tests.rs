//! What is on disk when it counts.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sinew_api::resource::{Change, MeshSettings, Resource, ResourceKey};
use sinew_api::snapshot::DefaultPolicy;
use sinew_transport::BoxFuture;
use tokio::sync::watch;

use super::*;
use crate::store::{Contents, MemoryStore};

const NOW: u64 = 1_800_000_000;
const TTL: Duration = Duration::from_secs(900);
const HASH: SecretHash = SecretHash([7; 32]);

/// A disk that can fail, before or after it has written.
#[derive(Debug, Default)]
struct Disk {
    store: MemoryStore,
    full: AtomicBool,
    /// It writes, and its answer is lost.
    mute: AtomicBool,
}

impl Store for Disk {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.store.load()
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            if self.full.load(Relaxed) {
                return Err(StoreError::Closed);
            }
            let made = self.store.commit(txn).await;
            if self.mute.load(Relaxed) { Err(StoreError::Closed) } else { made }
        })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.store.watch()
    }
}

async fn open(disk: &Arc<Disk>) -> Ledger {
    let mut ledger = Ledger::load(Arc::clone(disk) as Arc<dyn Store>).await.expect("as it was left");
    ledger.begin().await.expect("the disk takes it");
    ledger
}

fn grant(services: &[&str]) -> Grant {
    let services = services.iter().map(|name| ServiceName::new(name).expect("valid")).collect();
    Grant { node: NodeName::new("n1").expect("valid"), services }
}

fn deny() -> Resources {
    [Resource::Mesh(MeshSettings { default_policy: Some(DefaultPolicy::Deny) })].into_iter().collect()
}

fn past(revision: u64) -> Past {
    let change = Change { created: vec![ResourceKey::Mesh], ..Change::default() };
    Past { revision: Revision(revision), at: NOW, message: "why".into(), change }
}

#[tokio::test]
async fn a_used_token_stays_used_and_its_grant_stays_granted_after_a_restart() {
    let disk = Arc::default();
    let mut ledger = open(&disk).await;
    ledger.create_token(NOW, HASH, grant(&["web", "orders"]), TTL).await.expect("made");
    let redeemed = ledger.redeem(NOW, &HASH).await.expect("kept");
    drop(ledger);

    let mut again = open(&disk).await;

    assert_eq!(redeemed, Outcome::Granted(grant(&["web", "orders"])));
    assert_eq!(again.redeem(NOW, &HASH).await.expect("kept"), Outcome::Used(grant(&[]).node));
    assert_eq!(again.grants()[&grant(&[]).node], grant(&["web", "orders"]).services);
}

#[tokio::test]
async fn joining_again_replaces_the_grants() {
    let mut ledger = open(&Arc::default()).await;
    let other = SecretHash([8; 32]);
    ledger.create_token(NOW, HASH, grant(&["web"]), TTL).await.expect("made");
    ledger.create_token(NOW, other, grant(&["orders"]), TTL).await.expect("made");

    ledger.redeem(NOW, &HASH).await.expect("kept");
    ledger.redeem(NOW, &other).await.expect("kept");

    assert_eq!(ledger.grants()[&grant(&[]).node], grant(&["orders"]).services);
}

#[tokio::test]
async fn what_can_not_be_kept_has_not_happened() {
    let disk: Arc<Disk> = Arc::default();
    let mut ledger = open(&disk).await;
    ledger.create_token(NOW, HASH, grant(&["web"]), TTL).await.expect("made");
    disk.full.store(true, Relaxed);

    let redeemed = ledger.redeem(NOW, &HASH).await;
    let declared = ledger.declare(deny(), past(1)).await;

    assert!(redeemed.is_err() && declared.is_err(), "{redeemed:?} {declared:?}");
    assert!(matches!(ledger.look(NOW, &HASH), Outcome::Granted(_)));
    assert!(ledger.grants().is_empty() && ledger.resources().is_empty());
    assert_eq!(ledger.history().count(), 0);
}

#[tokio::test]
async fn what_was_declared_and_why_is_there_after_a_restart() {
    let disk = Arc::default();
    let mut ledger = open(&disk).await;
    ledger.declare(deny(), past(3)).await.expect("kept");
    ledger.declare(Resources::default(), past(4)).await.expect("kept");
    ledger.declare(deny(), past(12)).await.expect("kept");
    drop(ledger);

    let again = open(&disk).await;

    assert_eq!(again.resources(), &deny());
    assert_eq!(again.history().map(|past| past.revision.0).collect::<Vec<_>>(), [12, 4, 3]);
    assert_eq!(again.history().last(), Some(&past(3)));
}

#[tokio::test]
async fn the_history_forgets_its_oldest() {
    let disk = Arc::default();
    let mut ledger = open(&disk).await;
    for revision in 1..=HISTORY_MAX as u64 + 2 {
        ledger.declare(Resources::default(), past(revision)).await.expect("kept");
    }

    for ledger in [ledger, open(&disk).await] {
        assert_eq!(ledger.history().count(), HISTORY_MAX);
        assert_eq!(ledger.history().last().map(|past| past.revision.0), Some(3));
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_found_when_it_was_made() {
    let disk: Arc<Disk> = Arc::default();
    let mut ledger = open(&disk).await;
    disk.mute.store(true, Relaxed);
    ledger.declare(deny(), past(3)).await.expect_err("no answer");
    disk.mute.store(false, Relaxed);

    assert!(ledger.make_sure().await.expect("it loads"));

    assert_eq!(ledger.resources(), &deny());
    assert!(!ledger.make_sure().await.expect("nothing to do"));
    ledger.declare(Resources::default(), past(4)).await.expect("as before");
}

#[tokio::test]
async fn of_two_controllers_on_one_store_the_second_looks_again_before_it_writes() {
    let disk = Arc::default();
    let (mut one, mut other) = (open(&disk).await, open(&disk).await);
    // Opening reserves revisions: the other came last.
    let refused = one.declare(deny(), past(3)).await;

    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert!(one.make_sure().await.expect("it loads"));
    one.declare(deny(), past(3)).await.expect("kept");
    assert!(other.declare(Resources::default(), past(4)).await.is_err());
    assert!(other.make_sure().await.expect("it loads"));
    assert_eq!(other.resources(), &deny());
}

#[tokio::test]
async fn no_revision_is_handed_out_in_two_runs() {
    let disk = Arc::default();
    let mut first = open(&disk).await;
    let mut handed_out = first.last_revision();
    for _ in 0..250 {
        handed_out = Revision(handed_out.0 + REVISIONS_LEFT / 100);
        first.reserve(handed_out).await.expect("kept");
    }
    drop(first);

    let second = open(&disk).await.last_revision();
    let third = open(&disk).await.last_revision();

    assert!(second >= handed_out, "{second} was handed out before");
    assert!(third > second, "a run that handed out a few must not see them repeated by the next");
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_refused_by_name() {
    for (key, value, expected) in [
        (
            "token/12",
            r#"{"sha256": "12", "node": "n1", "services": [], "expires": 1, "used": true}"#,
            "64 hex",
        ),
        ("grant/N 1", "[]", "not a valid node name"),
        ("grant/n1", "{}", "`grant/n1`"),
        ("resource/mesh", r#"{"kind": "other"}"#, "`resource/mesh`"),
        ("history/1", "3", "`history/1`"),
        ("revisions", "\"x\"", "`revisions`"),
    ] {
        let disk: Arc<Disk> = Arc::default();
        let ops = vec![Op::Put(key.to_owned(), value.as_bytes().to_vec())];
        disk.store.commit(Txn { expects: vec![], ops }).await.expect("any bytes");

        let error = Ledger::load(disk as Arc<dyn Store>).await.expect_err("refused").to_string();

        assert!(error.contains(expected) && error.contains("restore it from a backup"), "{error}");
    }
}

#[tokio::test]
async fn a_declaration_and_its_history_are_one_transaction() {
    let disk: Arc<Disk> = Arc::default();
    let mut ledger = open(&disk).await;
    let before = *disk.watch().borrow();

    ledger.declare(deny(), past(1)).await.expect("kept");

    assert_eq!(*disk.watch().borrow(), before + 1, "a death in between would leave a half");
}
