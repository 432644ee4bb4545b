//! The reader of every TOML file that people write: all mistakes at once, each at its place, with a remedy.
//!
//! [`read`] parses a text and hands its outermost [`Table`] to a function of the caller. A table is made with the
//! [`Key`]s that it may have, and answers with typed values that know their place ([`Written`]). Whatever is
//! unknown, missing, of another type or out of range becomes a mistake and reading goes on: a value that cannot
//! be had is told once and then skipped by whatever depends on it. The caller holds values against each other
//! and adds what it finds by [`Table::mistake`]. At the end there is a value, or an [`InvalidDocument`] with
//! every mistake, as text or as a miette report with the lines themselves.
//!
//! Files are not opened here: the caller gives a text, and its name for messages.

mod mistakes;
mod near;
mod table;
#[cfg(test)]
mod tests;
pub mod text;

use toml::Spanned;
use toml::de::DeTable;

pub use mistakes::{InvalidDocument, Mistake, Mistakes};
pub use near::{did_you_mean, nearest};
pub use table::{Table, Written};

/// The longest file that people write by hand, about ten thousand listeners.
pub const FILE_MAX: usize = 1024 * 1024;

/// A key that a table may have, and a line that shows how it is written.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    name: &'static str,
    example: &'static str,
}

impl Key {
    /// A key, and what its line may look like: `state = "/var/lib/sinew"`, or more words to the same end.
    #[must_use]
    pub const fn new(name: &'static str, example: &'static str) -> Self {
        Self { name, example }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A line that shows how it is written.
    #[must_use]
    pub const fn example(&self) -> &'static str {
        self.example
    }
}

/// Reads `text`, whose outermost table may have `keys`; `file_name` appears in messages only. More than `limit`
/// bytes are not read.
///
/// # Errors
/// Every mistake that was found, here or by `read`. With mistakes in the syntax, only those: what the rest means
/// cannot be told.
///
/// # Panics
/// When `read` gives nothing and found no mistake, which only its author can have caused.
pub fn read<T>(
    file_name: &str,
    text: &str,
    limit: usize,
    keys: &'static [Key],
    read: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Result<T, InvalidDocument> {
    let mistakes = Mistakes::default();
    let value = parse(text, limit, &mistakes).and_then(|document| {
        let file = Table::new("the file", 0..0, document.get_ref(), &mistakes).only(keys);
        read(&file)
    });
    match value {
        Some(value) if mistakes.is_empty() => Ok(value),
        _ => {
            assert!(!mistakes.is_empty(), "a file without a mistake has a value");
            Err(mistakes.into_error(file_name, text))
        }
    }
}

fn parse<'t>(text: &'t str, limit: usize, mistakes: &Mistakes) -> Option<Spanned<DeTable<'t>>> {
    if text.len() > limit {
        let message = format!("the file has {} bytes, at most {limit} are read", text.len());
        mistakes.add(0..0, message, "is this the right file?");
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let help = "the file must be TOML: strings in quotes, lists in [], one key = value a line";
        mistakes.add(error.span().unwrap_or(0..0), error.message().trim_end(), help);
    }
    errors.is_empty().then_some(document)
}
