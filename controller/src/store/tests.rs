//! Both stores by the same rules; the file by what disks and people do to it.

use std::path::Path;
use std::sync::Arc;

use super::*;

/// Both kinds, each new; the second one's file is in the directory.
fn stores(directory: &Path) -> [Arc<dyn Store>; 2] {
    [Arc::new(MemoryStore::default()), Arc::new(open(&directory.join("store.redb")).expect("a new file"))]
}

#[allow(clippy::disallowed_methods, reason = "the test is the program here")]
fn open(path: &Path) -> Result<DiskStore, StoreError> {
    DiskStore::open(path, |serve| std::thread::Builder::new().spawn(serve).map(drop))
}

fn put(key: &str, value: &str) -> Op {
    Op::Put(key.to_owned(), value.as_bytes().to_vec())
}

fn ops(ops: impl Into<Vec<Op>>) -> Txn {
    Txn { expects: Vec::new(), ops: ops.into() }
}

/// What is in a store: its revision, and each entry with the revision that changed it.
async fn seen(store: &dyn Store) -> (u64, Vec<(String, u64, String)>) {
    let contents = store.load().await.expect("it loads");
    let entry = |(key, entry): (String, Entry)| {
        (key, entry.changed_in, String::from_utf8(entry.value).expect("text"))
    };
    (contents.revision, contents.entries.into_iter().map(entry).collect())
}

#[tokio::test]
async fn a_transaction_counts_one_revision_and_marks_what_it_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    for store in stores(directory.path()) {
        assert_eq!(seen(&*store).await, (0, vec![]));

        assert_eq!(store.commit(ops([put("a", "1"), put("b", "1")])).await.expect("made"), 1);
        assert_eq!(
            store.commit(ops([put("b", "2"), Op::Delete("a".into()), put("c", "1")])).await.expect("made"),
            2
        );

        let entries = vec![("b".into(), 2, "2".into()), ("c".into(), 2, "1".into())];
        assert_eq!(seen(&*store).await, (2, entries));
        assert_eq!(*store.watch().borrow(), 2);
    }
}

#[tokio::test]
async fn a_transaction_that_believes_something_wrong_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for store in stores(directory.path()) {
        store.commit(ops([put("a", "1")])).await.expect("made");
        let before = seen(&*store).await;
        for expect in [("a", Expect::Absent), ("a", Expect::ChangedIn(7)), ("b", Expect::ChangedIn(1))] {
            let expects = vec![("a".to_owned(), Expect::ChangedIn(1)), (expect.0.to_owned(), expect.1)];

            let refused = store.commit(Txn { expects, ops: vec![put("a", "2"), put("b", "2")] }).await;

            assert!(
                matches!(&refused, Err(StoreError::Conflict(key)) if key == expect.0),
                "{expect:?}: {refused:?}"
            );
            assert_eq!(seen(&*store).await, before);
        }
        let expects = vec![("a".to_owned(), Expect::ChangedIn(1)), ("b".to_owned(), Expect::Absent)];
        store.commit(Txn { expects, ops: vec![put("b", "2")] }).await.expect("both are true");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_anything_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    for store in stores(directory.path()) {
        for op in [
            put(&"k".repeat(KEY_MAX + 1), ""),
            Op::Put("k".into(), vec![0; VALUE_MAX + 1]),
            Op::Delete("k".repeat(KEY_MAX + 1)),
        ] {
            let refused = store.commit(ops([put("a", "1"), op])).await;

            assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
        }
        assert_eq!(seen(&*store).await, (0, vec![]));
    }
}

#[tokio::test]
async fn a_file_keeps_everything_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state/store.redb");
    let before = {
        let store = open(&path).expect("a new file");
        store.commit(ops([put("a", "1")])).await.expect("made");
        store.commit(ops([put("b", "2")])).await.expect("made");
        seen(&store).await
    };

    let store = reopened(&path).await;

    assert_eq!(seen(&store).await, before);
    assert_eq!(*store.watch().borrow(), 2);
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().expect("a directory"))), (0o600, 0o700));
}

/// The file again, as soon as the thread of its last store has let go of it.
async fn reopened(path: &Path) -> DiskStore {
    loop {
        match open(path) {
            Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
            opened => return opened.expect("as it was left"),
        }
    }
}

#[tokio::test]
async fn a_file_that_is_open_is_not_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.redb");
    let _first = open(&path).expect("a new file");

    let second = open(&path);

    assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    assert!(second.expect_err("refused").to_string().contains("another controller"));
}

/// A file with a hundred entries, closed.
async fn filled(path: &Path) -> Vec<u8> {
    {
        let store = open(path).expect("a new file");
        for n in 0..100 {
            store.commit(ops([put(&format!("key-{n}"), &"value".repeat(100))])).await.expect("made");
        }
    }
    drop(reopened(path).await);
    // Its thread lets go of it soon.
    drop(reopened(path).await);
    std::fs::read(path).expect("readable")
}

#[tokio::test]
async fn a_damaged_or_half_written_file_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = filled(&directory.path().join("good.redb")).await;
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    for byte in flipped.iter_mut().skip(4096).step_by(512) {
        *byte ^= 0x55;
    }
    for (name, bytes) in [
        ("cut", good[..middle].to_vec()),
        ("head", good[..100].to_vec()),
        ("text", b"version = 1\n".to_vec()),
        ("zeros", vec![0; good.len()]),
        ("flipped", flipped),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, &bytes).expect("written");

        let refused = open(&path);

        assert!(matches!(&refused, Err(StoreError::Damaged { .. })), "{name}: {refused:?}");
        let told = refused.expect_err("refused").to_string();
        assert!(told.contains("restore it from a backup"), "{name}: {told}");
        assert!(
            std::fs::metadata(&path).expect("there").len() > 0,
            "{name} is kept for whoever can repair it"
        );
    }
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.redb");
    let database = redb::Database::create(&path).expect("a new file");
    let transaction = database.begin_write().expect("begun");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).expect("made").insert("version", VERSION + 1).expect("written");
    transaction.commit().expect("made");
    drop(database);

    let refused = open(&path);

    assert!(matches!(&refused, Err(StoreError::Newer { found, .. }) if *found == VERSION + 1), "{refused:?}");
    assert!(refused.expect_err("refused").to_string().contains("a newer sinew wrote it"));
}

#[tokio::test]
async fn a_file_without_a_version_that_ever_was_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, entry) in [("none", ("revision", 3)), ("zero", ("version", 0))] {
        let path = directory.path().join(name);
        let database = redb::Database::create(&path).expect("a new file");
        let transaction = database.begin_write().expect("begun");
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).expect("made").insert(entry.0, entry.1).expect("written");
        transaction.commit().expect("made");
        drop(database);

        let refused = open(&path);

        assert!(matches!(&refused, Err(StoreError::Damaged { .. })), "{name}: {refused:?}");
        assert!(refused.expect_err("refused").to_string().contains("restore it from a backup"), "{name}");
    }
}
