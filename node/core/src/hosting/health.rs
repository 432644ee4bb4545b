//! Whether one endpoint takes new connections: when it is checked next, and what the results mean.
//!
//! **Bad news at once, good news soon.** A refusal, found by a check or by a connection of a caller, proves that
//! nobody listens: down. Silence proves less, since the service may be busy: it is down after `fall` checks in a
//! row that nobody answered, and whoever answers a caller meanwhile counts as having answered the check. An
//! endpoint that is up is checked every `interval`, and after silence again at once, so that one which hangs is
//! down after at most `interval` + `fall` × `timeout`. One that is not up is checked every [`RETRY`], which costs
//! a few packets on the machine itself, and is up after `rise` answers in a row.
//!
//! Times are microseconds of the caller's clock. Draining is not known here: it is the operator's word.

use std::time::Duration;

use sinew_api::hosting::{Health, HealthCheck};

/// Between two checks of an endpoint that is not up: callers shall see it within a second after it came, and
/// the controller and their nodes want their share of that.
pub const RETRY: Duration = Duration::from_millis(200);

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The service said or ended something, or accepted when that is all that is asked for.
    Answered,
    /// Nobody listens there.
    Refused,
    /// Nothing, until the time was over.
    Silent,
    /// The node itself could not ask: it is out of descriptors.
    Unknown,
}

impl Finding {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
        }
    }
}

/// The checks of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checker {
    check: HealthCheck,
    health: Health,
    /// Findings in a row that speak against the present health.
    streak: u8,
    /// When the next check begins.
    due_us: u64,
    running: Option<Running>,
}

/// A check in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    since_us: u64,
    /// A caller was refused since it began: what it finds is old news.
    overtaken: bool,
}

impl Checker {
    /// An endpoint that begins at `now_us`: up when nothing is to be checked, else checked at once.
    #[must_use]
    pub fn new(now_us: u64, check: HealthCheck) -> Self {
        let health = if check.is_off() { Health::Up } else { Health::Starting };
        Self { check, health, streak: 0, due_us: now_us, running: None }
    }

    /// How it is checked.
    #[must_use]
    pub fn check(&self) -> HealthCheck {
        self.check
    }

    /// Starting, up or down.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// When [`Checker::poll_check`] has something to do; none while a check runs, or when nothing is checked.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.check.is_off() && self.running.is_none()).then_some(self.due_us)
    }

    /// Whether a check begins now. Its finding must be given to [`Checker::handle_finding`].
    #[must_use]
    pub fn poll_check(&mut self, now_us: u64) -> bool {
        let due = self.poll_timeout().is_some_and(|due_us| due_us <= now_us);
        if due {
            self.running = Some(Running { since_us: now_us, overtaken: false });
        }
        due
    }

    /// Takes what the check in progress found. True when the health changed.
    pub fn handle_finding(&mut self, now_us: u64, finding: Finding) -> bool {
        let Some(running) = self.running.take() else { return false };
        let old_news = running.overtaken && finding == Finding::Answered;
        let changed = !old_news && self.judge(finding);
        self.due_us = match (self.health, finding) {
            (Health::Up, Finding::Answered | Finding::Unknown) => {
                now_us.max(running.since_us + 1000 * u64::from(self.check.interval_ms))
            }
            (Health::Up, _) => now_us,
            _ => now_us + self.retry_us(),
        };
        changed
    }

    /// Tells that a caller's connection was refused. True when the health changed.
    pub fn on_refused(&mut self, now_us: u64) -> bool {
        if self.check.is_off() {
            return false;
        }
        if let Some(running) = &mut self.running {
            running.overtaken = true;
        }
        let changed = self.judge(Finding::Refused);
        if changed {
            self.due_us = now_us + self.retry_us();
        }
        changed
    }

    fn judge(&mut self, finding: Finding) -> bool {
        if finding == Finding::Unknown {
            return false;
        }
        let up = self.health == Health::Up;
        let answered = finding == Finding::Answered;
        if up == answered {
            self.streak = 0;
            // Until the first finding nobody could say that it is down.
            let began = self.health == Health::Starting;
            if began {
                self.health = Health::Down;
            }
            return began;
        }
        self.streak = self.streak.saturating_add(1);
        let enough = if answered { self.check.rise } else { self.check.fall };
        let turns = finding == Finding::Refused || self.streak >= enough;
        if turns {
            self.health = if answered { Health::Up } else { Health::Down };
            self.streak = 0;
        }
        turns
    }

    fn retry_us(&self) -> u64 {
        u64::try_from(RETRY.as_micros()).unwrap_or(u64::MAX).min(1000 * u64::from(self.check.interval_ms))
    }
}

#[cfg(test)]
mod tests;
