//! What became of the requests of each moment.
//!
//! It is looked at in the end, lest the moments miss what they are meant for and the story prove nothing.

use crate::Moment;
use crate::requests::Request;
use crate::support::Record;

/// Counts for each moment.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: [Row; Moment::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    answered: usize,
    /// Answered, after another endpoint was left.
    moved: usize,
    /// Failed, but read by a service.
    read: usize,
    /// Failed, and read by none.
    lost: usize,
}

impl Tally {
    /// Takes what became of requests at a moment.
    pub(crate) fn add(&mut self, moment: Moment, requests: &[Request], records: &[Record]) {
        let row = &mut self.rows[moment as usize];
        for request in requests {
            let moved = request.record(records).is_some_and(|record| !record.tried.is_empty());
            match (&request.answer, request.was_read) {
                (Ok(_), _) if moved => row.moved += 1,
                (Ok(_), _) => row.answered += 1,
                (Err(_), true) => row.read += 1,
                (Err(_), false) => row.lost += 1,
            }
        }
    }

    /// Shows all, and panics when a moment was missed.
    pub(crate) fn show_and_check(&self) {
        for (moment, row) in Moment::ALL.iter().zip(self.rows) {
            eprintln!("{moment:?}: {row:?}");
        }
        let [_, preamble, payload, delivered, answered] = self.rows;
        assert!(preamble.moved > 0, "no connection was moved");
        assert!(payload.lost + payload.read > 0, "no payload was on its way");
        assert!(delivered.read > 0, "no request was with a service");
        assert!(answered.answered > 0, "no answer came through");
    }
}
