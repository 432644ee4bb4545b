//! The house rules that a compiler does not know, read off manifests, sources and pages.
//!
//! Each rule is a function from what it reads to [`Finding`]s: a place, and what to do about it. Beside
//! each stands a test that shows it a bad sample and expects a finding, so that no rule passes because it
//! looks at nothing. The tests in this file put the rules to the real workspace.
//!
//! - [`manifests`]: which crate may depend on which; cores stay pure; versions are named once.
//! - [`purity`]: what sources may touch: nothing in cores, the world only through the seam in drivers.
//! - [`form`]: headers, length, notes to self.
//! - [`words`]: the glossary, and public names that go against it.
//! - [`pages`]: links, commands and metrics in the documentation.
//!
//! [`workspace`] finds the files, [`code`] lexes them. Clippy knows types and this does not: clocks and
//! randomness are forbidden in `clippy.toml`; here is what it cannot see.

mod code;
mod form;
mod manifests;
mod pages;
mod purity;
mod words;
mod workspace;

use std::fmt;

use workspace::Workspace;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// File, from the root of the workspace.
    file: String,
    /// Line from 1; 0 when it is about the file as a whole.
    line: usize,
    /// What is wrong and what to do.
    problem: String,
}

impl Finding {
    fn new(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line, problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.problem),
            line => write!(f, "{}:{line}: {}", self.file, self.problem),
        }
    }
}

fn assert_none(findings: &[Finding]) {
    let list: Vec<_> = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    assert!(findings.is_empty(), "{} findings:{}", list.len(), list.concat());
}

#[test]
fn crates_depend_in_one_direction() {
    assert_none(&manifests::directions(&Workspace::open().manifests));
}

#[test]
fn manifests_of_cores_name_nothing_impure() {
    assert_none(&manifests::pure_cores(&Workspace::open().manifests));
}

#[test]
fn nothing_impure_reaches_a_core_through_another_crate() {
    let workspace = Workspace::open();

    assert_none(&manifests::pure_reach(&workspace.manifests, &workspace.lock));
}

#[test]
fn versions_and_lints_are_declared_once() {
    assert_none(&manifests::declared_once(&Workspace::open().manifests));
}

#[test]
fn sources_of_cores_touch_nothing_outside() {
    assert_none(&purity::cores(&Workspace::open().sources));
}

#[test]
fn drivers_reach_the_world_only_through_the_seam() {
    assert_none(&purity::drivers(&Workspace::open().sources));
}

#[test]
fn bincode_is_called_in_one_module() {
    assert_none(&purity::bincode(&Workspace::open().sources));
}

#[test]
fn every_source_begins_with_prose() {
    assert_none(&form::headers(&Workspace::open().sources));
}

#[test]
fn no_source_is_too_long() {
    assert_none(&form::lengths(&Workspace::open().sources));
}

#[test]
fn no_note_to_self_is_left() {
    assert_none(&form::notes(&Workspace::open().texts));
}

#[test]
fn every_word_has_one_meaning() {
    let glossary = words::Glossary::parse(words::PAGE, &Workspace::open().text(words::PAGE));

    assert_none(&glossary.check());
}

#[test]
fn public_names_use_the_words_of_the_glossary() {
    let workspace = Workspace::open();
    let glossary = words::Glossary::parse(words::PAGE, &workspace.text(words::PAGE));

    assert_none(&glossary.public_names(&workspace.sources));
}

#[test]
fn links_lead_somewhere() {
    let workspace = Workspace::open();

    assert_none(&pages::links(&workspace.texts, |file| workspace.has(file)));
}

#[test]
fn the_book_has_every_page() {
    assert_none(&pages::book(&Workspace::open().texts));
}

#[test]
fn the_reference_knows_every_metric() {
    let workspace = Workspace::open();

    assert_none(&pages::metrics(&workspace.sources, &workspace.text(pages::METRICS)));
}

#[test]
fn ci_runs_the_commands_of_the_readme() {
    let workspace = Workspace::open();

    assert_none(&pages::commands(&workspace.text("README.md"), &workspace.text(".ci/run")));
}

#[test]
fn the_rules_see_the_whole_workspace() {
    let workspace = Workspace::open();
    let files = |end: &str| workspace.sources.iter().filter(|source| source.file.ends_with(end)).count();

    assert!(workspace.manifests.len() >= 10, "a root and nine members, as DESIGN lays the house out");
    assert_eq!(files("transport/core/src/wire.rs"), 1);
    assert_eq!(files("tests/tidy/main.rs"), 1);
    assert!(workspace.lock.len() > 100);
}
