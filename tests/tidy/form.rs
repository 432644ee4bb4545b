//! How a file looks: it begins with prose, ends before it is too long, and holds no notes to self.

use crate::Finding;
use crate::workspace::{Source, Text};

/// The most lines of a source. Files feel right at 100 to 250; near 400 they hold two things.
const MAX_LINES: usize = 400;

/// The least letters of a header: fewer only repeat the file's name.
const MIN_HEADER: usize = 24;

/// Notes to self, in pieces so that this file holds none.
const NOTES: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Every source begins with `//!` and says what it is for. Test modules in files of their own, too: what
/// they show is worth a sentence.
pub(crate) fn headers(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let prose: String =
            source.text.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().concat();
        if prose.is_empty() {
            let problem = "begin the file with `//!`: what it is for, the rule it keeps, what it leaves out";
            findings.push(Finding::new(&source.file, 1, problem));
        } else if prose.chars().filter(|c| c.is_alphabetic()).count() < MIN_HEADER {
            findings.push(Finding::new(&source.file, 1, "the header says too little to help a stranger"));
        }
    }
    findings
}

/// No source is longer than [`MAX_LINES`].
pub(crate) fn lengths(sources: &[Source]) -> Vec<Finding> {
    let long = sources.iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > MAX_LINES).then(|| {
            let problem = format!("{lines} lines, more than {MAX_LINES}: give each of its nouns a file");
            Finding::new(&source.file, 0, problem)
        })
    });
    long.collect()
}

/// What is left to do stands in an issue, not in the code.
pub(crate) fn notes(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        for (line, content) in text.text.lines().enumerate() {
            let words = content.split(|c: char| !c.is_alphanumeric() && c != '_');
            for note in words.filter(|word| NOTES.contains(word)) {
                findings.push(Finding::new(
                    &text.file,
                    line + 1,
                    format!("`{note}`: do it or open an issue"),
                ));
            }
        }
    }
    findings
}

mod tests {
    use super::*;

    #[test]
    fn a_source_without_a_header_is_found() {
        let sources = [
            Source::new("src/a.rs", "use std::fmt;\n//! Too late."),
            Source::new("src/b.rs", "//! B."),
            Source::new("src/c.rs", "//! What a stranger needs to know of it.\n\nuse std::fmt;"),
        ];

        let files: Vec<_> = headers(&sources).into_iter().map(|finding| finding.file).collect();
        assert_eq!(files, ["src/a.rs", "src/b.rs"]);
    }

    #[test]
    fn a_source_of_401_lines_is_found() {
        let sources =
            [Source::new("src/a.rs", &"\n".repeat(401)), Source::new("src/b.rs", &"\n".repeat(400))];

        assert_eq!(lengths(&sources).len(), 1);
    }

    #[test]
    fn a_note_to_self_is_found_as_a_word() {
        let text = format!("fine\n// {}: later\n{}LIST\n", NOTES[0], NOTES[0]);

        let findings = notes(&[Text { file: "src/a.rs".into(), text }]);

        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }
}
