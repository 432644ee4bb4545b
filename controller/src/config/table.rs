//! Reading one table: known keys as typed values with their places, everything else as mistakes.

use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistakes::Found;

/// A key that a table may have, and how it is written.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

/// One table of the file, and what is wrong in it.
pub(super) struct Table<'t> {
    title: &'static str,
    keys: &'static [Key],
    span: Range<usize>,
    entries: &'t DeTable<'t>,
    found: &'t mut Found,
}

impl<'t> Table<'t> {
    /// A table as it stands in the file; whatever key is not among `keys` is a mistake.
    pub(super) fn new(
        title: &'static str,
        keys: &'static [Key],
        span: Range<usize>,
        entries: &'t DeTable<'t>,
        found: &'t mut Found,
    ) -> Self {
        for key in entries.keys().filter(|key| !keys.iter().any(|known| known.name == key.get_ref())) {
            let known = keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is not a key of {title}", key.get_ref().escape_debug());
            found.add(key.span(), message, format!("its keys are {known}"));
        }
        Self { title, keys, span, entries, found }
    }

    /// The value of a key, made by `parse` from its text; none when it is absent or wrong.
    pub(super) fn value<T, E: Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.entries.get(key)?;
        self.parse(key, "a string", value, &parse)
    }

    /// The values in the list of a key; those that are wrong are left out.
    pub(super) fn list<T, E: Display>(
        &mut self,
        key: &str,
        limit: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(value) = self.entries.get(key) else { return Vec::new() };
        let expected = "a list of strings";
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return Vec::new();
        };
        if let Some(one_too_many) = items.get(limit) {
            self.found.add(one_too_many.span(), format!("`{key}`: more than {limit}"), "remove some");
        }
        items.iter().filter_map(|item| self.parse(key, expected, item, &parse)).collect()
    }

    /// Says that a key must be there, unless it is.
    pub(super) fn require(&mut self, key: &str) {
        if !self.entries.contains_key(key) {
            let help = self.example(key);
            self.found.add(self.span.clone(), format!("{} has no `{key}`", self.title), help);
        }
    }

    fn parse<T, E: Display>(
        &mut self,
        key: &str,
        expected: &str,
        value: &Spanned<DeValue<'_>>,
        parse: &impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let help = self.example(key);
                self.found.add(value.span(), format!("`{key}`: {error}"), help);
                None
            }
        }
    }

    fn wrong_type(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let given = value.get_ref().type_str();
        let message = format!("`{key}` of {} must be {expected}, not of type {given}", self.title);
        let help = self.example(key);
        self.found.add(value.span(), message, help);
    }

    fn example(&self, key: &str) -> String {
        let example = self.keys.iter().find(|known| known.name == key).map_or(key, |known| known.example);
        format!("write for example {example}")
    }
}
