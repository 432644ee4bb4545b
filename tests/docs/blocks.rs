//! The fenced blocks of a page, and the steps that the runnable ones are made of.

/// What a block is, by what stands behind its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Commands that succeed.
    Sh,
    /// Commands with what they print.
    Console,
    /// Commands that a test can't run.
    NoRun,
    /// Files, answers, pictures: to read.
    Shown,
    /// Nothing that we know.
    Unknown,
}

/// A fenced block of a page.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) file: String,
    /// Of the fence, from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What is typed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) script: String,
    /// None when the page does not show it.
    pub(crate) output: Option<String>,
}

/// Reads the blocks of a page.
pub(crate) fn read(file: &str, page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, content) in page.lines().enumerate() {
        match (open.take(), content.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { file: file.into(), line: at + 1, kind: kind(info), text: String::new() });
            }
            (None, None) => {}
            (Some(block), Some(_)) => blocks.push(block),
            (Some(mut block), None) => {
                block.text.push_str(content);
                block.text.push('\n');
                open = Some(block);
            }
        }
    }
    assert!(open.is_none(), "{file}: the last block has no end");
    blocks
}

fn kind(info: &str) -> Kind {
    match info.trim() {
        "sh" => Kind::Sh,
        "console" => Kind::Console,
        "sh,no-run" => Kind::NoRun,
        "json" | "rust" | "text" | "toml" => Kind::Shown,
        _ => Kind::Unknown,
    }
}

impl Block {
    /// Where it stands, for whoever reads a failure.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// The lines of it that are typed, without comments.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// What runs of it.
    pub(crate) fn steps(&self) -> Vec<Step> {
        match self.kind {
            Kind::Sh => vec![Step { line: self.line + 1, script: self.text.clone(), output: None }],
            Kind::Console => self.console(),
            Kind::NoRun | Kind::Shown | Kind::Unknown => Vec::new(),
        }
    }

    fn console(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (at, content) in self.text.lines().enumerate() {
            let line = self.line + 1 + at;
            if let Some(command) = content.strip_prefix("$ ") {
                steps.push(Step { line, script: format!("{command}\n"), output: Some(String::new()) });
                continue;
            }
            let Some(step) = steps.last_mut() else {
                panic!("{}:{line}: a console block begins with `$ `", self.file)
            };
            let output = step.output.get_or_insert_default();
            let text = match continued(content).filter(|_| output.is_empty()) {
                Some(more) => {
                    step.script.push_str(more);
                    step.script.push('\n');
                    continue;
                }
                None => content,
            };
            output.push_str(text);
            output.push('\n');
        }
        steps
    }
}

/// What a line adds to the command before it.
fn continued(line: &str) -> Option<&str> {
    if line == ">" { Some("") } else { line.strip_prefix("> ") }
}

mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_kind_and_place() {
        let page =
            "# A\n```sh\na\nb\n```\ntext\n```console\n$ c\nd\n```\n```sh,no-run\nsudo e\n```\n```\nf\n```\n";

        let blocks = read("p.md", page);

        let found: Vec<_> = blocks.iter().map(|block| (block.line, block.kind)).collect();
        assert_eq!(found, [(2, Kind::Sh), (7, Kind::Console), (11, Kind::NoRun), (14, Kind::Unknown)]);
        assert_eq!(blocks[0].text, "a\nb\n");
    }

    #[test]
    fn a_console_block_is_commands_with_what_they_print() {
        let page = "```console\n$ first\none\ntwo\n$ second \\\n> continued\n$ third\n>\n> quoted\n```\n";

        let steps = read("p.md", page)[0].steps();

        let step = |line, script: &str, output: &str| Step {
            line,
            script: script.into(),
            output: Some(output.into()),
        };
        assert_eq!(steps[0], step(2, "first\n", "one\ntwo\n"));
        assert_eq!(steps[1], step(5, "second \\\ncontinued\n", ""));
        assert_eq!(steps[2], step(7, "third\n\nquoted\n", ""));
    }

    #[test]
    fn what_only_shows_has_no_steps() {
        assert_eq!(read("p.md", "```toml\na = 1\n```\n```sh,no-run\ncargo build\n```\n").len(), 2);
        assert!(read("p.md", "```toml\na = 1\n```\n")[0].steps().is_empty());
    }
}
