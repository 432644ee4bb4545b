//! The state directory: what a controller must not forget.
//!
//! Keys and certificates are PEM, `ports.json` says where the controller listens, and what the mesh is made of
//! is in the [store](crate::store). Files are replaced as a whole, through the [`Runtime`], so that a crash leaves the old one or the new one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sinew_transport::runtime::{Access, Runtime};

/// Why the state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
    #[error("{doing} {}: {source}; check the owner and the free space of the state directory", path.display())]
    Io {
        /// Reading or writing.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what this program writes.
    #[error("{} is damaged: {reason}; restore it from a backup, or {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What else can be done.
        remedy: &'static str,
    },
}

/// The directory, seen through the runtime.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    path: PathBuf,
    runtime: Arc<dyn Runtime>,
}

impl StateDir {
    pub(crate) fn new(path: &Path, runtime: &Arc<dyn Runtime>) -> Self {
        Self { path: path.to_owned(), runtime: Arc::clone(runtime) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's bytes; none when there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path(name);
        match self.runtime.read_file(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { doing: "reading", path, source }),
        }
    }

    /// Replaces a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], access: Access) -> Result<(), StateError> {
        let path = self.path(name);
        let written = self.runtime.write_file(&path, bytes, access);
        written.map_err(|source| StateError::Io { doing: "writing", path, source })
    }

    /// Replaces a JSON file.
    pub(crate) fn write_json<T: Serialize>(
        &self,
        name: &str,
        content: &T,
        access: Access,
    ) -> Result<(), StateError> {
        #[expect(clippy::expect_used, reason = "strings, numbers and lists always serialize")]
        let mut bytes = serde_json::to_vec_pretty(content).expect("plain data");
        bytes.push(b'\n');
        self.write(name, &bytes, access)
    }

    pub(crate) fn damaged(&self, name: &str, reason: String, remedy: &'static str) -> StateError {
        StateError::Damaged { path: self.path(name), reason, remedy }
    }
}
