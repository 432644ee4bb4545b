//! The reader of every TOML file that people write: all mistakes at once, each at its place, with a remedy.
//!
//! [`read`] parses a text and hands its outermost [`Table`] to a function of the caller. A table is made with the
//! [`Key`]s that it may have, and answers with typed values that know their place ([`Written`]). Whatever is
//! unknown, missing, of another type or out of range becomes a mistake and reading goes on: a value that cannot
//! be had is told once and then skipped by whatever depends on it. The caller holds values against each other
//! and adds what it finds by [`Table::mistake`]. At the end there is a value, or an [`InvalidDocument`] with
//! every mistake, as text or as a miette report with the lines themselves.
//!
//! The keys say more than a reader needs: what each is for, its shape, its default. From them comes the JSON
//! [`schema`] that completes a file in an editor, so that it can't disagree with what is read.
//!
//! Files are not opened here: the caller gives a text, and its name for messages.

mod key;
mod mistakes;
mod near;
mod schema;
mod table;
#[cfg(test)]
mod tests;
pub mod text;

use toml::Spanned;
use toml::de::DeTable;

pub use key::{Key, Shape};
pub use mistakes::{InvalidDocument, Mistake, Mistakes};
pub use near::{did_you_mean, nearest};
pub use schema::schema;
pub use table::{Table, Written};

/// The longest file that people write by hand, about ten thousand listeners.
pub const FILE_MAX: usize = 1024 * 1024;

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
    let parsed = Parsed::new(text, limit, &mistakes);
    match parsed.as_ref().and_then(|parsed| read(&parsed.table(keys, &mistakes))) {
        Some(value) if mistakes.is_empty() => Ok(value),
        _ => {
            assert!(!mistakes.is_empty(), "a file without a mistake has a value");
            Err(mistakes.into_error(file_name, text))
        }
    }
}

/// A text that is TOML, for whoever reads several together. One is read by [`read`].
#[derive(Debug)]
pub struct Parsed<'t>(Spanned<DeTable<'t>>);

impl<'t> Parsed<'t> {
    /// Parses a text of at most `limit` bytes. None: it is not TOML, as `mistakes` now say.
    #[must_use]
    pub fn new(text: &'t str, limit: usize, mistakes: &Mistakes) -> Option<Self> {
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
        errors.is_empty().then_some(Self(document))
    }

    /// Its outermost table, which may have `keys`. What is wrong goes to `mistakes`.
    #[must_use]
    pub fn table<'a>(&'a self, keys: &'static [Key], mistakes: &'a Mistakes) -> Table<'a> {
        Table::new("the file", 0..0, self.0.get_ref(), mistakes).only(keys)
    }
}
