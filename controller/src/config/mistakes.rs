//! Mistakes in a configuration, each at its place.
//!
//! As text, a line each: `controller.toml:5:10: message (help)`. As a miette diagnostic, each with the
//! line itself, underlined.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// Mistakes that are shown. Whoever has more corrects these first.
const SHOWN_MAX: usize = 50;

/// One mistake.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code("sinew::config"))]
pub struct ConfigMistake {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[help]
    pub help: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    #[source_code]
    source_code: Arc<NamedSource<String>>,
    #[label("here")]
    span: SourceSpan,
}

/// All mistakes in a configuration, at least one, in the order of the file.
#[derive(Debug, Clone)]
pub struct ConfigErrors {
    file_name: String,
    /// How many there are, those included that are not shown.
    count: usize,
    shown: Vec<ConfigMistake>,
}

/// Mistakes while they are gathered.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<(Range<usize>, String, String)>);

impl Found {
    /// Adds one: what is wrong at `span`, and what to do about it.
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.0.push((span, message.into(), help.into()));
    }

    /// The value, if there is nothing wrong with what it was made from.
    pub(super) fn or<T>(mut self, file_name: &str, text: &str, value: Option<T>) -> Result<T, ConfigErrors> {
        if let (true, Some(value)) = (self.0.is_empty(), value) {
            return Ok(value);
        }
        self.0.sort_by_key(|(span, ..)| span.start);
        let source = Arc::new(NamedSource::new(file_name, text.to_owned()));
        let mistake = |(span, message, help): (Range<usize>, String, String)| {
            let (line, column) = place(text, span.start);
            ConfigMistake { message, help, line, column, source_code: Arc::clone(&source), span: span.into() }
        };
        Err(ConfigErrors {
            file_name: file_name.to_owned(),
            count: self.0.len(),
            shown: self.0.into_iter().take(SHOWN_MAX).map(mistake).collect(),
        })
    }
}

impl ConfigErrors {
    /// Each mistake.
    #[must_use]
    pub fn mistakes(&self) -> &[ConfigMistake] {
        &self.shown
    }

    /// A report for a terminal: a short headline, then every mistake in its line.
    #[must_use]
    pub fn into_report(self) -> miette::Report {
        let headline = match self.count {
            1 => format!("{} has a mistake", self.file_name),
            n => format!("{} has {n} mistakes", self.file_name),
        };
        miette::Report::new(Report { headline, shown: self.shown })
    }
}

/// [`ConfigErrors`] whose text is only a headline, since the mistakes follow as diagnostics.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{headline}")]
struct Report {
    headline: String,
    #[related]
    shown: Vec<ConfigMistake>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.shown.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let ConfigMistake { line, column, message, help, .. } = mistake;
            write!(f, "{newline}{}:{line}:{column}: {message} ({help})", self.file_name)?;
        }
        if self.count > self.shown.len() {
            write!(f, "\n{}: and {} more", self.file_name, self.count - self.shown.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Line and column of a byte in `text`, both from 1, the column in characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
