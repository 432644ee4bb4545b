//! Reading one table: known keys as typed values with their places, everything else as mistakes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Key, Mistakes, did_you_mean};

/// A value with its place; none when it was not written, or could not be read and was told.
pub type Written<T> = Option<Spanned<T>>;

/// One table of a file.
#[derive(Debug)]
pub struct Table<'t> {
    /// As messages call it: `[[listen]]`.
    title: String,
    /// Its name in the names of tables within it; empty for the file.
    name: String,
    keys: &'static [Key],
    span: Range<usize>,
    /// None: it was not written.
    entries: Option<&'t DeTable<'t>>,
    mistakes: &'t Mistakes,
    flawed: Cell<bool>,
}

impl<'t> Table<'t> {
    pub(super) fn new(
        title: &str,
        span: Range<usize>,
        entries: &'t DeTable<'t>,
        mistakes: &'t Mistakes,
    ) -> Self {
        let (title, name) = (title.to_owned(), String::new());
        Self { title, name, keys: &[], span, entries: Some(entries), mistakes, flawed: Cell::new(false) }
    }

    /// This table with the keys that it may have; each other key in it is a mistake.
    #[must_use]
    pub fn only(mut self, keys: &'static [Key]) -> Self {
        self.keys = keys;
        for key in self.entries.into_iter().flat_map(|entries| entries.keys()) {
            if !keys.iter().any(|known| known.name() == key.get_ref()) {
                let message = format!("`{}` is not a key of {}", key.get_ref().escape_debug(), self.title);
                let known = keys.iter().map(Key::name);
                self.mistake(key.span(), message, did_you_mean(key.get_ref(), known, "its keys are"));
            }
        }
        self
    }

    /// Where the table begins.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// As messages call it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Adds a mistake that was found by comparing values.
    pub fn mistake(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.flawed.set(true);
        self.mistakes.add(span, message, help);
    }

    /// Whether a mistake was found in it so far, so that what it says may be less than what it means.
    #[must_use]
    pub fn is_flawed(&self) -> bool {
        self.flawed.get()
    }

