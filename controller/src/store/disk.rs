//! A store in one file (redb), on a thread of its own: a commit waits for the disk, and nothing else may.
//!
//! redb writes a new tree beside the old one and then switches with one checked write, so that a death at any
//! moment leaves one or the other. Opening verifies every checksum: what the disk has damaged is refused, not
//! served.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
    TableError,
};
use sinew_transport::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Contents, Entry, Op, Store, StoreError, Txn, VERSION};

/// Entries: the key, then the revision that changed it last and the value.
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");
/// `version` and `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Requests on their way to the thread; whoever comes beyond it waits for its turn.
const REQUESTS_MAX: usize = 64;

/// Cache of the file: a mesh of ten thousand nodes is some ten megabytes.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// A store in one file. Dropping the last one ends its thread after what it was asked.
#[derive(Debug)]
pub struct DiskStore {
    requests: mpsc::Sender<Request>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
enum Request {
    Load(oneshot::Sender<Result<Contents, StoreError>>),
    Commit(Txn, oneshot::Sender<Result<u64, StoreError>>),
}

impl DiskStore {
    /// The name of its file in the state directory.
    pub const FILE: &'static str = "store.redb";

    /// Opens the file, or makes it (0600), its directory included (0700). `start` must run what it is given on
    /// a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Newer`], [`StoreError::Damaged`] and [`StoreError::Io`], each with
    /// its remedy.
    pub fn open(
        path: &Path,
        start: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> Result<Self, StoreError> {
        let file = File::open(path)?;
        let revision = watch::Sender::new(file.revision()?);
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        start(Box::new(move || file.serve(inbox))).map_err(|error| StoreError::Io {
            doing: "starting the thread of",
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self { requests, revision })
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store for DiskStore {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(self.ask(Request::Load))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            txn.check()?;
            let revision = self.ask(|answer| Request::Commit(txn, answer)).await?;
            self.revision.send_replace(revision);
            Ok(revision)
        })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

/// The open file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// None while it could not be opened again.
    database: Option<Database>,
    /// Whether the system refused something: redb does nothing more then, until the file is opened again.
    broken: bool,
}

impl File {
    fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            make_private(directory).map_err(|error| failed("making the directory of", path, &error))?;
        }
        let this = Self { path: path.to_owned(), database: Some(open_database(path, true)?), broken: false };
        this.check_version()?;
        Ok(this)
    }

    /// Opens it again when the system refused something: the disk may have space by now. What was committed is in
    /// it, and what was not is not.
    fn mend(&mut self) -> Result<(), StoreError> {
        if self.broken {
            // It holds the lock of the file.
            self.database = None;
            self.database = Some(open_database(&self.path, false)?);
            self.check_version()?;
            self.broken = false;
        }
        Ok(())
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    /// A new file gets its version; an old one must have one that is known.
    fn check_version(&self) -> Result<(), StoreError> {
        let found = self.meta("version")?;
        match found {
            Some(VERSION) => Ok(()),
            Some(found) if found > VERSION => Err(StoreError::Newer { path: self.path.clone(), found }),
            Some(_) => Err(self.damaged("its version is none that ever was")),
            None if self.revision()? > 0 => Err(self.damaged("it has no version")),
            None => self.begin(),
        }
    }

    fn begin(&self) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            transaction.open_table(META)?.insert("version", VERSION)?;
            transaction.open_table(ENTRIES)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.failed("writing", &error))
    }

    fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.meta("revision")?.unwrap_or(0))
    }

    fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            match transaction.open_table(META) {
                Ok(table) => Ok(table.get(name)?.map(|value| value.value())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.failed("reading", &error))
    }

    /// Does what it is asked, until nobody can ask any more.
    fn serve(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.blocking_recv() {
            let usable = self.mend();
            // Whoever asked may be gone; what was asked counts all the same.
            match request {
                Request::Load(answer) => {
                    let loaded = usable.and_then(|()| self.load());
                    drop(answer.send(self.noting(loaded)));
                }
                Request::Commit(txn, answer) => {
                    let committed = usable.and_then(|()| self.commit(txn));
                    drop(answer.send(self.noting(committed)));
                }
            }
        }
    }

    /// Notes whether the system refused.
    fn noting<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        self.broken |= matches!(done, Err(StoreError::Io { .. }));
        done
    }

    fn load(&self) -> Result<Contents, StoreError> {
        let read = || -> Result<Contents, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            let mut contents = Contents::default();
            for entry in transaction.open_table(ENTRIES)?.iter()? {
                let (key, value) = entry?;
                let (changed_in, value) = value.value();
                let entry = Entry { changed_in, value: value.to_vec() };
                contents.entries.insert(key.value().to_owned(), entry);
            }
            contents.revision = transaction.open_table(META)?.get("revision")?.map_or(0, |r| r.value());
            Ok(contents)
        };
        read().map_err(|error| self.failed("reading", &error))
    }

    fn commit(&self, txn: Txn) -> Result<u64, StoreError> {
        let write = || -> Result<Result<u64, StoreError>, redb::Error> {
            let transaction = self.database()?.begin_write()?;
            let revision = {
                let (mut entries, mut meta) =
                    (transaction.open_table(ENTRIES)?, transaction.open_table(META)?);
                for (key, expect) in &txn.expects {
                    if !expect.holds(entries.get(key.as_str())?.map(|entry| entry.value().0)) {
                        return Ok(Err(StoreError::Conflict(key.clone())));
                    }
                }
                let revision = meta.get("revision")?.map_or(0, |r| r.value()) + 1;
                for op in &txn.ops {
                    match op {
                        Op::Put(key, value) => {
                            entries.insert(key.as_str(), (revision, value.as_slice()))?;
                        }
                        Op::Delete(key) => {
                            entries.remove(key.as_str())?;
                        }
                    }
                }
                meta.insert("revision", revision)?;
                revision
            };
            transaction.commit()?;
            Ok(Ok(revision))
        };
        write().map_err(|error| self.failed("writing", &error))?
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), reason: reason.to_owned() }
    }

    fn failed(&self, doing: &'static str, error: &redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(reason) => self.damaged(reason),
            error => StoreError::Io { doing, path: self.path.clone(), reason: error.to_string() },
        }
    }
}

/// Opens the file, with every checksum verified; makes it (0600) when there is none and `create` says so.
fn open_database(path: &Path, create: bool) -> Result<Database, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o600);
    let file = options.open(path).map_err(|error| failed("opening", path, &error))?;
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file).map_err(|error| refused(path, error))?)
        .map_err(|error| refused(path, error))
}

fn failed(doing: &'static str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), reason: error.to_string() }
}

/// Why redb did not open a file, in our words.
fn refused(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path),
        DatabaseError::UpgradeRequired(version) => {
            StoreError::Damaged { path, reason: format!("it has the format {version} of another program") }
        }
        // A file that ends early, or begins with something else, is damaged; for the rest ask the system.
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::Io { doing: "opening", path, reason: error.to_string() }
        }
        error => StoreError::Damaged { path, reason: error.to_string() },
    }
}

/// Makes a directory that only its owner may enter, unless it is there.
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
