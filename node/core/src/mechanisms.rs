//! The mechanisms that can be switched off, so that an experiment shows what each is worth.
//!
//! All are on, except where a control experiment says `--without`: a test of failing over proves something
//! only if it fails without the mechanism that it is about.

use std::fmt;
use std::str::FromStr;

/// Which mechanisms are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms {
    /// Endpoints that are unusable, refused lately or were tried already are left out.
    pub failover: bool,
    /// Of two endpoints the one that answers faster, with less in flight, is taken.
    pub latency: bool,
    /// An endpoint that refused is tried again after a while.
    pub probation: bool,
    /// Endpoints are drawn by the controller's weights; otherwise evenly.
    pub weights: bool,
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self { failover: true, latency: true, probation: true, weights: true }
    }
}

impl Mechanisms {
    /// The same with one mechanism switched off.
    #[must_use]
    pub fn without(mut self, mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Failover => self.failover = false,
            Mechanism::Latency => self.latency = false,
            Mechanism::Probation => self.probation = false,
            Mechanism::Weights => self.weights = false,
        }
        self
    }
}

/// The name of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// See [`Mechanisms::failover`].
    Failover,
    /// See [`Mechanisms::latency`].
    Latency,
    /// See [`Mechanisms::probation`].
    Probation,
    /// See [`Mechanisms::weights`].
    Weights,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failover, Self::Latency, Self::Probation, Self::Weights];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Latency => "latency",
            Self::Probation => "probation",
            Self::Weights => "weights",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no mechanism.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mechanism; write failover, latency, probation or weights")]
pub struct UnknownMechanism(String);

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| UnknownMechanism(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_is_switched_off_by_its_name_and_alone() {
        for mechanism in Mechanism::ALL {
            let parsed: Mechanism = mechanism.name().parse().expect("its own name");

            let off = Mechanisms::default().without(parsed);

            let on = [off.failover, off.latency, off.probation, off.weights];
            assert_eq!(on.iter().filter(|on| !**on).count(), 1);
            assert!(!on[parsed as usize]);
        }
        assert!("speed".parse::<Mechanism>().is_err());
    }
}
