//! Mistakes in a file: gathered as they are found, shown together, each at its place.
//!
//! As text, one line each: `node.toml:5:10: message (help)`. As a miette diagnostic, each with the line itself,
//! underlined; [`InvalidDocument::into_report`] makes the report for a terminal. As JSON, the list of
//! [`Mistake`]s, from which [`InvalidDocument::new`] makes the same again beside the text.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema::Span;

/// Mistakes that are shown. Whoever has more corrects these first; a file of a megabyte of nonsense must not
/// become a message of many.
const SHOWN_MAX: usize = 50;
/// Mistakes that are kept until they are sorted: enough that those shown come first in any file of a person.
const KEPT_MAX: usize = 1000;

/// The code of every mistake in a file, for searching.
const CODE: &str = "sinew::config";

/// What was found so far.
#[derive(Debug, Default)]
pub struct Mistakes(RefCell<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    kept: Vec<(Range<usize>, String, String)>,
    /// Found, but not kept.
    more: usize,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The first byte of what is wrong, and the one behind it.
    #[schema(value_type = Span)]
    pub span: Range<usize>,
}

/// All mistakes in a file, at least one, in the order of the file.
#[derive(Debug, Clone)]
pub struct InvalidDocument {
    file_name: String,
    shown: Vec<Shown>,
    more: usize,
}

/// A mistake, and the text in which it stands.
#[derive(Debug, Clone)]
struct Shown {
    mistake: Mistake,
    source: Arc<NamedSource<String>>,
}

impl Mistakes {
    /// Adds one: what is wrong at `span`, and what to do about it.
    pub fn add(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let mut gathered = self.0.borrow_mut();
        if gathered.kept.len() < KEPT_MAX {
            gathered.kept.push((span, one_line(message.into()), one_line(help.into())));
        } else {
            gathered.more += 1;
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().kept.is_empty()
    }

    /// All of them, at their places in `text`; there should be at least one.
    #[must_use]
    pub fn into_error(self, file_name: &str, text: &str) -> InvalidDocument {
        let Gathered { mut kept, mut more } = self.0.into_inner();
        kept.sort_by_key(|(span, ..)| span.start);
        more += kept.len().saturating_sub(SHOWN_MAX);
        kept.truncate(SHOWN_MAX);
        let mistake = |(span, message, help): (Range<usize>, String, String)| {
            let (line, column) = place(text, span.start);
            Mistake { message, help, line, column, span }
        };
        InvalidDocument::new(file_name, text, kept.into_iter().map(mistake).collect(), more)
    }
}

impl InvalidDocument {
    /// These mistakes in `text`, and as many `more` that are only counted.
    #[must_use]
    pub fn new(file_name: &str, text: &str, mistakes: Vec<Mistake>, more: usize) -> Self {
        let source = Arc::new(NamedSource::new(file_name, text.to_owned()));
        let shown = |mistake| Shown { mistake, source: Arc::clone(&source) };
        Self { file_name: file_name.to_owned(), shown: mistakes.into_iter().map(shown).collect(), more }
    }

    /// The name of the file.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Each mistake; of very many the first fifty.
    pub fn mistakes(&self) -> impl ExactSizeIterator<Item = &Mistake> {
        self.shown.iter().map(|shown| &shown.mistake)
    }

    /// How many more there are.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// A report for a terminal: a short headline, then every mistake in its line.
    #[must_use]
    pub fn into_report(self) -> miette::Report {
        miette::Report::new(Report(self))
    }

    fn headline(&self) -> String {
        match self.shown.len() + self.more {
            1 => format!("{} has a mistake", self.file_name),
            n => format!("{} has {n} mistakes", self.file_name),
        }
    }

    fn diagnostics(&self) -> impl Iterator<Item = &dyn Diagnostic> {
        self.shown.iter().map(|shown| shown as &dyn Diagnostic)
    }
}

impl fmt::Display for InvalidDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes().enumerate() {
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

impl std::error::Error for InvalidDocument {}

impl Diagnostic for InvalidDocument {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(CODE))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.diagnostics()))
    }
}

/// [`InvalidDocument`] whose text is only a headline, since the mistakes follow as diagnostics.
#[derive(Debug)]
struct Report(InvalidDocument);

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
        Some(Box::new(self.0.diagnostics()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.mistake.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some("here".to_owned()), self.mistake.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// A text without what would break its line or steer a terminal: it may quote what stands in the file.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    line
}

/// Line and column of a byte in `text`, both from 1, the column in characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
