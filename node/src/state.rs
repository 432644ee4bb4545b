//! JSON files of the state directory, each with a version: a newer one is refused and never rewritten, since an
//! older program would lose what it does not understand.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sinew_transport::{Access, Runtime};

/// The version of every file that this program writes here, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;

/// Why a file of the state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("{path}: {source}; is `state` right, may this user use it, and is there space left?")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what this program writes.
    #[error("{path} is damaged: {reason}; restore it from a backup, or remove it: {loss}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What is lost with it.
        loss: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has version {found}, newer than the {VERSION} known here: use the newer program, or remove the file: {loss}"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// What is lost with it.
        loss: &'static str,
    },
}

/// One file. What is in it has a field `version`.
#[derive(Debug, Clone)]
pub(crate) struct StateFile {
    runtime: Arc<dyn Runtime>,
    path: PathBuf,
    /// What is lost with it, for messages.
    loss: &'static str,
}

impl StateFile {
    pub(crate) fn new(runtime: &Arc<dyn Runtime>, path: PathBuf, loss: &'static str) -> Self {
        Self { runtime: Arc::clone(runtime), path, loss }
    }

    /// Its content; none when there is no such file.
    ///
    /// # Errors
    /// [`StateError`] when it can't be read, or is not of this program.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let (path, loss) = (self.path.clone(), self.loss);
        let bytes = match self.runtime.read_file(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::File { path, source }),
        };
        let damaged = |reason: String| StateError::Damaged { path: self.path.clone(), reason, loss };
        let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        match json.get("version").and_then(serde_json::Value::as_u64) {
            None => return Err(damaged("it has no `version`".to_owned())),
            Some(found) if found > u64::from(VERSION) => return Err(StateError::Newer { path, found, loss }),
            Some(_) => {}
        }
        serde_json::from_value(json).map(Some).map_err(|e| damaged(e.to_string()))
    }

    /// Replaces it.
    ///
    /// # Errors
    /// [`StateError::File`]; the old one is there then.
    pub(crate) fn write<T: Serialize>(&self, content: &T) -> Result<(), StateError> {
        let written = serde_json::to_vec(content)
            .map_err(io::Error::other)
            .and_then(|json| self.runtime.write_file(&self.path, &json, Access::Private));
        written.map_err(|source| StateError::File { path: self.path.clone(), source })
    }
}
