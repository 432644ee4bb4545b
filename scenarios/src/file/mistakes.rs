//! Mistakes in a file, each with its place, what is wrong, and what to do.
//!
//! They are collected, never thrown: whoever finds one notes it and goes on.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// The most mistakes that are kept; after a hundred, more of them help nobody.
const MAX_MISTAKES: usize = 100;

/// One mistake.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
#[diagnostic(code(sinew::scenario))]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The file.
    #[source_code]
    text: NamedSource<Arc<str>>,
    #[label("here")]
    span: SourceSpan,
    /// What to do.
    #[help]
    pub help: Option<String>,
}

/// A scenario file that was refused, with all its mistakes in the order of their places.
#[derive(Debug, Clone, Diagnostic)]
#[diagnostic(code(sinew::scenario))]
pub struct InvalidScenario {
    file: String,
    /// What is wrong with it.
    #[related]
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for InvalidScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(f, "{} has {count} mistake{}", self.file, if count == 1 { "" } else { "s" })?;
        for m in &self.mistakes {
            write!(f, "\n{}:{}:{}: {}", self.file, m.line, m.column, m.message)?;
            if let Some(help) = &m.help {
                write!(f, "; {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for InvalidScenario {}

/// Where mistakes are noted.
pub(super) struct Mistakes {
    file: String,
    text: Arc<str>,
    noted: RefCell<Vec<Mistake>>,
}

impl Mistakes {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.into(), noted: RefCell::default() }
    }

    /// Notes what is wrong at `span`.
    pub(super) fn note(&self, span: Range<usize>, message: impl Into<String>) {
        self.note_with_help(span, message, None);
    }

    /// Notes what is wrong at `span`, and what to do.
    pub(super) fn note_with_help(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() >= MAX_MISTAKES {
            return;
        }
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        noted.push(Mistake {
            message: message.into(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            text: NamedSource::new(&self.file, self.text.clone()),
            span: (start, span.end.saturating_sub(start)).into(),
            help,
        });
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.noted.borrow().is_empty()
    }

    /// All of them.
    pub(super) fn into_error(self) -> InvalidScenario {
        let mut mistakes = self.noted.into_inner();
        mistakes.sort_by_key(|m| (m.line, m.column));
        InvalidScenario { file: self.file, mistakes }
    }
}