    /// The value of `key`, whatever it is.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(self.keys.iter().any(|known| known.name() == key), "{key} of {}", self.title);
        self.entries?.get(key)
    }

    /// Whether `key` is written, be it one of its keys or not.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Whether `key` is written and holds a table, be it one of its keys or not.
    #[must_use]
    pub fn has_table(&self, key: &str) -> bool {
        let value = self.entries.and_then(|entries| entries.get(key));
        value.is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// How `key` is written.
    #[must_use]
    pub fn example(&self, key: &str) -> String {
        let known = self.keys.iter().find(|known| known.name() == key);
        let example = known.map_or(key, |known| known.example());
        format!("write for example {example}")
    }

    /// Says that `key` must be there, unless it is.
    pub fn require(&self, key: &str) {
        if self.value(key).is_none() {
            self.mistake(self.span(), format!("{} has no `{key}`", self.title), self.example(key));
        }
    }

    /// The text of `key`, parsed.
    pub fn text<T, E: Display>(&self, key: &str, parse: impl Fn(&str) -> Result<T, E>) -> Written<T> {
        self.text_of(key, "a string", self.value(key)?, parse)
    }

    /// The texts in the list of `key`, parsed; those that can't be are left out. More than `limit` are a mistake.
    pub fn texts<T, E: Display>(
        &self,
        key: &str,
        limit: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Spanned<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = "a list of strings";
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return Vec::new();
        };
        if let Some(one_too_many) = items.get(limit) {
            let message = format!("`{key}`: {} are listed, at most {limit} are taken", items.len());
            self.mistake(one_too_many.span(), message, "remove some");
        }
        items.iter().take(limit).filter_map(|item| self.text_of(key, expected, item, &parse)).collect()
    }

    /// The texts by name in the table of `key`, at most `limit`; `rule` is kept by names and texts.
    pub fn named_texts(
        &self,
        key: &str,
        limit: usize,
        rule: impl Fn(&str) -> Result<String, String>,
    ) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        let Some(value) = self.value(key) else { return texts };
        let expected = "a table of strings";
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return texts;
        };
        if entries.len() > limit {
            let message = format!("`{key}`: {} are written, at most {limit} are taken", entries.len());
            self.mistake(value.span(), message, "remove some");
        }
        for (name, value) in entries.iter().take(limit) {
            if let Err(error) = rule(name.get_ref()) {
                self.mistake(name.span(), format!("`{key}`: {error}"), self.example(key));
            } else if let Some(text) = self.text_of(key, expected, value, &rule) {
                texts.insert(name.get_ref().to_string(), text.into_inner());
            }
        }
        texts
    }

    /// The whole number of `key`, in a range.
    pub fn whole<N>(&self, key: &str, range: RangeInclusive<N>) -> Written<N>
    where
        N: TryFrom<u64> + PartialOrd + Display,
    {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, "a whole number", value);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|n| N::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            self.out_of_range(key, &integer, &range, value.span());
        }
        Some(Spanned::new(value.span(), number?))
    }

    /// The number of `key`, with or without a fraction, in a range.
    pub fn number(&self, key: &str, range: RangeInclusive<f64>) -> Written<f64> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => {
                self.wrong_type(key, "a number", value);
                return None;
            }
        };
        let number = text.parse().ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.out_of_range(key, &text, &range, value.span());
        }
        Some(Spanned::new(value.span(), number?))
    }

    /// Whether `key` is true.
    #[must_use]
    pub fn truth(&self, key: &str) -> Written<bool> {
        let value = self.value(key)?;
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.wrong_type(key, "true or false", value);
            return None;
        };
        Some(Spanned::new(value.span(), *truth))
    }

    /// The time span of `key`, in a range.
    pub fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Written<Duration> {
        self.text(key, |text| {
            let duration =
                humantime::parse_duration(text).map_err(|e| format!("`{}`: {e}", text.escape_debug()))?;
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [given, least, most] =
                [duration, *range.start(), *range.end()].map(humantime::format_duration);
            Err(format!("{given} is not from {least} to {most}"))
        })
    }

    /// The table of `key`, which may have `keys`.
    #[must_use]
    pub fn table(&self, key: &str, keys: &'static [Key]) -> Option<Table<'t>> {
        let value = self.value(key)?;
        let name = self.inner_name(key);
        let table = self.as_table(format!("[{name}]"), name, value);
        if table.is_none() {
            self.wrong_type(key, "a table", value);
        }
        Some(table?.only(keys))
    }

    /// The table of `key`, or one in which nothing is written.
    #[must_use]
    pub fn table_or_empty(&self, key: &str, keys: &'static [Key]) -> Table<'t> {
        let name = self.inner_name(key);
        self.table(key, keys).unwrap_or_else(|| Table {
            title: format!("[{name}]"),
            name,
            keys,
            span: 0..0,
            entries: None,
            mistakes: self.mistakes,
            flawed: Cell::new(false),
        })
    }

    /// The tables in the list of `key`, each of which may have `keys`.
    #[must_use]
    pub fn tables(&self, key: &str, keys: &'static [Key]) -> Vec<Table<'t>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = "a list of tables";
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return Vec::new();
        };
        let name = self.inner_name(key);
        let table = |item| {
            let table = self.as_table(format!("[[{name}]]"), name.clone(), item);
            if table.is_none() {
                self.wrong_type(key, expected, item);
            }
            Some(table?.only(keys))
        };
        items.iter().filter_map(table).collect()
    }

    /// The tables in the table of `key` with their names, in the order of the file. Which keys each may have is
    /// for the caller to say ([`Table::only`]).
    #[must_use]
    pub fn named_tables(&self, key: &str) -> Vec<(Spanned<String>, Table<'t>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = "a table of tables";
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return Vec::new();
        };
        let table = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &'t Spanned<DeValue<'t>>)| {
            let inner = format!("{}.{}", self.inner_name(key), name.get_ref());
            let table = self.as_table(format!("[{inner}]"), inner, value);
            if table.is_none() {
                self.wrong_type(key, expected, value);
            }
            Some((Spanned::new(name.span(), name.get_ref().to_string()), table?))
        };
        let mut tables: Vec<_> = entries.iter().filter_map(table).collect();
        tables.sort_by_key(|(name, _)| name.span().start);
        tables
    }

    /// The text of a key that tells which keys the table may have, before that is settled by [`Table::only`].
    pub fn peek<T, E: Display>(&self, key: Key, parse: impl Fn(&str) -> Result<T, E>) -> Written<T> {
        let written = self.entries.and_then(|entries| entries.get(key.name()));
        self.text_of(key.name(), "a string", written?, parse)
    }

    /// Says that `key` holds another type than it should.
    pub fn wrong_type(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let message = format!("`{key}` of {} must be {expected}, not {}", self.title, kind(value.get_ref()));
        self.mistake(value.span(), message, self.example(key));
    }

    fn out_of_range<N: Display>(
        &self,
        key: &str,
        given: &dyn Display,
        range: &RangeInclusive<N>,
        span: Range<usize>,
    ) {
        let message = format!("`{key}`: {given} is not from {} to {}", range.start(), range.end());
        self.mistake(span, message, self.example(key));
    }

    fn inner_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn as_table(&self, title: String, name: String, value: &'t Spanned<DeValue<'t>>) -> Option<Table<'t>> {
        let DeValue::Table(entries) = value.get_ref() else { return None };
        let (span, entries) = (value.span(), Some(entries));
        Some(Table {
            title,
            name,
            keys: &[],
            span,
            entries,
            mistakes: self.mistakes,
            flawed: Cell::new(false),
        })
    }

    /// A value that belongs to `key`, parsed from text; `expected` is what `key` as a whole must be.
    fn text_of<T, E: Display>(
        &self,
        key: &str,
        expected: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Written<T> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, expected, value);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
            Err(error) => {
                self.mistake(value.span(), format!("`{key}`: {error}"), self.example(key));
                None
            }
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
