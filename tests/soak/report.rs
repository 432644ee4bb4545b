//! The tables of a soak: what was called, what happened meanwhile, and what everybody held afterwards.

use std::collections::BTreeMap;

use crate::calls::{Call, End, MANNERS};
use crate::faults::Window;
use crate::figures::{Figures, PROCESSES, Plateau};

/// Prints all of it, as Markdown.
pub(crate) fn show(calls: &[Call], windows: &[Window], plateaus: &[Plateau]) {
    println!("\n| calls | all | failed | bytes up | bytes down |\n|---|--:|--:|--:|--:|");
    for (manner, _) in MANNERS {
        row(&format!("{manner:?}"), calls.iter().filter(|call| call.manner == manner));
    }
    row("all", calls.iter());

    let mut faults: BTreeMap<_, usize> = BTreeMap::new();
    for window in windows {
        *faults.entry((window.who, window.kind)).or_default() += 1;
    }
    println!("\n| who | what happened | times |\n|---|---|--:|");
    for ((who, kind), times) in faults {
        println!("| {who} | {kind} | {times} |");
    }

    for (what, of) in [
        ("memory of its own, KiB", (|figures| figures.memory_kib) as fn(Figures) -> u64),
        ("descriptors", |figures| figures.descriptors as u64),
        ("threads", |figures| figures.threads),
        ("tasks", |figures| figures.tasks),
    ] {
        println!("\n| {what} | before | after 1/4 | 2/4 | 3/4 | 4/4 |\n|---|--:|--:|--:|--:|--:|");
        for name in PROCESSES {
            let values = plateaus.windows(2).map(|pair| {
                let restarted = if pair[0][name].pid == pair[1][name].pid { "" } else { " *" };
                format!(" {}{restarted} |", of(pair[1][name]))
            });
            println!("| {name} | {} |{}", of(plateaus[0][name]), values.collect::<String>());
        }
    }
    println!("\n* another process than in the column before\n");
}

fn row<'c>(name: &str, calls: impl Iterator<Item = &'c Call>) {
    let (mut all, mut failed, mut up, mut down) = (0, 0, 0, 0);
    for call in calls {
        all += 1;
        failed += usize::from(call.end != End::Well);
        up += call.up;
        down += call.down;
    }
    println!("| {name} | {all} | {failed} | {up} | {down} |");
}
