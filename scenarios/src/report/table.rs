//! The report as tables: what each endpoint did between events, and what became of the expectations.

use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::{PhaseReport, Report};

/// Columns when standard output is no terminal: wide enough that no cell of a usual report wraps.
const WIDTH: u16 = 160;

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", phases(&report.phases), sums(report));
    if !report.expectations.is_empty() {
        text += &format!("\n{}\n", expectations(report));
    }
    text
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table.set_header(header.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn phases(phases: &[PhaseReport]) -> Table {
    let mut table =
        table(&["from", "phase", "endpoint", "requests", "share", "p50 ms", "p99 ms", "max ms", "failed"]);
    for phase in phases {
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
    let mut table = Table::new();
    table.load_style(NOTHING);
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
    let mut table = table(&["expectation", "", "measured", "expected"]);
    for verdict in &report.expectations {
        let (word, colour) = if verdict.met { ("met", Color::Green) } else { ("MISSED", Color::Red) };
        let mut measured = verdict.measured.clone();
        for note in &verdict.notes {
            measured += &format!("\n{note}");
        }
        table.add_row([
            Cell::new(&verdict.name).add_attribute(Attribute::Bold),
            Cell::new(word).fg(colour),
            Cell::new(measured),
            Cell::new(&verdict.expected),
        ]);
    }
    table
}
