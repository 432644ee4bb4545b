//! The documentation: links lead to files and headings that exist, and the commands that the README
//! promises are those that CI runs; every page is in the book.

use crate::Finding;
use crate::workspace::{Source, Text};

/// The two commands that a reader of the README types first.
const COMMANDS: [&str; 2] =
    ["cargo run --release -- bench scenarios/quickstart.toml", "cargo test --workspace"];

/// Pages that sources and manifests may mention as plain text.
const PAGES: &str = "docs/";

/// Where files are that pages may name in code font.
const SOURCES: [&str; 9] =
    ["benches/", "controller/", "docs/", "node/", "packaging/", "scenarios/", "src/", "tests/", "transport/"];

/// The book's contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// The reference of metrics.
pub(crate) const METRICS: &str = "docs/reference/metrics.md";

/// Every relative link of a page, and every mention of a page in any text, leads somewhere.
pub(crate) fn links(texts: &[Text], has: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        let page = text.file.ends_with(".md");
        for (line, content) in prose(&text.text, page) {
            for target in page.then(|| targets(content)).into_iter().flatten() {
                if let Some(problem) = broken(texts, &has, &text.file, target) {
                    findings.push(Finding::new(&text.file, line, problem));
                }
            }
            let named = mentions(content).filter(|_| !page).chain(sources(content).filter(|_| page));
            for mention in named.filter(|mention| !has(mention)) {
                findings.push(Finding::new(&text.file, line, format!("there is no `{mention}`")));
            }
        }
    }
    findings
}

/// Lines with their numbers; without code blocks when it is a page.
fn prose(text: &str, page: bool) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(line, content)| {
        let fence = page && content.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((line + 1, content))
    })
}

/// What stands between `](` and `)`, unless it leads out of the project.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let all = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    all.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// Words that look like a page of the documentation.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c));
    words.filter(|word| word.starts_with(PAGES) && word.ends_with(".md"))
}

/// What stands in code font and looks like one of our own files: a folder of sources, and an ending.
fn sources(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split('`').skip(1).step_by(2);
    code.filter(|text| {
        let ours = SOURCES.iter().any(|folder| text.starts_with(folder));
        let file = [".rs", ".toml", ".md", ".service"].iter().any(|end| text.ends_with(end));
        ours && file && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    })
}

fn broken(texts: &[Text], has: impl Fn(&str) -> bool, from: &str, target: &str) -> Option<String> {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let Some(file) = file else { return Some(format!("`{target}` leads out of the project")) };
    if from.starts_with(PAGES) && !file.starts_with(PAGES) {
        return Some(format!("`{target}` leads out of the book: name the file in code font"));
    }
    if !has(&file) {
        return Some(format!("`{target}` leads nowhere: there is no `{file}`"));
    }
    let page = texts.iter().find(|text| text.file == file)?;
    let known = prose(&page.text, true).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line));
    (!heading.is_empty() && !known.into_iter().any(|slug| slug == heading))
        .then(|| format!("`{target}` leads to no heading of `{file}`"))
}

/// A path from the root, given one from the folder of `from`; none when it climbs out.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// A heading's anchor, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

/// Every metric that a `metrics.rs` registers stands in the reference.
pub(crate) fn metrics(sources: &[Source], page: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.file.ends_with("/metrics.rs")) {
        for call in source.text.split(".register").skip(1) {
            let (_, arguments) = call.split_once('(').unwrap_or_default();
            let name = arguments.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            if let Some(name) = name.filter(|name| !page.contains(&format!("_{name}"))) {
                let problem = format!("the metric `{name}` is missing in {METRICS}");
                findings.push(Finding::new(&source.file, 0, problem));
            }
        }
    }
    findings
}

/// Every page of the documentation is listed in the book once.
pub(crate) fn book(texts: &[Text]) -> Vec<Finding> {
    let Some(summary) = texts.iter().find(|text| text.file == SUMMARY) else {
        return vec![Finding::new(SUMMARY, 0, "the book needs it")];
    };
    let listed: Vec<_> = summary.text.lines().flat_map(targets).filter_map(|t| resolve(SUMMARY, t)).collect();
    let pages = texts.iter().filter(|text| text.file.starts_with(PAGES) && text.file.ends_with(".md"));
    let mut findings = Vec::new();
    for page in pages.filter(|page| page.file != SUMMARY) {
        let problem = match listed.iter().filter(|file| **file == page.file).count() {
            1 => continue,
            0 => format!("list it in {SUMMARY}"),
            _ => format!("{SUMMARY} lists it more than once"),
        };
        findings.push(Finding::new(&page.file, 0, problem));
    }
    findings
}

