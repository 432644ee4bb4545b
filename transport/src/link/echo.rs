//! Echoes: a question that the program at the other end answers at once, on the first stream of the link.
//!
//! The answer takes the way of everything that this node says on the link, so its time is what an application sees
//! at best: the network both ways, and both programs' threads. QUIC delivers what a network lost again, so a lost
//! packet shows as a slow echo; none comes back when the other end is gone, stopped or cut off.
//!
//! A question or an answer that waits to be written is one number, the newest: whoever asks without end gets fewer
//! answers, and nothing here grows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sinew_transport_core::wire::{self, Echo, Echoed};
use tokio::sync::{Mutex as Turn, Notify, watch};
use tokio::time::timeout;

use crate::clock::Clock;

/// What is to be said, and what was asked last.
#[derive(Debug, Default)]
struct Pending {
    /// To be asked; 0: nothing.
    ask: u64,
    /// To be answered; 0: nothing.
    answer: u64,
    /// What was asked last, and when.
    asked: (u64, u64),
}

/// Both ends' questions on one link.
#[derive(Debug)]
pub(crate) struct Echoes {
    clock: Clock,
    /// The number of the last question; held while its answer is waited for.
    turn: Turn<u64>,
    pending: Mutex<Pending>,
    wake: Notify,
    /// The question that was answered last, and how long that took.
    answered: watch::Sender<(u64, Duration)>,
}

impl Echoes {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            turn: Turn::default(),
            pending: Mutex::default(),
            wake: Notify::new(),
            answered: watch::Sender::default(),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, patience: Duration) -> Option<Duration> {
        let mut turn = self.turn.lock().await;
        *turn += 1;
        let number = *turn;
        let mut answered = self.answered.subscribe();
        self.pending().ask = number;
        self.wake.notify_one();
        let answer = timeout(patience, answered.wait_for(|(known, _)| *known == number)).await;
        answer.ok()?.ok().map(|answer| answer.1)
    }

    /// The next frame to be written, waited for. Cancel-safe.
    pub(crate) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(frame) = self.frame() {
                return frame;
            }
            self.wake.notified().await;
        }
    }

    fn frame(&self) -> Option<Vec<u8>> {
        let mut pending = self.pending();
        match (std::mem::take(&mut pending.answer), pending.ask) {
            (0, 0) => None,
            (0, number) => {
                pending.ask = 0;
                pending.asked = (number, self.clock.now_us());
                Some(wire::encode(&Echo { number, padding: [0; 32] }))
            }
            (number, _) => Some(wire::encode(&Echoed { number })),
        }
    }

    /// The other end asks.
    pub(crate) fn on_echo(&self, echo: &Echo) {
        self.pending().answer = echo.number;
        self.wake.notify_one();
    }

    /// The other end answers. What came too late, or was never asked, tells nothing.
    pub(crate) fn on_echoed(&self, echoed: &Echoed) {
        let (number, at_us) = self.pending().asked;
        if number == echoed.number {
            let took = Duration::from_micros(self.clock.now_us().saturating_sub(at_us));
            self.answered.send_replace((number, took));
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sinew_transport_core::wire::{HEAD_LEN, Message, decode};

    use super::*;

    fn read<M: Message>(frame: Option<Vec<u8>>) -> M {
        decode(&frame.expect("a frame")[HEAD_LEN..]).expect("of that kind")
    }

    #[test]
    fn whoever_asks_without_end_gets_one_answer_to_the_newest() {
        let echoes = Echoes::new(Clock::start());
        for number in 1..=1000 {
            echoes.on_echo(&Echo { number, padding: [0; 32] });
        }

        assert_eq!(read::<Echoed>(echoes.frame()).number, 1000);
        assert_eq!(echoes.frame(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_late_is_not_taken_for_the_next() {
        let echoes = Echoes::new(Clock::start());
        assert_eq!(echoes.ask(Duration::from_millis(100)).await, None);
        let late = read::<Echo>(echoes.frame());

        let other_end = async {
            let second = wire::decode::<Echo>(&echoes.next().await[HEAD_LEN..]).expect("asked");
            echoes.on_echoed(&Echoed { number: late.number });
            tokio::time::sleep(Duration::from_millis(20)).await;
            echoes.on_echoed(&Echoed { number: second.number });
        };
        let (took, ()) = tokio::join!(echoes.ask(Duration::from_millis(100)), other_end);

        assert_eq!(took, Some(Duration::from_millis(20)));
    }
}
