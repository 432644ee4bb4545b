//! For which service a listener speaks.
//!
//! `as` says it. Without it a listener speaks for the node's only grant; with several grants that would be a
//! guess, so nothing is picked. What is granted is the controller's word and may change with any snapshot,
//! so this is asked for every connection; the answer is cheap.

use std::collections::BTreeSet;

use sinew_transport_core::ServiceName;

use crate::config::ListenConfig;

/// Why a listener speaks for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSource {
    /// The snapshot grants this node nothing, or has not arrived.
    #[error(
        "the listener for `{service}` speaks for nobody: this node was granted no service; create a token that names the service which calls, or wait for the first snapshot"
    )]
    NothingGranted {
        /// The service that it leads to.
        service: ServiceName,
    },
    /// `as` names a service that was not granted.
    #[error(
        "the listener for `{service}` may not speak `as = \"{source_name}\"`: this node was granted {granted}; change `as`, or join with a token that names `{source_name}`"
    )]
    NotGranted {
        /// The service that it leads to.
        service: ServiceName,
        /// The service that `as` names.
        source_name: ServiceName,
        /// What was granted, for a person.
        granted: String,
    },
    /// There is no `as`, and several services were granted.
    #[error(
        "the listener for `{service}` could speak for any of {granted}: add `as` to its [[listen]] to say for which"
    )]
    Ambiguous {
        /// The service that it leads to.
        service: ServiceName,
        /// What was granted, for a person.
        granted: String,
    },
}

/// The service for which `listener` speaks, given what this node was granted.
///
/// # Errors
/// [`NoSource`] when it speaks for nobody; its text says what to change.
pub fn speaks_for<'a>(
    listener: &'a ListenConfig,
    granted: &'a BTreeSet<ServiceName>,
) -> Result<&'a ServiceName, NoSource> {
    let service = || listener.service.clone();
    let mut grants = granted.iter();
    match (&listener.source, grants.next(), grants.next()) {
        (_, None, _) => Err(NoSource::NothingGranted { service: service() }),
        (Some(source), ..) if granted.contains(source) => Ok(source),
        (Some(source), ..) => Err(NoSource::NotGranted {
            service: service(),
            source_name: source.clone(),
            granted: listed(granted),
        }),
        (None, Some(only), None) => Ok(only),
        (None, Some(_), Some(_)) => Err(NoSource::Ambiguous { service: service(), granted: listed(granted) }),
    }
}

/// Names in a message, at most this many: a person reads it.
const LISTED_MAX: usize = 10;

fn listed(names: &BTreeSet<ServiceName>) -> String {
    let mut text = names.iter().take(LISTED_MAX).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).expect("valid")
    }

    fn listener(source: Option<&str>) -> ListenConfig {
        ListenConfig {
            service: name("orders"),
            source: source.map(name),
            address: "127.0.0.1:5001".parse().expect("valid"),
            max_connections: 1,
        }
    }

    fn granted(names: &[&str]) -> BTreeSet<ServiceName> {
        names.iter().copied().map(name).collect()
    }

    #[test]
    fn a_listener_speaks_for_what_it_names_if_that_was_granted() {
        let grants = granted(&["web", "shop"]);

        assert_eq!(speaks_for(&listener(Some("web")), &grants).ok(), Some(&name("web")));
        let refused = speaks_for(&listener(Some("billing")), &grants).expect_err("not granted");
        assert!(refused.to_string().contains("`shop`, `web`"), "{refused}");
    }

    #[test]
    fn a_listener_that_names_nothing_speaks_for_the_only_grant() {
        assert_eq!(speaks_for(&listener(None), &granted(&["web"])).ok(), Some(&name("web")));
    }

    #[test]
    fn a_listener_that_names_nothing_never_guesses() {
        let ambiguous = speaks_for(&listener(None), &granted(&["web", "shop"])).expect_err("two grants");

        assert!(matches!(ambiguous, NoSource::Ambiguous { .. }));
    }

    #[test]
    fn without_a_grant_nobody_is_spoken_for() {
        for source in [None, Some("web")] {
            let (listener, nothing) = (listener(source), BTreeSet::new());

            let refused = speaks_for(&listener, &nothing);

            assert_eq!(refused, Err(NoSource::NothingGranted { service: name("orders") }));
        }
    }
}
