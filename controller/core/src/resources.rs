//! What an operator declares: from the text of a file to what each node must be told.
//!
//! [`file`](read) turns TOML into resources and remembers the place of every field. [`check`] holds a whole set
//! against itself: it knows nothing of files, so that what comes as JSON is checked by the same rules; what it
//! finds is a [`Fault`] with a resource and a field, which [`read`] puts back at its place in the file. [`change`]
//! tells two sets apart, [`render`] writes a set as a file again (`read` of it gives the same set). What a set
//! means for each node is told by [`crate::declared`].
//!
//! Nothing is stored here, and nothing is taken in part: a file with one mistake declares nothing.

mod change;
mod check;
mod fields;
mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::document::{self, InvalidDocument};
use sinew_api::resource::Resources;
use sinew_transport_core::ids::{NodeName, ServiceName};

pub use change::change;
pub use check::{Fault, MAX_GRANTS, MAX_SERVICES, check};
pub use fields::render;

/// The longest file of resources: ten thousand nodes with two endpoints each take half of it.
pub const FILE_MAX: usize = 4 * 1024 * 1024;

/// What a node that joined may host and speak for by its token, by node.
pub type TokenGrants = BTreeMap<NodeName, BTreeSet<ServiceName>>;

/// What is there already.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What was declared before.
    pub stored: &'a Resources,
    /// The nodes that joined. They need no `[[node]]` unless something is to be said about them.
    pub tokens: &'a TokenGrants,
}

/// What becomes of resources that a file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// They stay.
    Kept,
    /// They are deleted (`--prune`).
    Deleted,
}

/// The set that there is after `declared` was applied to `stored`.
#[must_use]
pub fn merge(stored: &Resources, declared: Resources, unnamed: Unnamed) -> Resources {
    match unnamed {
        Unnamed::Deleted => declared,
        Unnamed::Kept => {
            let mut merged = stored.clone();
            merged.extend(declared);
            merged
        }
    }
}

/// Reads a file of resources and gives the whole set that there is once it is applied.
///
/// # Errors
/// Every mistake in the file, alone and beside what is there already. What was wrong before and has nothing to
/// do with the file is not held against it.
pub fn read(
    file_name: &str,
    text: &str,
    known: Known<'_>,
    unnamed: Unnamed,
) -> Result<Resources, InvalidDocument> {
    let nothing = Resources::default();
    let base = if unnamed == Unnamed::Kept { known.stored } else { &nothing };
    document::read(file_name, text, FILE_MAX, file::KEYS, |table| {
        let draft = file::read(table, base);
        let merged = merge(base, draft.resources, unnamed);
        let mut faults = check(&merged, known.tokens);
        if faults.iter().any(|fault| !draft.places.has(fault)) {
            let before = check(known.stored, known.tokens);
            let before: BTreeSet<_> =
                before.into_iter().map(|fault| (fault.key, fault.field, fault.message)).collect();
            let is_old = |fault: &Fault| {
                before.contains(&(fault.key.clone(), fault.field.clone(), fault.message.clone()))
            };
            faults.retain(|fault| draft.places.has(fault) || !is_old(fault));
        }
        for fault in faults {
            if fault.beside.as_ref().is_some_and(|(beside, _)| draft.flawed.contains(beside)) {
                continue;
            }
            let (span, whose) = match draft.places.of(&fault) {
                Some(span) => (span, String::new()),
                None => (0..0, format!("{}: ", fault.key)),
            };
            table.mistake(span, format!("{whose}{}", fault.message), fault.help);
        }
        Some(merged)
    })
}
