//! Reading one table: known keys as typed values with their places, everything else as mistakes.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Mistakes;

/// The most that a misspelt key may differ from a known one to be taken for it: two slips of a finger.
const SLIPS_MAX: usize = 2;

/// A key that a table may have, and a line that shows how it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

/// One table of the file.
pub(super) struct Table<'t> {
    title: &'static str,
    keys: &'static [Key],
    span: Range<usize>,
    entries: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    /// A table as it stands in the file; whatever key is not among `keys` is a mistake.
    pub(super) fn new(
        title: &'static str,
        keys: &'static [Key],
        span: Range<usize>,
        entries: &'t DeTable<'t>,
        mistakes: &mut Mistakes,
    ) -> Self {
        for key in entries.keys() {
            if !keys.iter().any(|known| known.name == key.get_ref()) {
                let message = format!("`{}` is not a key of {title}", key.get_ref().escape_debug());
                mistakes.add(key.span(), message, did_you_mean(key.get_ref(), keys));
            }
        }
        Self { title, keys, span, entries }
    }

    /// Where the table begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of `key`, whatever it is.
    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.entries.get(key)
    }

    /// How `key` is written.
    pub(super) fn example(&self, key: &str) -> String {
        let example = self.keys.iter().find(|known| known.name == key).map_or(key, |known| known.example);
        format!("write for example {example}")
    }

    /// Says that `key` must be there, unless it is.
    pub(super) fn require(&self, key: &str, mistakes: &mut Mistakes) {
        if !self.entries.contains_key(key) {
            mistakes.add(self.span(), format!("{} has no `{key}`", self.title), self.example(key));
        }
    }

    /// The text of `key`, parsed.
    pub(super) fn text<T, E: fmt::Display>(
        &self,
        key: &str,
        mistakes: &mut Mistakes,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        self.text_of(key, "a string", value, mistakes, parse)
    }

    /// A value that belongs to `key`, parsed from text; `expected` is what `key` as a whole must be.
    pub(super) fn text_of<T, E: fmt::Display>(
        &self,
        key: &str,
        expected: &str,
        value: &Spanned<DeValue<'_>>,
        mistakes: &mut Mistakes,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Spanned<T>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, expected, value, mistakes);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
            Err(error) => {
                mistakes.add(value.span(), format!("`{key}`: {error}"), self.example(key));
                None
            }
        }
    }

    /// The texts in the list of `key`, parsed; those that can't be are left out.
    pub(super) fn texts<T, E: fmt::Display>(
        &self,
        key: &str,
        mistakes: &mut Mistakes,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Spanned<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let expected = "a list of strings";
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, expected, value, mistakes);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text_of(key, expected, item, mistakes, &parse)).collect()
    }

    /// The whole number of `key`, in a range.
    pub(super) fn number<N: Copy + PartialOrd + fmt::Display + TryFrom<u64>>(
        &self,
        key: &str,
        range: RangeInclusive<N>,
        mistakes: &mut Mistakes,
    ) -> Option<Spanned<N>> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, "a whole number", value, mistakes);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| N::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{key}`: {integer} is not from {least} to {most}");
            mistakes.add(value.span(), message, self.example(key));
        }
        number.map(|number| Spanned::new(value.span(), number))
    }

    /// The time span of `key`, in a range.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        mistakes: &mut Mistakes,
    ) -> Option<Spanned<Duration>> {
        self.text(key, mistakes, |text| {
            let duration = humantime::parse_duration(text).map_err(|e| format!("`{text}`: {e}"))?;
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [given, least, most] =
                [duration, *range.start(), *range.end()].map(humantime::format_duration);
            Err(format!("{given} is not from {least} to {most}"))
        })
    }

    /// Says that `key` holds another type than it should.
    pub(super) fn wrong_type(
        &self,
        key: &str,
        expected: &str,
        value: &Spanned<DeValue<'_>>,
        mistakes: &mut Mistakes,
    ) {
        let message = format!("`{key}` of {} must be {expected}, not {}", self.title, kind(value.get_ref()));
        mistakes.add(value.span(), message, self.example(key));
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

fn did_you_mean(given: &str, keys: &[Key]) -> String {
    let near = keys
        .iter()
        .map(|key| (strsim::damerau_levenshtein(given, key.name), key.name))
        .filter(|(slips, name)| *slips <= SLIPS_MAX && *slips < name.len())
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => {
            let all = keys.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ");
            format!("its keys are {all}")
        }
    }
}
