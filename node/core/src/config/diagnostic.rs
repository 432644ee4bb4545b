//! Mistakes in a configuration file: gathered as they are found, shown together, each at its place.
//!
//! As text, one line each: `node.toml:5:10: message (help)`. As a miette diagnostic, each with the line
//! itself, underlined; [`ConfigErrors::into_report`] makes the report for a terminal.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// Mistakes that are shown. Whoever has more corrects these first; a file of a megabyte of nonsense must not
/// become a message of many.
const SHOWN_MAX: usize = 50;

/// The code of every mistake in a configuration, for searching.
const CODE: &str = "sinew::config";

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: Vec<Found>,
    /// Found, but not kept.
    more: usize,
}

#[derive(Debug)]
struct Found {
    span: Range<usize>,
    message: String,
    help: String,
}

impl Mistakes {
    /// Adds one: what is wrong at `span`, and what to do about it.
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if self.found.len() < SHOWN_MAX {
            self.found.push(Found { span, message: message.into(), help: help.into() });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    span: Range<usize>,
    source: Arc<NamedSource<String>>,
}

/// All mistakes in a configuration file, at least one, in the order of the file.
#[derive(Debug, Clone)]
pub struct ConfigErrors {
    file_name: String,
    mistakes: Vec<Mistake>,
    more: usize,
}

impl ConfigErrors {
    pub(super) fn new(file_name: &str, text: &str, mut mistakes: Mistakes) -> Self {
        mistakes.found.sort_by_key(|found| found.span.start);
        let source = Arc::new(NamedSource::new(file_name, text.to_owned()));
        let mistake = |found: Found| {
            let (line, column) = place(text, found.span.start);
            let (message, help) = (found.message, found.help);
            Mistake { message, help, line, column, span: found.span, source: Arc::clone(&source) }
        };
        Self {
            file_name: file_name.to_owned(),
            mistakes: mistakes.found.into_iter().map(mistake).collect(),
            more: mistakes.more,
        }
    }

    /// Each mistake.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// A report for a terminal: a short headline, then every mistake in its line.
    #[must_use]
    pub fn into_report(self) -> miette::Report {
        miette::Report::new(Report(self))
    }

    fn headline(&self) -> String {
        match self.mistakes.len() + self.more {
            1 => format!("{} has a mistake", self.file_name),
            n => format!("{} has {n} mistakes", self.file_name),
        }
    }

    fn related(&self) -> impl Iterator<Item = &dyn Diagnostic> {
        self.mistakes.iter().map(|mistake| mistake as &dyn Diagnostic)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let Mistake { line, column, message, help, .. } = mistake;
            write!(f, "{newline}{}:{line}:{column}: {message} ({help})", self.file_name)?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more", self.file_name, self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Diagnostic for ConfigErrors {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(CODE))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(Self::related(self)))
    }
}

/// [`ConfigErrors`] whose text is only a headline, since the mistakes follow as diagnostics.
#[derive(Debug)]
struct Report(ConfigErrors);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.headline())
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(CODE))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(ConfigErrors::related(&self.0)))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some("here".to_owned()), self.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// Line and column of a byte in `text`, both from 1, the column in characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
