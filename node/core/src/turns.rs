//! The turns of one connection: asked, answered, asked again.
//!
//! Nobody reads the payload, so a turn is told by its direction alone: it lasts from the last byte sent
//! upstream to the first byte that comes back. In protocols where the server speaks first, the first turn
//! lasts from *accepted*; if the application speaks after all, its turn replaces that one. What comes back
//! while nothing was asked, the rest of an answer for instance, ends no turn.
//!
//! Two kinds of traffic make poor samples, and nothing here can tell them from good ones: both sides sending
//! at once (turns look shorter than they are), and answers that are rare by design, as in long polling
//! (turns look longer, at all endpoints alike).

/// The turns of one connection, both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turns {
    waiting: Waiting,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Waiting {
    /// For nothing: not accepted yet, or the answer has begun.
    #[default]
    No,
    /// Accepted at; whether the server speaks first is not known.
    Greeting(u64),
    /// The last byte went up at.
    Answer(u64),
}

impl Turns {
    /// Before the connection is accepted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells that the endpoint accepted the connection.
    pub fn on_accepted(&mut self, now_us: u64) {
        // What rode along with the preamble was asked before.
        if self.waiting == Waiting::No {
            self.waiting = Waiting::Greeting(now_us);
        }
    }

    /// Tells that bytes were sent upstream.
    pub fn on_up(&mut self, now_us: u64) {
        self.waiting = Waiting::Answer(now_us);
    }

    /// Tells that bytes came back. The latency of the turn, if they are the first of an answer.
    pub fn on_down(&mut self, now_us: u64) -> Option<u64> {
        match std::mem::take(&mut self.waiting) {
            Waiting::No => None,
            Waiting::Greeting(since) | Waiting::Answer(since) => Some(now_us.saturating_sub(since)),
        }
    }

    /// For how long an answer has been waited for. `None` when nothing was asked: whether a server that said
    /// nothing since it accepted ought to speak first is not known.
    #[must_use]
    pub fn pending_us(&self, now_us: u64) -> Option<u64> {
        match self.waiting {
            Waiting::Answer(since) => Some(now_us.saturating_sub(since)),
            Waiting::No | Waiting::Greeting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_lasts_from_the_last_byte_up_to_the_first_byte_down() {
        let mut turns = Turns::new();
        turns.on_accepted(100);

        turns.on_up(1000);
        turns.on_up(1500);

        assert_eq!(turns.on_down(1800), Some(300));
        assert_eq!(turns.on_down(1900), None, "the rest of the answer");
    }

    #[test]
    fn every_turn_counts() {
        let mut turns = Turns::new();
        turns.on_accepted(100);
        let mut latencies = Vec::new();

        for at in [1000, 2000, 3000] {
            turns.on_up(at);
            latencies.extend(turns.on_down(at + at / 100));
        }

        assert_eq!(latencies, [10, 20, 30]);
    }

    #[test]
    fn a_server_that_speaks_first_is_measured_from_accepted() {
        let mut turns = Turns::new();

        turns.on_accepted(100);

        assert_eq!(turns.on_down(350), Some(250));
    }

    #[test]
    fn an_application_that_takes_its_time_does_not_make_the_endpoint_slow() {
        let mut turns = Turns::new();
        turns.on_accepted(100);

        turns.on_up(5_000_000);

        assert_eq!(turns.on_down(5_000_200), Some(200));
    }

    #[test]
    fn what_rode_along_with_the_preamble_is_measured_from_when_it_was_sent() {
        let mut turns = Turns::new();

        turns.on_up(100);
        turns.on_accepted(400);

        assert_eq!(turns.on_down(900), Some(800));
    }

    #[test]
    fn only_what_was_asked_is_pending() {
        let mut turns = Turns::new();
        turns.on_accepted(100);
        assert_eq!(turns.pending_us(900), None);

        turns.on_up(1000);
        assert_eq!(turns.pending_us(4000), Some(3000));

        let _ = turns.on_down(4500);
        assert_eq!(turns.pending_us(5000), None);
    }

    #[test]
    fn a_clock_that_two_threads_read_in_another_order_gives_no_huge_latency() {
        let mut turns = Turns::new();

        turns.on_up(1000);

        assert_eq!(turns.on_down(999), Some(0));
    }
}
