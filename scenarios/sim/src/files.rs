//! A disk: whole files by path. Directories are there as soon as something is in them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Files on one disk. A state directory has some dozens, and one for each token and grant.
const FILES_MAX: usize = 16_384;
/// Bytes in one file: an access log of a long simulation. Beyond it the disk is full.
const FILE_MAX: usize = 256 << 20;

/// What a path names. Replacing a file leaves the old one to whoever has it open.
type Inode = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(crate) struct Files {
    names: Mutex<BTreeMap<PathBuf, Inode>>,
    /// Counts writes.
    changes: watch::Sender<u64>,
}

impl Default for Files {
    fn default() -> Self {
        Self { names: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl Files {
    /// Something that changes with every write.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(path).map(|file| file.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(crate) fn write(&self, path: PathBuf, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > FILE_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.place(path, |name| *name = Inode::new(Mutex::new(bytes.to_vec())))?;
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Opens a file to add to its end.
    pub(crate) fn open(&self, path: PathBuf) -> io::Result<Appender> {
        let file = self.place(path, |name| Arc::clone(name))?;
        Ok(Appender { file, changes: self.changes.clone() })
    }

    /// Does something with what a name stands for; an empty file when it stood for nothing.
    fn place<T>(&self, path: PathBuf, act: impl FnOnce(&mut Inode) -> T) -> io::Result<T> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= FILES_MAX && !names.contains_key(&path) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(act(names.entry(path).or_default()))
    }
}

/// A file, open for adding.
#[derive(Debug)]
pub(crate) struct Appender {
    file: Inode,
    changes: watch::Sender<u64>,
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.len() + bytes.len() > FILE_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.extend_from_slice(bytes);
        self.changes.send_modify(|n| *n += 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
