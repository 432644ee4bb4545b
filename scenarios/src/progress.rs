//! What is shown while a run goes on, on standard error: a bar on a terminal, plain lines elsewhere,
//! nothing when it shall be quiet. Events are lines in either case.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::Counters;

/// How often a plain line tells how it goes: seldom enough for a CI log.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Where progress goes.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines { last: Duration },
    Bar(ProgressBar),
}

impl Progress {
    /// A bar if standard error is a terminal, lines if not, nothing if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Bar(ProgressBar::hidden())
        } else {
            Shown::Lines { last: Duration::ZERO }
        };
        Self { shown }
    }

    /// Tells something that happened.
    pub fn say(&self, line: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines { .. } => eprintln!("{line}"),
            Shown::Bar(bar) if bar.is_hidden() => eprintln!("{line}"),
            Shown::Bar(bar) => bar.println(line),
        }
    }

    /// The load begins and will make `requests`.
    pub fn begin(&mut self, requests: u64) {
        if let Shown::Bar(bar) = &mut self.shown {
            *bar = ProgressBar::new(requests);
            bar.set_style(style());
        }
    }

    /// Tells how it goes after `elapsed`.
    pub fn show(&mut self, elapsed: Duration, counters: &Counters) {
        let (ended, failed) = (counters.ended.load(Relaxed), counters.failed.load(Relaxed));
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { last } => {
                if elapsed.saturating_sub(*last) >= PLAIN_INTERVAL {
                    *last = elapsed;
                    eprintln!("{:5.1} s  {ended} requests, {failed} failed", elapsed.as_secs_f64());
                }
            }
            Shown::Bar(bar) => {
                bar.set_position(ended);
                bar.set_message(format!("{failed} failed"));
            }
        }
    }

    /// The load is over.
    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    #[expect(clippy::expect_used, reason = "the template is a constant")]
    let style = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos}/{len} requests, {msg}")
        .expect("a valid template");
    style
}
