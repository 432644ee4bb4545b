//! The table of refusals as a page.

use std::fmt::Write as _;

use sinew_transport_core::refusals::{Group, Row, groups};

const HEAD: &str = "\
# Refusals

Everything that is refused, dropped or given up is counted, and has a name. This table has all of them: by what each is
counted, what the log says (its `message`, and the field that holds the name or says more), which
[code](errors.md#codes-on-the-wire) the other side of a stream is told, what it means, and what to do. A log line of a
kind that strangers can cause is written at most ten times in ten seconds; the counter counts all.

This page is made of the code (`transport/core/src/refusals.rs`) by `sinew reference refusals`.

| name | counted by | log | code | what it means | what to do |
|---|---|---|---|---|---|
";

/// The page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in groups() {
        for row in group.rows {
            let code = row.code.map_or(String::new(), |code| format!("{} `{code}`", code.number()));
            let (counted, logged) = (counted(group, row), logged(group));
            let Row { name, meaning, remedy, .. } = row;
            let _ = writeln!(page, "| `{name}` | {counted} | {logged} | {code} | {meaning} | {remedy} |");
        }
    }
    page
}

fn counted(group: &Group, row: &Row) -> String {
    let each = |metric: &&str| match group.label {
        "" => format!("`{metric}_total`"),
        label => format!("`{metric}_total{{{label}=\"{}\"}}`", row.name),
    };
    group.metrics.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn logged(group: &Group) -> String {
    let messages: Vec<_> = group.logged.iter().map(|message| format!("\"{message}\"")).collect();
    match group.field {
        "" => "-".to_owned(),
        field => format!("{}, `{field}`", messages.join(" or ")),
    }
}
