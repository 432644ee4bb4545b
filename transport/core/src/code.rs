//! The numbers on RESET_STREAM and STOP_SENDING, and what each proves about delivery.
//!
//! The numbers are fixed for ever: peers of other versions read them. A code that [proves that nothing
//! was delivered](Code::proves_nothing_delivered) is sent only while that is true, because the caller
//! may then hand the same bytes to another endpoint.

use std::fmt;

/// Why a stream ended other than by a clean end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Code {
    /// Something between the applications failed. Unknown what was delivered.
    Broken = 0,
    /// An application reset its connection. Unknown what was delivered.
    ResetByApplication = 1,
    /// The service did not accept the connection.
    Refused = 2,
    /// The caller may not speak for the source it named, or may not call the destination.
    Denied = 3,
    /// A limit of the destination's node is reached.
    Overloaded = 4,
    /// The destination's node does not host that endpoint.
    NoEndpoint = 5,
    /// The destination takes nothing new.
    Draining = 6,
    /// The stream's first frame could not be read.
    BadPreamble = 7,
    /// Policy, revocation, a drain's deadline or a limit on what is held ended a live stream. Unknown what was
    /// delivered.
    Cut = 8,
    /// Nothing passed for as long as the service's endpoint allows. Unknown what was delivered.
    Idle = 9,
}

impl Code {
    /// Every code, in the order of the numbers.
    pub const ALL: [Self; 10] = [
        Self::Broken,
        Self::ResetByApplication,
        Self::Refused,
        Self::Denied,
        Self::Overloaded,
        Self::NoEndpoint,
        Self::Draining,
        Self::BadPreamble,
        Self::Cut,
        Self::Idle,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Reads a number from the wire. One that this version does not know proves nothing, so it reads as
    /// [`Code::Broken`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        usize::try_from(number).ok().and_then(|n| Self::ALL.get(n).copied()).unwrap_or(Self::Broken)
    }

    /// Whether the same bytes may be handed to another endpoint.
    #[must_use]
    pub const fn proves_nothing_delivered(self) -> bool {
        match self {
            Self::Refused
            | Self::Denied
            | Self::Overloaded
            | Self::NoEndpoint
            | Self::Draining
            | Self::BadPreamble => true,
            Self::Broken | Self::ResetByApplication | Self::Cut | Self::Idle => false,
        }
    }

    /// The name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broken => "BROKEN",
            Self::ResetByApplication => "RESET_BY_APPLICATION",
            Self::Refused => "REFUSED",
            Self::Denied => "DENIED",
            Self::Overloaded => "OVERLOADED",
            Self::NoEndpoint => "NO_ENDPOINT",
            Self::Draining => "DRAINING",
            Self::BadPreamble => "BAD_PREAMBLE",
            Self::Cut => "CUT",
            Self::Idle => "IDLE",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_fixed() {
        let names: Vec<_> = Code::ALL.iter().map(|c| (c.number(), c.name())).collect();

        assert_eq!(
            names,
            [
                (0, "BROKEN"),
                (1, "RESET_BY_APPLICATION"),
                (2, "REFUSED"),
                (3, "DENIED"),
                (4, "OVERLOADED"),
                (5, "NO_ENDPOINT"),
                (6, "DRAINING"),
                (7, "BAD_PREAMBLE"),
                (8, "CUT"),
                (9, "IDLE"),
            ]
        );
    }

    #[test]
    fn an_unknown_number_proves_nothing() {
        for number in [10, 255, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Code::from_number(number), Code::Broken);
        }
        assert!(!Code::Broken.proves_nothing_delivered());
    }

    #[test]
    fn exactly_two_to_seven_prove_that_nothing_was_delivered() {
        for code in Code::ALL {
            assert_eq!(code.proves_nothing_delivered(), (2..=7).contains(&code.number()), "{code}");
        }
    }
}
