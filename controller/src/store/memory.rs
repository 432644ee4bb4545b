//! A store that forgets with the process: for simulation, where a controller dies and its store does not, and
//! for tests.

use std::sync::{Mutex, PoisonError};

use sinew_transport::BoxFuture;
use tokio::sync::watch;

use super::{Contents, Entry, Op, Store, StoreError, Txn};

/// See the module's text.
#[derive(Debug)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
    revision: watch::Sender<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { contents: Mutex::default(), revision: watch::Sender::new(0) }
    }
}

impl Store for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { Ok(contents) })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<u64, StoreError>> {
        let made = txn.check().and_then(|()| {
            let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            make(&mut contents, txn)
        });
        if let Ok(revision) = made {
            self.revision.send_replace(revision);
        }
        Box::pin(async move { made })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

fn make(contents: &mut Contents, txn: Txn) -> Result<u64, StoreError> {
    for (key, expect) in &txn.expects {
        if !expect.holds(contents.entries.get(key).map(|entry| entry.changed_in)) {
            return Err(StoreError::Conflict(key.clone()));
        }
    }
    contents.revision += 1;
    for op in txn.ops {
        match op {
            Op::Put(key, value) => {
                contents.entries.insert(key, Entry { changed_in: contents.revision, value });
            }
            Op::Delete(key) => {
                contents.entries.remove(&key);
            }
        }
    }
    Ok(contents.revision)
}
