//! `sinew reference PAGE`, hidden: the pages of `docs/reference` that are made of the code, so that they can't say
//! anything else. A test compares what is committed with what would be printed now.

mod cli;
mod refusals;

use clap::{Args, ValueEnum};

/// Which page.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    pub(crate) page: Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// Every command and flag
    Cli,
    /// Every refusal that is counted
    Refusals,
}

/// The page as Markdown.
pub(crate) fn page(page: Page) -> String {
    match page {
        Page::Cli => cli::page(),
        Page::Refusals => refusals::page(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_pages_are_what_the_code_says() {
        for kind in Page::value_variants() {
            let possible = kind.to_possible_value().expect("none is skipped");
            let name = possible.get_name();
            let file = format!("docs/reference/{name}.md");
            let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
            let published = std::fs::read_to_string(&path).unwrap_or_default();
            let renew = format!("cargo run -- reference {name} > {file}");

            assert!(published == page(*kind), "{file} is not up to date; renew it:\n{renew}");
        }
    }
}
