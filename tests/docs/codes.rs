//! The page of codes, outcomes and exit codes, against the enums.

use std::collections::BTreeSet;

use sinew_node_core::Outcome;
use sinew_transport_core::Code;

use crate::text;

const PAGE: &str = "docs/reference/errors.md";

/// The first cells of the rows below a heading, up to the next one.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = text(PAGE);
    let lines = page.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading).skip(1);
    let own = lines.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| "));
    let cells = own.map(|line| line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned()));
    let rows: Vec<Vec<String>> = cells.map(Iterator::collect).skip(1).collect();
    assert!(!rows.is_empty(), "{PAGE} has no table below {heading:?}");
    rows
}

#[test]
fn every_code_stands_on_its_page_with_its_number_and_proof() {
    let page: Vec<_> = rows("Codes on the wire")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[3].clone()))
        .collect();

    let codes = Code::ALL.map(|code| {
        let proof = if code.proves_nothing_delivered() { "nothing" } else { "unknown" };
        (code.number().to_string(), code.name().to_owned(), proof.to_owned())
    });
    assert_eq!(page, codes, "{PAGE}");
}

#[test]
fn every_outcome_stands_on_its_page() {
    let page: Vec<_> = rows("Outcomes").into_iter().map(|row| row[0].clone()).collect();

    assert_eq!(BTreeSet::from_iter(&page).len(), page.len(), "each once");
    let outcomes: BTreeSet<_> = Outcome::ALL.map(Outcome::name).map(str::to_owned).into();
    assert_eq!(BTreeSet::from_iter(page), outcomes, "{PAGE}");
}

#[test]
fn every_exit_code_stands_on_its_page() {
    let page: Vec<_> = rows("Exit codes").into_iter().map(|row| row[0].clone()).collect();

    let mut sources = vec![text("src/main.rs")];
    let folder = std::fs::read_dir(crate::root().join("src")).expect("it is there");
    let files = folder.map(|entry| entry.expect("it can be read").path());
    sources.extend(files.filter_map(|file| std::fs::read_to_string(file).ok()));
    let own = sources.iter().flat_map(|source| source.split(": u8 = ").skip(1));
    let own: BTreeSet<_> = own.filter_map(|rest| rest.split(';').next()).map(str::to_owned).collect();
    assert!(!own.is_empty(), "exit codes are constants of type u8 in src/");
    let expected: BTreeSet<_> = ["0", "1", "2"].into_iter().map(str::to_owned).chain(own).collect();
    assert_eq!(BTreeSet::from_iter(page), expected, "{PAGE}");
}
