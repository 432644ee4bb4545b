//! The page about the wire, against the sources: every message with its kind, and no other.
//!
//! Messages say their kinds in two ways, `const KIND: u16 = 1` in an `impl Message for Hello` and
//! `control!(Register, 32)`; both are read off the two crates that have messages.

use std::collections::BTreeSet;

use crate::refusals::sources;
use crate::{root, text};

const PAGE: &str = "docs/explanation/wire.md";

fn messages(source: &str) -> BTreeSet<(u16, String)> {
    let until = |text: &str, end: char| text.split(end).next().unwrap_or_default().trim().to_owned();
    let mut found = BTreeSet::new();
    for rest in source.split("impl Message for ").skip(1) {
        let kind = rest.split("const KIND: u16 = ").nth(1).map(|rest| until(rest, ';'));
        found.extend(kind.and_then(|kind| kind.parse().ok()).map(|kind| (kind, until(rest, '{'))));
    }
    for rest in source.split("\ncontrol!(").skip(1) {
        let inside = until(rest, ')');
        let (name, kind) = inside.split_once(", ").unwrap_or_else(|| panic!("control!({inside})"));
        found.insert((kind.parse().expect("a number"), name.to_owned()));
    }
    found
}

#[test]
fn every_message_stands_on_its_page_with_its_kind_and_no_other() {
    let files = ["transport/core/src", "controller/api/src"].map(|folder| sources(&root().join(folder)));
    let shipped = files.into_iter().flatten().filter(|file| !file.ends_with("tests.rs"));
    let messages: BTreeSet<_> =
        shipped.flat_map(|file| messages(&std::fs::read_to_string(file).expect("it can be read"))).collect();

    let rows = text(PAGE);
    let rows = rows.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.parse().ok()?, (*cells.get(2)?).to_owned()))
    });
    let page: BTreeSet<(u16, String)> = rows.collect();

    assert!(messages.len() > 15, "{messages:?}");
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (messages.difference(&page).collect(), page.difference(&messages).collect());
    assert!(missing.is_empty() && unknown.is_empty(), "{PAGE} lacks {missing:?} and has {unknown:?}");
}
