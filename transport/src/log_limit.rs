//! How much of one kind is logged: what strangers cause can come a thousand times a second, and must not fill a disk.
//!
//! The counters count all of it. Of the lines, the first [`LINES`] in [`WINDOW`] are written; the first one after that
//! says how many were not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind in a window: enough to see who and why.
const LINES: u32 = 10;

/// See [`LINES`].
const WINDOW: Duration = Duration::from_secs(10);

/// The limit of one kind of line.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    withheld: u64,
}

impl LogLimit {
    /// Whether a line may be written now, and how many were withheld since the last one.
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now - began >= WINDOW) {
            (window.began, window.written) = (Some(now), 0);
        }
        if window.written == LINES {
            window.withheld += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_thousand_lines_ten_are_written_and_the_next_window_says_how_many_were_not() {
        let limit = LogLimit::default();

        let written: Vec<_> = (0..1000).filter_map(|_| limit.admit()).collect();
        tokio::time::advance(WINDOW).await;
        let next = limit.admit();

        assert_eq!((written, next), (vec![0; 10], Some(990)));
        assert_eq!(limit.admit(), Some(0), "told once");
    }
}
