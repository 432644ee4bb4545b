//! Reads tables of a parsed document: right types, no unknown keys, nothing required missing.
//!
//! A [`Reader`] is asked for each key that its table may have and remembers them; [`Reader::finish`]
//! notes what was not asked for.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use sinew_transport_core::ids::{NodeName, ServiceName, Zone};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::mistakes::Mistakes;
use crate::scenario::{Behaviour, Connections};

/// One table, being read.
pub(super) struct Reader<'a> {
    /// What the table is, for messages: `[[load]]`.
    what: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    known: Vec<&'static str>,
    mistakes: &'a Mistakes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        what: impl Into<String>,
        span: Range<usize>,
        entries: &'a DeTable<'a>,
        mistakes: &'a Mistakes,
    ) -> Self {
        Self { what: what.into(), span, entries, known: Vec::new(), mistakes }
    }

    /// Where the table begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Where the results go that can't be read here.
    pub(super) fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.entries.get(key)
    }

    /// The value of `key`, if it is there and can be read.
    pub(super) fn optional<T: Value>(&mut self, key: &'static str) -> Option<Spanned<T>> {
        let value = self.entry(key)?;
        match T::read(value.get_ref()) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(why) => {
                self.mistakes.note(value.span(), format!("`{key}`: {why}"));
                None
            }
        }
    }

    /// The value of `key`, which must be there.
    pub(super) fn required<T: Value>(&mut self, key: &'static str) -> Option<Spanned<T>> {
        if !self.entries.contains_key(key) {
            self.missing(key);
        }
        self.optional(key)
    }

    /// Notes that `key` must be there and is not.
    pub(super) fn missing(&mut self, key: &'static str) {
        self.known.push(key);
        self.mistakes.note(self.span(), format!("{} needs `{key}`", self.what));
    }

    /// The table under `key`.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let value = self.entry(key)?;
        self.as_table(format!("`{key}`"), value)
    }

    /// The tables in the array under `key`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        match self.entry(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(items) => {
                    items.iter().filter_map(|item| self.as_table(format!("[[{key}]]"), item)).collect()
                }
                other => {
                    let found = kind(other);
                    self.mistakes.note(
                        value.span(),
                        format!("`{key}`: expected a list of tables, found {found}; write [[{key}]]"),
                    );
                    Vec::new()
                }
            },
        }
    }

    /// The tables under `key` with their names, in the order of the file.
    pub(super) fn named_tables(&mut self, key: &'static str) -> Vec<(Spanned<String>, Reader<'a>)> {
        let Some(outer) = self.table(key) else { return Vec::new() };
        let mut named: Vec<_> = outer
            .entries
            .iter()
            .filter_map(|(name, value)| {
                let reader = outer.as_table(format!("[{key}.{}]", name.get_ref()), value)?;
                Some((Spanned::new(name.span(), name.get_ref().to_string()), reader))
            })
            .collect();
        named.sort_by_key(|(name, _)| name.span().start);
        named
    }

    fn as_table(&self, what: String, value: &'a Spanned<DeValue<'a>>) -> Option<Reader<'a>> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(Reader::new(what, value.span(), entries, self.mistakes)),
            other => {
                let found = kind(other);
                self.mistakes.note(value.span(), format!("{what}: expected a table, found {found}"));
                None
            }
        }
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let help = nearest(name, &self.known).map(|near| format!("did you mean `{near}`?"));
                let help = help.unwrap_or_else(|| {
                    format!(
                        "it may have {}",
                        self.known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
                    )
                });
                self.mistakes.note_with_help(
                    key.span(),
                    format!("{} has no key `{name}`", self.what),
                    Some(help),
                );
            }
        }
    }
}

/// The known word that was most likely meant: at most two letters away.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let (distance, near) = known.iter().map(|k| (edits(word, k), *k)).min()?;
    (distance <= 2 && distance < word.chars().count()).then_some(near)
}

/// Letters to change, add or take away (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => format!("the text {s:?}"),
        DeValue::Integer(i) => format!("the number {i}"),
        DeValue::Float(f) => format!("the number {}", f.as_str()),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(d) => format!("the date {d}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What can stand behind a key.
pub(super) trait Value: Sized {
    /// The value, or what is wrong with it.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("expected text in quotes, found {}", kind(value)))
}

fn whole(number: &DeInteger<'_>) -> Result<u64, String> {
    u64::from_str_radix(number.as_str(), number.radix())
        .map_err(|_| format!("expected a whole number from 0 to 2^64-1, found {number}"))
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value)? {
            "" => Err("must not be empty".into()),
            text => Ok(text.to_owned()),
        }
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", kind(value)))
    }
}

impl Value for u64 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(number) => whole(number),
            other => Err(format!("expected a whole number, found {}", kind(other))),
        }
    }
}

impl Value for f64 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            other => return Err(format!("expected a number, found {}", kind(other))),
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("expected a finite number, found {text}")),
        }
    }
}

impl Value for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value)
            .map_err(|_| format!("expected a time such as \"10s\" or \"100ms\", found {}", kind(value)))?;
        humantime::parse_duration(text)
            .map_err(|e| format!("`{text}` is not a time ({e}); write it like \"10s\" or \"100ms\""))
    }
}

impl Value for Connections {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(s) if s == "new" => Ok(Self::New),
            DeValue::Integer(number) => match u16::try_from(whole(number)?) {
                Ok(kept) if kept > 0 => Ok(Self::Kept(kept)),
                _ => Err(format!("expected 1 to 65535 kept connections, found {number}")),
            },
            other => Err(format!("expected \"new\" or how many connections are kept, found {}", kind(other))),
        }
    }
}

/// Least and most bytes.
impl Value for (u64, u64) {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(number) => whole(number).map(|n| (n, n)),
            DeValue::Array(items) => match items.iter().map(Spanned::get_ref).collect::<Vec<_>>()[..] {
                [DeValue::Integer(least), DeValue::Integer(most)] => Ok((whole(least)?, whole(most)?)),
                _ => Err("expected two whole numbers, the least and the most".into()),
            },
            other => Err(format!("expected a whole number or [least, most], found {}", kind(other))),
        }
    }
}

/// Types that parse themselves from text.
macro_rules! from_text {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                from_text(value)
            }
        }
    )*};
}
from_text!(NodeName, ServiceName, Zone, Behaviour);

fn from_text<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, String> {
    text(value)?.parse().map_err(|e: T::Err| e.to_string())
}
