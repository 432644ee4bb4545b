//! What every file has in common. What each means is tested where it is read.

use super::*;

const FILE: &[Key] = &[Key::new("thing", "[[thing]]"), Key::new("head", "[head]")];
const THING: &[Key] = &[
    Key::new("name", "name = \"a\""),
    Key::new("count", "count = 3"),
    Key::new("share", "share = 0.5"),
    Key::new("fast", "fast = true"),
    Key::new("inner", "inner = { deep = \"a\" }"),
];
const INNER: &[Key] = &[Key::new("deep", "deep = \"a\"")];

fn told(text: &str) -> Vec<String> {
    let result = read("f.toml", text, FILE_MAX, FILE, |file| {
        for thing in file.tables("thing", THING) {
            thing.require("name");
            let _ = (thing.whole("count", 1_u8..=9), thing.number("share", 0.0..=1.0), thing.truth("fast"));
            let _ = thing.table("inner", INNER).map(|inner| inner.text("deep", text::label));
        }
        Some(())
    });
    result.expect_err("has mistakes").to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_table_within_a_table_is_called_by_both_names() {
    let all = told("[[thing]]\nname = \"x\"\ninner = { dep = \"a\" }\n[[thing]]\nname = \"y\"\ninner = 3\n");

    assert_eq!(
        all,
        [
            "f.toml:3:11: `dep` is not a key of [thing.inner] (did you mean `deep`?)",
            "f.toml:6:9: `inner` of [[thing]] must be a table, not a whole number (write for example inner = { deep = \"a\" })",
        ]
    );
}

#[test]
fn numbers_are_held_to_their_range() {
    let all = told("[[thing]]\nname = \"x\"\ncount = 256\nshare = nan\nfast = 1\n");

    assert!(all[0].starts_with("f.toml:3:9: `count`: 256 is not from 1 to 9 ("), "{all:?}");
    assert!(all[1].starts_with("f.toml:4:9: `share`: nan is not from 0 to 1 ("), "{all:?}");
    assert!(all[2].contains("must be true or false, not a whole number"), "{all:?}");
}

#[test]
fn mistakes_survive_the_way_through_json() {
    let text = "[[thing]]\nnam = \"x\"\n";
    let error = read("f.toml", text, FILE_MAX, FILE, |file| {
        file.tables("thing", THING).iter().for_each(|thing| thing.require("name"));
        Some(())
    })
    .expect_err("has mistakes");

    let json = serde_json::to_string(&error.mistakes().collect::<Vec<_>>()).expect("plain data");
    let again = InvalidDocument::new("f.toml", text, serde_json::from_str(&json).expect("the same"), 0);

    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(error.mistakes().len(), 2);
}

#[test]
fn the_report_for_a_terminal_shows_each_line_and_its_remedy() {
    let text = "[[thing]]\nname = \"x\"\ncount = 70000\nshaer = 1\n";
    let error = read("f.toml", text, FILE_MAX, FILE, |file| {
        let counts = file
            .tables("thing", THING)
            .iter()
            .map(|thing| thing.whole("count", 1_u8..=9))
            .collect::<Vec<_>>();
        Some(counts.len())
    });

    let mut shown = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none())
        .render_report(&mut shown, &*error.expect_err("has mistakes").into_report())
        .expect("renders");

    for part in ["f.toml has 2 mistakes", "f.toml:3:9", "count = 70000", "did you mean `share`?"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn the_nearest_word_is_at_most_two_slips_away() {
    assert_eq!(nearest("zoen", ["zone", "zones", "name"]), Some("zone"));
    assert_eq!(nearest("quite-another", ["zone", "name"]), None);
    assert_eq!(nearest("b", ["a"]), None);
}

#[test]
fn what_a_mistake_quotes_stays_on_its_line_and_steers_no_terminal() {
    let mistakes = Mistakes::default();
    mistakes.add(0..0, "`a\u{1b}[2J\nb` is no key", "not\tthis");

    let error = mistakes.into_error("f.toml", "");

    assert_eq!(error.to_string(), r"f.toml:1:1: `a\u{1b}[2J\nb` is no key (not\tthis)");
}
