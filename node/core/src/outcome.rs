//! How a connection ended: one word each, the same in the access log, in metrics and in `status`.

use std::fmt;

use sinew_transport_core::Code;

/// How an application's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Both applications ended it cleanly.
    Ok,
    /// An application reset it.
    ResetByApplication,
    /// Something between the applications failed. Unknown what was delivered.
    Broken,
    /// The service did not accept it.
    Refused,
    /// The caller may not call the destination, or may not speak for the source it named.
    Denied,
    /// A limit was reached.
    Overloaded,
    /// The destination's node does not host that endpoint.
    NoEndpoint,
    /// The destination takes nothing new.
    Draining,
    /// The stream's first frame could not be read.
    BadPreamble,
    /// Policy, revocation, a drain's deadline or a limit on what is held ended it.
    Cut,
    /// Nothing passed for as long as the service's endpoint allows.
    Idle,
    /// No endpoint could be picked, for as long as the connection may wait.
    Unavailable,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::ResetByApplication,
        Self::Broken,
        Self::Refused,
        Self::Denied,
        Self::Overloaded,
        Self::NoEndpoint,
        Self::Draining,
        Self::BadPreamble,
        Self::Cut,
        Self::Idle,
        Self::Unavailable,
    ];

    /// The name in the access log and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ResetByApplication => "reset_by_application",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Overloaded => "overloaded",
            Self::NoEndpoint => "no_endpoint",
            Self::Draining => "draining",
            Self::BadPreamble => "bad_preamble",
            Self::Cut => "cut",
            Self::Idle => "idle",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the mesh or the service let the application down. An application that resets its own
    /// connection did what it wanted.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Ok | Self::ResetByApplication)
    }

    /// What it says of the endpoint: it did well, or not, or nothing. An application that resets its connection
    /// was served; who denies is the policy, and who cuts is a node.
    #[must_use]
    pub const fn speaks_of_endpoint(self) -> Option<bool> {
        match self {
            Self::Ok | Self::ResetByApplication => Some(true),
            Self::Broken | Self::Refused | Self::Overloaded => Some(false),
            Self::Denied
            | Self::NoEndpoint
            | Self::Draining
            | Self::BadPreamble
            | Self::Cut
            | Self::Idle
            | Self::Unavailable => None,
        }
    }

    /// Whether it speaks against the endpoint: it did not take a connection that it was meant to take, so
    /// its breaker opens. A denial is the caller's fault; how a connection ends that was accepted says
    /// nothing about the next; a drain or a change of place is announced, but until the news is here the
    /// endpoint is as good as gone.
    #[must_use]
    pub const fn opens_breaker(self) -> bool {
        matches!(self, Self::Refused | Self::Overloaded | Self::NoEndpoint | Self::Draining)
    }
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        match code {
            Code::Broken => Self::Broken,
            Code::ResetByApplication => Self::ResetByApplication,
            Code::Refused => Self::Refused,
            Code::Denied => Self::Denied,
            Code::Overloaded => Self::Overloaded,
            Code::NoEndpoint => Self::NoEndpoint,
            Code::Draining => Self::Draining,
            Code::BadPreamble => Self::BadPreamble,
            Code::Cut => Self::Cut,
            Code::Idle => Self::Idle,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_its_outcome_have_the_same_name() {
        for code in Code::ALL {
            assert_eq!(Outcome::from(code).name(), code.name().to_ascii_lowercase());
        }
    }

    #[test]
    fn what_applications_do_themselves_is_no_failure() {
        let fine: Vec<_> = Outcome::ALL.into_iter().filter(|o| !o.is_failure()).collect();

        assert_eq!(fine, [Outcome::Ok, Outcome::ResetByApplication]);
    }

    #[test]
    fn only_proof_that_nothing_was_delivered_opens_a_breaker() {
        for code in Code::ALL {
            let outcome = Outcome::from(code);
            assert!(!outcome.opens_breaker() || code.proves_nothing_delivered(), "{outcome}");
        }
        assert!(!Outcome::Denied.opens_breaker(), "the caller's fault");
    }
}
