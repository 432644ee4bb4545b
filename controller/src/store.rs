//! Where the controller keeps what it must not forget: a small key-value store with revisions, shaped like
//! etcd's.
//!
//! **The rule:** a [`Txn`] is all or nothing. It names what it believes ([`Expect`]) and what it changes; when
//! one belief is wrong nothing changes, and whoever asked looks again. A commit that was answered is on disk:
//! it survives the death of the process at any moment.
//!
//! Revisions count transactions, from 1; each entry carries the one that changed it last. [`DiskStore`] keeps
//! everything in one file, on a thread of its own; [`MemoryStore`] is for simulation and tests. Values are JSON,
//! which is the business of whoever puts them there.

mod disk;
mod memory;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use sinew_transport::BoxFuture;
use tokio::sync::watch;

pub use disk::DiskStore;
pub use memory::MemoryStore;

/// The version of the layout of a store, and the newest that this program reads.
pub const VERSION: u64 = 1;

/// The longest key. The longest name of a resource has two names and an address in it.
pub const KEY_MAX: usize = 512;
/// The longest value: one resource, one token or the summary of one change.
pub const VALUE_MAX: usize = 1024 * 1024;
/// The most changes of one transaction: an apply of a whole large mesh.
pub const OPS_MAX: usize = 200_000;

/// A store. See the module's text.
pub trait Store: Debug + Send + Sync + 'static {
    /// Everything there is. A controller asks once, when it starts, and knows from its own commits from then on.
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>>;

    /// Makes a transaction, or changes nothing. Answers the new revision when it is on disk.
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// The revision, as it grows, whoever commits.
    fn watch(&self) -> watch::Receiver<u64>;
}

/// A change of several entries at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must be true for the change to be made.
    pub expects: Vec<(String, Expect)>,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

/// What a transaction believes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such entry.
    Absent,
    /// It was changed last in this revision.
    ChangedIn(u64),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes an entry, new or not.
    Put(String, Vec<u8>),
    /// Takes an entry out, if it is there.
    Delete(String),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The revision that changed it last.
    pub changed_in: u64,
    /// What it holds.
    pub value: Vec<u8>,
}

/// Everything in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many transactions there were.
    pub revision: u64,
    /// The entries by key.
    pub entries: BTreeMap<String, Entry>,
}

/// Why a store can't be used, or did not make a transaction.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something that the transaction believed is not true (any more).
    #[error("`{0}` was changed by someone else meanwhile; look at it and try again")]
    Conflict(String),
    /// A key, a value or the transaction is too large.
    #[error("{what} has {len} bytes or entries, at most {max} are kept; nothing was changed")]
    TooLarge {
        /// What is.
        what: String,
        /// How large it is.
        len: usize,
        /// How large it may be.
        max: usize,
    },
    /// Another process has it open.
    #[error("{} is in use: is another controller running with this state directory? Stop it first", .0.display())]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error(
        "{} has version {found}, this program knows up to {VERSION}: a newer sinew wrote it; start that one, or \
         restore a backup of the state directory from before the upgrade", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It is not what this program writes.
    #[error(
        "{} is damaged: {reason}; restore it from a backup. Without one, move it away and start once with \
         --new-store: nodes that joined keep their certificates, but must be granted again with `sinew apply` or new \
         tokens", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The operating system refused.
    #[error("{doing} {}: {reason}; check the owner and the free space of the state directory", path.display())]
    Io {
        /// Reading or writing.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The thread of the store is gone.
    #[error("the store was closed; the controller is stopping, or its disk failed: see the log")]
    Closed,
}

impl Txn {
    /// Refuses what no store keeps.
    fn check(&self) -> Result<(), StoreError> {
        let too_large = |what: String, len, max| Err(StoreError::TooLarge { what, len, max });
        if self.ops.len() > OPS_MAX {
            return too_large("the transaction".to_owned(), self.ops.len(), OPS_MAX);
        }
        for op in &self.ops {
            let (Op::Put(key, _) | Op::Delete(key)) = op;
            if key.len() > KEY_MAX {
                return too_large(format!("the key `{key:.60}…`"), key.len(), KEY_MAX);
            }
            if let Op::Put(key, value) = op
                && value.len() > VALUE_MAX
            {
                return too_large(format!("the value of `{key}`"), value.len(), VALUE_MAX);
            }
        }
        Ok(())
    }
}

impl Expect {
    /// Whether this is true of an entry that was changed last in that revision; none: there is no entry.
    fn holds(self, changed_in: Option<u64>) -> bool {
        match self {
            Self::Absent => changed_in.is_none(),
            Self::ChangedIn(revision) => changed_in == Some(revision),
        }
    }
}

#[cfg(test)]
mod tests;
