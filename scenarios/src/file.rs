//! Scenario files: TOML in, a [`Scenario`] or every mistake at its line and column out.
//!
//! Two stages. [`tables`] reads the tables with their [`keys`] and yields what was written, each value with
//! its place. [`check`] gives it meaning: names are resolved, order and
//! limits kept. Both only collect mistakes, so that one run shows them all; a value that is missing or
//! unreadable is reported once and skipped by everything that depends on it.
//!
//! ```toml
//! [scenario]
//! name = "quickstart"
//! seed = 1                       # optional, 1
//!
//! [[node]]
//! name = "n1"
//! zone = "a"                     # optional
//! started = true                 # optional; false: an event starts it
//!
//! [[service]]
//! name = "orders"
//! behaviour = "echo-id"          # optional; or "http", "line"
//! endpoint = [{ node = "n1", latency = "10ms", configured = true }] # both optional; false: an event declares it
//!
//! [[listener]]
//! name = "shop"
//! node = "n1"
//! service = "orders"
//! as = "web"
//!
//! [[load]]
//! name = "orders"
//! listener = "shop"
//! rate = 200                     # requests a second, open loop
//! duration = "30s"
//! start = "0s"                   # optional
//! connections = "new"            # optional; or how many are kept
//! payload = [64, 4096]           # optional; bytes, least and most
//! timeout = "15s"                # optional
//!
//! [[event]]
//! name = "slower"
//! at = "10s"
//! slow = { service = "orders", node = "n1", by = "100ms" }
//! # or: kill = { node = "n1" }, return, pause, continue
//! #     kill = { controller = true }, return
//! #     start = { node = "n1" }
//! #     apply = { service = "orders", node = "n1" }
//!
//! [expect.slow_share]            # the check is the name, unless `check = "…"` says otherwise
//! event = "slower"
//! at_least = 0.9
//! within = "5s"
//! # others: failed, wrong_bytes, dead_picks, share_back, share_gained, first_picks, undisturbed, p99
//! ```

mod check;
mod keys;
mod tables;
#[cfg(test)]
mod tests;

use std::path::Path;

use sinew_api::document::{self, FILE_MAX, InvalidDocument};

use crate::scenario::Scenario;

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file can't be read.
    #[error("cannot read scenario {path}: {source}; check the path")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than any scenario.
    #[error("{path} is longer than {FILE_MAX} bytes; is it a scenario?")]
    TooLong {
        /// Its path.
        path: String,
    },
    /// The file says something that can't be.
    #[error(transparent)]
    Invalid(#[from] InvalidDocument),
}

/// Reads the scenario in the file at `path`.
///
/// # Errors
/// [`FileError`]; all mistakes in the file are in it.
pub fn load(path: &Path) -> Result<Scenario, FileError> {
    let shown = path.display().to_string();
    let unreadable = |source| FileError::Unreadable { path: shown.clone(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX as u64 {
        return Err(FileError::TooLong { path: shown });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(parse(&shown, &text)?)
}

/// Reads the scenario in `text`; `file` is what messages call it.
///
/// # Errors
/// [`InvalidDocument`] with every mistake.
pub fn parse(file: &str, text: &str) -> Result<Scenario, InvalidDocument> {
    document::read(file, text, FILE_MAX, keys::FILE, |table| check::check(&tables::read(table), table))
}
