//! Who may call what: the answer to the first frame of an inbound stream.
//!
//! The caller's node is known by its certificate; everything else in a preamble is a claim. The slot must
//! hold the service that is named beside it, by this node's own table; and the caller's node must
//! have been granted the service for which it speaks, by this node's own snapshot, whatever the caller's says.
//!
//! A *no* may only be late news, from a snapshot that is older than the caller's or does not know the caller: then
//! the verdict is to wait.
//! A *yes* never waits: what was taken back in the meantime is cut when the news arrives.

use sinew_api::snapshot::DefaultPolicy;
use sinew_transport_core::wire::Preamble;
use sinew_transport_core::{NodeName, ServiceName};

use crate::view::View;

/// What is to be done with an inbound stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Connect it to the service in its slot.
    Admit,
    /// Refuse it for good: [`Code::Denied`](sinew_transport_core::Code::Denied).
    Deny {
        /// For this node's log; the caller is told only the code.
        reason: String,
    },
    /// Nothing of that name is there: [`Code::NoEndpoint`](sinew_transport_core::Code::NoEndpoint).
    NoEndpoint,
    /// It would be denied, but that may be late news: the caller's snapshot is newer, or the caller itself is,
    /// and dials before we heard of it. Ask again with the next snapshot, and deny it if none comes in time.
    Wait {
        /// As for [`Verdict::Deny`].
        reason: String,
    },
}

/// Judges `preamble`, sent by the node `caller`, by this node's snapshot and by what stands in the slot that it
/// names.
#[must_use]
pub fn admit(view: &View, in_slot: Option<&ServiceName>, caller: &NodeName, preamble: &Preamble) -> Verdict {
    if in_slot != Some(&preamble.destination) {
        return Verdict::NoEndpoint;
    }
    let reason = match (view.may_speak_for(caller, &preamble.source), view.default_policy) {
        (Some(true), DefaultPolicy::Allow) => return Verdict::Admit,
        (Some(true), DefaultPolicy::Deny) => {
            format!(
                "no rule lets `{}` call `{}`, and the default is deny",
                preamble.source, preamble.destination
            )
        }
        (Some(false), _) => format!("node `{caller}` was not granted `{}`", preamble.source),
        (None, _) => return Verdict::Wait { reason: format!("node `{caller}` is not known here") },
    };
    if view.revision < preamble.revision { Verdict::Wait { reason } } else { Verdict::Deny { reason } }
}

#[cfg(test)]
mod tests {
    use sinew_api::Snapshot;
    use sinew_api::snapshot::Peer;
    use sinew_transport_core::Revision;
    use sinew_transport_core::wire::{Class, StreamKind};

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).expect("valid")
    }

    fn node(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    /// At revision 5, `n1` may speak for `web`, and this node for `shop`.
    fn view(default: DefaultPolicy) -> View {
        let snapshot = Snapshot {
            revision: Revision(5),
            default,
            granted: vec![name("shop"), name("orders")],
            services: vec![],
            assigned: vec![],
            listeners: vec![],
            peers: vec![Peer {
                node: node("n1"),
                zone: None,
                addresses: vec![],
                granted: vec![name("web")],
                serving: 0,
            }],
        };
        View::compile(&node("self"), snapshot, None).expect("no rule is broken")
    }

    /// Slot 0 holds `billing`, slot 1 `orders`.
    fn in_slot(slot: u16) -> Option<ServiceName> {
        ["billing", "orders"].get(usize::from(slot)).copied().map(name)
    }

    fn preamble(slot: u16, source: &str, revision: u64) -> Preamble {
        Preamble {
            kind: StreamKind::Tcp,
            destination: name("orders"),
            endpoint: slot,
            source: name(source),
            revision: Revision(revision),
            attempt: 0,
            class: Class::Interactive,
            remaining_ms: 0,
            client: None,
            traceparent: String::new(),
            tracestate: String::new(),
            ext: vec![],
        }
    }

    fn judge(caller: &str, preamble: &Preamble) -> Verdict {
        admit(&view(DefaultPolicy::Allow), in_slot(preamble.endpoint).as_ref(), &node(caller), preamble)
    }

    #[test]
    fn a_granted_source_may_call_what_stands_in_the_slot() {
        assert_eq!(judge("n1", &preamble(1, "web", 5)), Verdict::Admit);
    }

    #[test]
    fn a_slot_that_holds_another_service_or_nothing_is_no_endpoint() {
        assert_eq!(judge("n1", &preamble(0, "web", 5)), Verdict::NoEndpoint);
        assert_eq!(judge("n1", &preamble(2, "web", 5)), Verdict::NoEndpoint);
        assert_eq!(judge("n1", &preamble(u16::MAX, "web", 9)), Verdict::NoEndpoint);
    }

    #[test]
    fn a_source_that_was_not_granted_is_denied() {
        let Verdict::Deny { reason } = judge("n1", &preamble(1, "shop", 5)) else {
            panic!("denied");
        };
        assert!(reason.contains("n1") && reason.contains("shop"), "{reason}");
    }

    #[test]
    fn news_may_be_on_the_way_of_a_node_that_is_not_known_or_is_ahead() {
        for revision in [4, 5, 6] {
            assert!(matches!(judge("n9", &preamble(1, "web", revision)), Verdict::Wait { .. }));
        }
        assert!(matches!(judge("n1", &preamble(1, "shop", 6)), Verdict::Wait { .. }));
    }

    #[test]
    fn a_yes_never_waits() {
        assert_eq!(judge("n1", &preamble(1, "web", 6)), Verdict::Admit);
    }

    #[test]
    fn when_the_default_is_deny_nobody_may_call() {
        let preamble = preamble(1, "web", 5);
        let verdict = admit(&view(DefaultPolicy::Deny), in_slot(1).as_ref(), &node("n1"), &preamble);

        assert!(matches!(verdict, Verdict::Deny { .. }));
    }

    #[test]
    fn before_the_first_snapshot_nobody_may_call() {
        let verdict = admit(&View::empty(), in_slot(1).as_ref(), &node("n1"), &preamble(1, "web", 0));

        assert!(matches!(verdict, Verdict::Wait { .. }));
    }

    #[test]
    fn a_service_beside_the_destination_on_the_same_node_is_judged_alike() {
        assert_eq!(judge("self", &preamble(1, "shop", 5)), Verdict::Admit);
        assert!(matches!(judge("self", &preamble(1, "web", 5)), Verdict::Deny { .. }));
    }
}
