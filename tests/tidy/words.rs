//! The glossary: every word has one row, and public names keep to it.
//!
//! The table of `docs/glossary.md` has three columns: the words in bold, their meaning, and what not to
//! say instead. What stands there in code font with a capital (`Pod`) is refused as a part of any public
//! name, in either spelling (`PodName`, `pod_name`); the rest is for people to judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::workspace::Source;

/// Where the glossary is.
pub(crate) const PAGE: &str = "docs/glossary.md";

/// Words that say nothing about what they name, in any domain.
const EMPTY_WORDS: [&str; 5] = ["manager", "helper", "helpers", "util", "utils"];

/// Fewer rows than this, and the table was not read.
const MIN_ROWS: usize = 20;

/// The glossary's rows.
pub(crate) struct Glossary {
    file: String,
    rows: Vec<Row>,
}

struct Row {
    line: usize,
    words: Vec<String>,
    meaning: String,
    /// In lower case.
    refused: Vec<String>,
}

impl Glossary {
    /// Reads every table row of the page.
    pub(crate) fn parse(file: &str, page: &str) -> Self {
        let rows = page.lines().enumerate().filter_map(|(line, text)| {
            let cells: Vec<&str> = text.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|').collect();
            let [word, meaning, not] = cells[..] else { return None };
            let words = between(word, "**").map(str::to_lowercase).collect();
            let refused = between(not, "`").filter(|name| name.starts_with(char::is_uppercase));
            let refused = refused.map(str::to_lowercase).collect();
            Some(Row { line: line + 1, words, meaning: meaning.trim().into(), refused })
        });
        // The head of the table and the line below it are no rows.
        let rows = rows.filter(|row| !row.meaning.is_empty() || !row.words.is_empty());
        let rows = rows.filter(|row| row.meaning != "meaning" && !row.meaning.starts_with("---")).collect();
        Self { file: file.into(), rows }
    }

    /// Every row defines a word, every word is defined once.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |line: usize, problem: String| findings.push(Finding::new(&self.file, line, problem));
        if self.rows.len() < MIN_ROWS {
            add(0, format!("only {} rows could be read", self.rows.len()));
        }
        let mut defined: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &self.rows {
            if row.words.is_empty() {
                add(row.line, "no word in bold".into());
            }
            if row.meaning.is_empty() {
                add(row.line, "no meaning".into());
            }
            for word in &row.words {
                if let Some(first) = defined.insert(word, row.line) {
                    add(row.line, format!("`{word}` has another meaning in line {first}"));
                }
            }
        }
        findings
    }

    /// No public item is named by a word that the glossary refuses, or by one that says nothing.
    pub(crate) fn public_names(&self, sources: &[Source]) -> Vec<Finding> {
        let refused: BTreeSet<&str> =
            self.rows.iter().flat_map(|row| &row.refused).map(String::as_str).collect();
        let mut findings = Vec::new();
        for source in sources {
            for item in &source.all.public {
                let mut words = split_name(&item.name).into_iter();
                let problem = if item.kind == "fn" && item.name.starts_with("get_") {
                    Some("drop `get_`".to_owned())
                } else {
                    words.find_map(|word| {
                        if refused.contains(word.as_str()) {
                            Some(format!("`{word}` is not our word; {PAGE} has ours"))
                        } else if EMPTY_WORDS.contains(&word.as_str()) {
                            Some(format!("`{word}` says nothing; name what it is"))
                        } else {
                            None
                        }
                    })
                };
                if let Some(problem) = problem {
                    let problem = format!("{} `{}`: {problem}", item.kind, item.name);
                    findings.push(Finding::new(&source.file, item.line, problem));
                }
            }
        }
        findings
    }
}

/// The texts that stand between pairs of `mark`.
fn between<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).step_by(2)
}

/// `PodName`, `pod_name` and `POD_NAME` in words: `pod`, `name`.
fn split_name(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("begun with one").extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    words
}

mod tests {
    use super::*;

    fn glossary(rows: &str) -> Glossary {
        Glossary::parse("g.md", &format!("# Words\n\n| word | meaning | not |\n|---|---|---|\n{rows}"))
    }

    fn problems(rows: &str) -> Vec<String> {
        glossary(rows).check().into_iter().map(|f| f.problem).filter(|p| !p.contains("rows")).collect()
    }

    fn named(text: &str) -> usize {
        let glossary = glossary("| **node** | a machine | endpoint, `Pod` |\n");

        glossary.public_names(&[Source::new("src/a.rs", text)]).len()
    }

    #[test]
    fn a_word_with_two_meanings_is_found() {
        let rows = "| **link**, **path** | one | |\n| **Path** | another | |\n";

        assert_eq!(problems(rows), ["`path` has another meaning in line 5"]);
    }

    #[test]
    fn a_row_without_a_word_or_a_meaning_is_found() {
        assert_eq!(problems("| link | one | |\n| **path** | | |\n"), ["no word in bold", "no meaning"]);
    }

    #[test]
    fn a_page_without_its_table_is_found() {
        assert_eq!(Glossary::parse("g.md", "# Words\n").check().len(), 1);
    }

    #[test]
    fn a_refused_word_in_a_public_name_is_found_in_any_spelling() {
        for text in ["pub struct PodName;", "pub fn pods_of_pod() {}", "pub const POD_MAX: u8 = 1;"] {
            assert_eq!(named(text), 1, "{text}");
        }
        for text in ["struct Pod;", "pub struct Podium;", "pub struct Endpoint;"] {
            assert_eq!(named(text), 0, "{text}");
        }
    }

    #[test]
    fn a_public_name_that_says_nothing_is_found() {
        for text in ["pub struct LinkManager;", "pub mod util {}", "pub fn get_link() {}"] {
            assert_eq!(named(text), 1, "{text}");
        }
    }
}