/// The README shows both commands, and CI runs them word for word.
pub(crate) fn commands(readme: &str, ci: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for command in COMMANDS {
        if !readme.lines().any(|line| line.trim() == command) {
            findings.push(Finding::new(
                "README.md",
                0,
                format!("`{command}` must stand on a line of its own"),
            ));
        }
        let runs = |line: &str| !line.trim_start().starts_with('#') && line.trim_end().ends_with(command);
        if !ci.lines().any(runs) {
            findings.push(Finding::new(".ci/run", 0, format!("must run `{command}`")));
        }
    }
    findings
}

mod tests {
    use super::*;

    fn check(file: &str, text: &str) -> usize {
        let known = ["README.md", "book/a.md", "book/deep/b.md"];
        let page = Text { file: "book/a.md".into(), text: "# A page\n## Why, and how\n".into() };
        let texts = [Text { file: file.into(), text: text.into() }, page];

        links(&texts, |file| known.contains(&file)).len()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        for text in ["[c](c.md)", "[a](a.md#no-such)", "[a](../../../x.md)", "ok [a](a.md) but [c](c.md)"] {
            assert_eq!(check("book/deep/b.md", &text.replace("a.md", "../a.md")), 1, "{text}");
        }
    }

    #[test]
    fn a_link_that_leads_somewhere_is_fine() {
        for text in [
            "[a](book/a.md) and [b](book/deep/b.md)",
            "[a](book/a.md#why-and-how)",
            "[out](https://example.com/x.md)",
            "```\n[no link](nowhere.md)\n```",
        ] {
            assert_eq!(check("README.md", text), 0, "{text}");
        }
    }

    #[test]
    fn a_link_out_of_the_book_and_a_source_that_is_not_there_are_found() {
        let page = format!("{PAGES}a.md");

        assert_eq!(check(&page, "[read](../README.md)"), 1, "a link");
        assert_eq!(check(&page, "see `src/gone.rs` and `node/slot`"), 1, "a source");
        assert_eq!(check("README.md", "[a](book/a.md)"), 0);
    }

    #[test]
    fn a_page_that_a_source_mentions_must_exist() {
        assert_eq!(check("src/a.rs", concat!("//! See docs", "/c.md, or src/a.md.")), 1);
    }

    #[test]
    fn a_page_that_the_book_does_not_list_once_is_found() {
        let text = |file: &str, text: &str| Text { file: format!("{PAGES}{file}"), text: text.into() };
        let pages = [text("a.md", "# A"), text("deep/b.md", "# B"), text("c.md", "# C")];
        let summary = text("SUMMARY.md", "[A](a.md)\n- [C](c.md)\n- [C again](./c.md)");
        let texts = [pages.to_vec(), vec![summary]].concat();

        let found: Vec<_> = book(&texts).into_iter().map(|finding| finding.file).collect();
        assert_eq!(found, [format!("{PAGES}deep/b.md"), format!("{PAGES}c.md")]);
        assert_eq!(book(&texts[..3]).len(), 1, "without a summary");
    }

    #[test]
    fn a_metric_that_the_reference_does_not_know_is_found() {
        let text = "r.register(\"old\", \"Old\", a); r.register_with_unit(\n  \"new\", \"New\", b);";
        let sources = [Source::new("node/src/metrics.rs", text)];

        assert_eq!(metrics(&sources, "`sinew_old_total`").len(), 1);
        assert_eq!(metrics(&sources, "`sinew_old_total`, `sinew_new_seconds`"), []);
    }

    #[test]
    fn a_command_that_ci_does_not_run_is_found() {
        let readme = COMMANDS.join("\n");
        let ci = format!("# {}\nstage tests {}\n", COMMANDS[0], COMMANDS[1]);

        assert_eq!(commands(&readme, &ci).len(), 1);
        assert_eq!(commands("", "").len(), 4);
    }
}
