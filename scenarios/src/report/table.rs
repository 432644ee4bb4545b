//! The report as tables: what each endpoint did between events, and what became of the expectations.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use super::{PhaseReport, Report};

/// Columns when standard output is no terminal: what fits beside a diff.
const WIDTH: u16 = 120;

/// A line under the header and nothing else: it survives being pasted anywhere.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

pub(super) fn render(report: &Report) -> String {
    let mut tables = vec![phases(&report.phases), sums(report)];
    if !report.expectations.is_empty() {
        tables.push(expectations(report));
    }
    tables.iter().map(|table| table.trim_fmt() + "\n").collect::<Vec<_>>().join("\n")
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}

fn header(titles: &[&str]) -> Vec<Cell> {
    titles.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)).collect()
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

const COLUMNS: [&str; 9] =
    ["from", "phase", "endpoint", "requests", "share", "p50 ms", "p99 ms", "max ms", "failed"];

fn phases(phases: &[PhaseReport]) -> Table {
    let mut table = table();
    table.set_header(header(&COLUMNS));
    for (number, phase) in phases.iter().enumerate() {
        if number > 0 {
            table.add_row([""]);
        }
        for (index, endpoint) in phase.endpoints.iter().enumerate() {
            let first = index == 0;
            table.add_row([
                right(if first { format!("{:.1} s", phase.from_ms / 1000.0) } else { String::new() }),
                Cell::new(if first { &phase.name } else { "" }),
                Cell::new(endpoint.endpoint.as_deref().unwrap_or("(none)")),
                right(endpoint.requests.to_string()),
                right(format!("{:.1} %", endpoint.share * 100.0)),
                right(format!("{:.1}", endpoint.p50_ms)),
                right(format!("{:.1}", endpoint.p99_ms)),
                right(format!("{:.1}", endpoint.max_ms)),
                right(endpoint.failed.to_string()),
            ]);
        }
    }
    table
}

fn sums(report: &Report) -> Table {
    let totals = &report.totals;
    let mut table = table();
    let mut row = |what: &str, value: String| {
        table.add_row([Cell::new(what), Cell::new(value)]);
    };
    row("requests", format!("{} in {:.1} s", totals.requests, report.seconds));
    row(
        "failed",
        format!(
            "{}, of which {} were in flight to a killed node at its death and {} were handed to it before its \
             silence could be noticed",
            totals.failed, totals.in_flight_at_death, totals.before_noticeable
        ),
    );
    row("wrong bytes", totals.wrong_bytes.to_string());
    for event in &report.events {
        let ready = event
            .ready_ms
            .map_or(String::new(), |ready| format!(", ready {:.1} s later", (ready - event.at_ms) / 1000.0));
        row(&event.name, format!("at {:.2} s: {}{ready}", event.at_ms / 1000.0, event.action));
    }
    if totals.not_logged + totals.logged_otherwise + totals.strangers > 0 {
        row(
            "the mesh's log",
            format!(
                "lacks {} requests, names another endpoint for {}, has {} connections that the load did not make",
                totals.not_logged, totals.logged_otherwise, totals.strangers
            ),
        );
    }
    table
}

fn expectations(report: &Report) -> Table {
    let mut table = table();
    table.set_header(header(&["", "expectation", "measured, and expected"]));
    for verdict in &report.expectations {
        let (word, colour) = if verdict.met { ("met", Color::Green) } else { ("MISSED", Color::Red) };
        table.add_row([
            Cell::new(word).fg(colour),
            Cell::new(&verdict.name).add_attribute(Attribute::Bold),
            Cell::new(&verdict.measured),
        ]);
        let expected = format!("expected {}", verdict.expected);
        for line in verdict.notes.iter().chain([&expected]) {
            table.add_row([Cell::new(""), Cell::new(""), Cell::new(line).add_attribute(Attribute::Dim)]);
        }
    }
    table
}
