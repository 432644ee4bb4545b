//! Every refusal that is counted, in one table: by which metric, what the log says, which code the other side is
//! told, what it means and what to do.
//!
//! `docs/reference/refusals.md` is made of it (`sinew reference refusals`), nodes and controllers begin their counters
//! at 0 by it, and `tests/docs` compares it with what the sources count: a new reason begins here, in [`node`] or
//! [`controller`].

mod controller;
mod node;

use crate::Code;

/// What one metric, or one for nodes and another for controllers, counts.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The metrics, without `_total`.
    pub metrics: &'static [&'static str],
    /// The label that holds the name; empty when the metric has none, and its only row is about all of it.
    pub label: &'static str,
    /// What the log says, in `message`, at different places; nothing when it is only counted.
    pub logged: &'static [&'static str],
    /// The field beside it that holds the name, or says more.
    pub field: &'static str,
    /// The reasons.
    pub rows: &'static [Row],
}

/// One reason.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name: the label's value in the metric.
    pub name: &'static str,
    /// What the other side of a stream is told.
    pub code: Option<Code>,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Every group, nodes first.
pub fn groups() -> impl Iterator<Item = &'static Group> {
    node::GROUPS.iter().chain(controller::GROUPS)
}

/// The names that a metric has for a label; none when it is not in the table.
pub fn names(metric: &str) -> impl Iterator<Item = &'static str> {
    groups()
        .filter(move |group| group.metrics.contains(&metric))
        .flat_map(|group| group.rows)
        .map(|row| row.name)
}

/// What to do about a refusal of the table.
#[must_use]
pub fn remedy(metric: &str, name: &str) -> &'static str {
    let groups = groups().filter(|group| group.metrics.contains(&metric));
    groups.flat_map(|group| group.rows).find(|row| row.name == name).map_or("", |row| row.remedy)
}

/// A group: metrics, label, what the log says, and `name [code] meaning => remedy` for each row.
macro_rules! group {
    (
        $($metric:literal),+; label $label:literal; logged $([$($logged:literal),+] $field:literal)?;
        $($name:literal $(code $code:ident)?: $meaning:literal => $remedy:literal;)+
    ) => {
        $crate::refusals::Group {
            metrics: &[$($metric),+],
            label: $label,
            logged: &[$($($logged),+)?],
            field: concat!($($field)?),
            rows: &[$(
                $crate::refusals::Row {
                    name: $name,
                    code: $crate::refusals::code!($($code)?),
                    meaning: $meaning,
                    remedy: $remedy,
                },
            )+],
        }
    };
}

macro_rules! code {
    () => {
        None
    };
    ($code:ident) => {
        Some($crate::Code::$code)
    };
}

use code;
use group;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_stands_once_beside_its_metric() {
        let mut seen = BTreeSet::new();
        for group in groups() {
            for metric in group.metrics {
                for row in group.rows {
                    assert!(seen.insert((metric, row.name)), "{metric} has two rows for `{}`", row.name);
                }
            }
        }
        assert!(seen.len() > 50, "the table is read");
    }

    #[test]
    fn every_row_says_what_happened_and_what_to_do() {
        for group in groups() {
            assert!(!group.label.is_empty() || group.rows.len() == 1, "{:?} has no label", group.metrics);
            for row in group.rows {
                for text in [row.meaning, row.remedy] {
                    assert!(text.ends_with(['.', '?']) && !text.contains('|'), "{}: `{text}`", row.name);
                }
            }
        }
    }

    #[test]
    fn a_code_that_refuses_proves_that_nothing_was_delivered_and_one_that_cuts_does_not() {
        for (metric, proves, count) in
            [("sinew_streams_refused", true, 6), ("sinew_connections_cut", false, 3)]
        {
            let own = groups().filter(|group| group.metrics.contains(&metric));
            let codes: Vec<Code> = own.flat_map(|group| group.rows).filter_map(|row| row.code).collect();

            assert_eq!(codes.len(), count, "{metric}");
            assert!(codes.iter().all(|code| code.proves_nothing_delivered() == proves), "{codes:?}");
        }
    }
}
