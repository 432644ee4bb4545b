//! What an operator declares: from the texts of files to a set of resources that fit together.
//!
//! [`file`](read) turns TOML into resources and remembers the place of every field. [`check`] holds a whole set
//! against itself: it knows nothing of files, so that what comes as JSON is checked by the same rules; what it
//! finds is a [`Fault`] with a resource and a field, which [`read`] puts back at its place in the file. [`change`]
//! tells two sets apart, and [`render`] writes a set as a file again (`read` of it gives the same set). What a set
//! means for each node is said by [`crate::declared`].
//!
//! Nothing is stored here, and nothing is taken in part: files with one mistake declare nothing.

mod change;
mod check;
mod fields;
mod file;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use sinew_api::document::{InvalidDocument, Mistakes, Parsed};
use sinew_api::resource::Resources;
use sinew_transport_core::ids::{NodeName, ServiceName};

pub use change::change;
pub use check::{Fault, MAX_GRANTS, MAX_SERVICES, check};
pub use fields::render;
pub use keys::KEYS;

/// The longest file of resources: ten thousand nodes with two endpoints each take half of it.
pub const FILE_MAX: usize = 4 * 1024 * 1024;

/// A commented file with every key.
pub const EXAMPLE: &str = include_str!("resources/example.toml");

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

/// A file of resources: its name, for messages, and its text.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its TOML, at most [`FILE_MAX`] bytes.
    pub text: &'a str,
}

/// Reads files of resources that belong together, in any order, and gives the whole set that there is once they
/// are applied.
///
/// # Errors
/// Every mistake in the files that have some, in their order: in each alone, in all of them together, and beside
/// what is there already. What was wrong before and has nothing to do with the files is not held against them.
/// With mistakes in the syntax of one, only such mistakes: what the rest means cannot be told.
pub fn read(
    files: &[File<'_>],
    known: Known<'_>,
    unnamed: Unnamed,
) -> Result<Resources, Vec<InvalidDocument>> {
    let mistakes: Vec<Mistakes> = files.iter().map(|_| Mistakes::default()).collect();
    let resources = read_into(files, known, unnamed, &mistakes);
    let wrong = files.iter().zip(mistakes).filter(|(_, mistakes)| !mistakes.is_empty());
    let errors: Vec<_> = wrong.map(|(file, mistakes)| mistakes.into_error(file.name, file.text)).collect();
    if errors.is_empty() { Ok(resources.unwrap_or_default()) } else { Err(errors) }
}

fn read_into(
    files: &[File<'_>],
    known: Known<'_>,
    unnamed: Unnamed,
    mistakes: &[Mistakes],
) -> Option<Resources> {
    let texts = files.iter().map(|file| file.text).zip(mistakes);
    let parsed: Vec<_> = texts.map(|(text, mistakes)| Parsed::new(text, FILE_MAX, mistakes)).collect();
    let parsed: Vec<_> = parsed.iter().map(Option::as_ref).collect::<Option<_>>()?;
    let tables: Vec<_> =
        parsed.iter().zip(mistakes).map(|(parsed, mistakes)| parsed.table(KEYS, mistakes)).collect();

    let nothing = Resources::default();
    let base = if unnamed == Unnamed::Kept { known.stored } else { &nothing };
    let draft = file::read(&tables, base);
    let merged = merge(base, draft.resources, unnamed);
    for fault in new_faults(&merged, known, &draft.places) {
        // What is missing there may be what could not be read.
        let causes = fault.beside.as_ref().is_some_and(|(beside, _)| draft.flawed.contains(beside));
        match draft.places.of(&fault) {
            _ if causes => {}
            Some((file, span)) => tables[file].mistake(span, fault.message, fault.help),
            None => tables[0].mistake(0..0, format!("{}: {}", fault.key, fault.message), fault.help),
        }
    }
    Some(merged)
}

/// The faults of a set in which what stands at `places` is new.
fn new_faults(merged: &Resources, known: Known<'_>, places: &file::Places) -> Vec<Fault> {
    let mut faults = check(merged, known.tokens);
    if faults.iter().any(|fault| places.of(fault).is_none()) {
        let words = |fault: &Fault| (fault.key.clone(), fault.field.clone(), fault.message.clone());
        let before: BTreeSet<_> = check(known.stored, known.tokens).iter().map(words).collect();
        faults.retain(|fault| places.of(fault).is_some() || !before.contains(&words(fault)));
    }
    faults
}
