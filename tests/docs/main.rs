//! Everything that the README and the pages of the book tell a reader to type, typed.
//!
//! A page is played from its first command block to its last, in one bash, in an empty directory, with the program
//! under test as `sinew`:
//!
//! - A block of `sh` runs as it stands and must succeed.
//! - A block of `console` holds commands after `$ ` (continued after `> `), each with what it prints, standard error
//!   included. `...` on a line stands for any lines, `[..]` for anything within one, and runs of spaces count as one.
//! - A block of `sh,no-run` needs what a test has not: another machine, root, a build. Each of its lines begins with a
//!   word of [`NEEDS_MORE`].
//!
//! The ports and folders that a page names are the reader's; here others stand in for them ([`places`]). A page that is
//! for who has a mesh already is played after one was started (`before/`). What a page started ends with its test.
//!
//! Beside them, the parts of the reference that are not made of the code are compared with it: [`metrics`] with what
//! runs, the table of [`refusals`] with what the sources count, [`codes`] with the enums, [`wire`] with the messages,
//! files with their [`schemas`].

#![allow(clippy::disallowed_methods, reason = "a program in the real world")]

mod blocks;
mod codes;
mod matching;
mod metrics;
mod places;
mod refusals;
mod schemas;
mod shell;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use blocks::{Block, Kind};

/// The first words of commands that no test can run.
const NEEDS_MORE: [&str; 2] = ["cargo", "sudo"];

/// The most blocks that do not run, over all pages: whoever adds one thinks twice, and then adds one here.
const NO_RUN_MAX: usize = 7;

/// Declares a test for each page, and the list of them. `after` names what is there before: scripts of `before/`.
macro_rules! pages {
    ($($name:ident: $file:literal $(after $($before:literal)+)?,)*) => {
        const PAGES: &[&str] = &[$($file),*];

        $(#[test]
        fn $name() {
            let before: &[&str] = &[$($(include_str!(concat!("before/", $before, ".sh"))),+)?];
            shell::play($file, before, &blocks::read($file, &text($file)));
        })*
    };
}

pages! {
    the_readme_does_what_it_says: "README.md",
    the_tutorial_does_what_it_says: "docs/tutorial.md",
    add_a_node_does_what_it_says: "docs/how-to/add-a-node.md" after "controller" "mesh",
    benchmark_does_what_it_says: "docs/how-to/benchmark.md",
    beside_a_service_does_what_it_says: "docs/how-to/beside-a-service.md" after "controller",
    debug_does_what_it_says: "docs/how-to/debug.md" after "controller" "mesh",
    the_api_does_what_its_page_says: "docs/reference/api.md" after "controller" "mesh",
    registering_does_what_its_page_says: "docs/reference/node.md" after "controller" "mesh" "second",
    checks_are_as_their_page_says: "docs/reference/checks.md" after "controller" "mesh",
    looking_after_a_mesh_is_as_its_page_says: "docs/reference/tools.md" after "controller" "mesh" "peer",
    rotate_does_what_it_says: "docs/how-to/rotate.md" after "controller" "mesh",
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn all_blocks() -> Vec<Block> {
    PAGES.iter().flat_map(|file| blocks::read(file, &text(file))).collect()
}

#[test]
fn every_page_that_says_what_to_type_is_played() {
    let mut pages = vec![root().join("README.md")];
    find_pages(&root().join("docs"), &mut pages);
    for page in pages {
        let says =
            blocks::read(&page.display().to_string(), &std::fs::read_to_string(&page).expect("it is there"));
        let says = says.iter().any(|block| [Kind::Sh, Kind::Console].contains(&block.kind));
        let played = PAGES.iter().any(|file| root().join(file) == page);
        assert!(
            played || !says,
            "{} is not played: add it to `pages!` in tests/docs/main.rs",
            page.display()
        );
    }
}

fn find_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            find_pages(&path, pages);
        } else if path.extension().is_some_and(|end| end == "md") {
            pages.push(path);
        }
    }
}

#[test]
fn a_block_is_left_out_only_for_a_reason() {
    let left_out: Vec<Block> = all_blocks().into_iter().filter(|block| block.kind == Kind::NoRun).collect();

    for block in &left_out {
        for line in block.commands() {
            let word = line.split_whitespace().next().unwrap_or_default();
            assert!(NEEDS_MORE.contains(&word), "{}: `{line}` can run here", block.place());
        }
    }
    assert!(left_out.len() <= NO_RUN_MAX, "{} blocks do not run: {left_out:#?}", left_out.len());
}

#[test]
fn every_block_is_of_a_kind_that_is_known() {
    for block in all_blocks() {
        assert!(block.kind != Kind::Unknown, "{}: say what it is: sh, console, toml, text …", block.place());
    }
}
