//! What a person should look at, below the tables of `sinew status`: certificates near their end, clocks that
//! disagree, one identity used twice.

use sinew_api::status::NodeStatus;

/// The clock skew from which it is told. Certificates bear five minutes; what is told at half a minute is
/// corrected before that.
const SKEW_TOLD_MS: u64 = 30_000;

/// Below this part of its life a certificate should have been renewed long ago.
const LIFE_LEFT_TOLD: u64 = 4;

/// One sentence for each concern about a node; `now` in seconds since 1970.
pub(super) fn concerns(node: &NodeStatus, now: u64) -> Vec<String> {
    [copied(node), certificate(node, now), clock(node)].into_iter().flatten().collect()
}

fn copied(node: &NodeStatus) -> Option<String> {
    let NodeStatus { name, .. } = node;
    node.copy_at.map(|at| {
        format!(
            "{name} is used twice: another process with its identity, at {at}, was turned away. Its state \
             directory was copied: stop that process and join it under a name of its own"
        )
    })
}

fn certificate(node: &NodeStatus, now: u64) -> Option<String> {
    let NodeStatus { name, certificate_expiry: expiry, .. } = node;
    let life = expiry.saturating_sub(node.certificate_issued?);
    let left = expiry.saturating_sub(now);
    (left < life / LIFE_LEFT_TOLD).then(|| {
        format!(
            "{name}: less than a quarter of its certificate's life is left, and it was not renewed at half: \
             its log says why"
        )
    })
}

fn clock(node: &NodeStatus) -> Option<String> {
    let skew = node.clock_skew_ms?;
    let (name, seconds) = (&node.name, skew.unsigned_abs() / 1000);
    let side = if skew > 0 { "ahead of" } else { "behind" };
    (skew.unsigned_abs() >= SKEW_TOLD_MS).then(|| {
        format!(
            "{name}: its clock is {seconds} s {side} the controller's; from 300 s on, certificates are \
             refused. Set the clocks by NTP"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn node(left: u64, skew_ms: i64) -> NodeStatus {
        serde_json::from_value(json!({
            "name": "n1", "zone": null, "connected": true, "version": "0.1.0", "addresses": [], "granted": [],
            "certificateExpiry": NOW + left, "certificateIssued": NOW + left - 86_400,
            "clockSkewMs": skew_ms, "acknowledged": 1, "rejected": null, "links": [],
        }))
        .expect("a node")
    }

    #[test]
    fn a_node_in_order_gives_no_concern() {
        assert_eq!(concerns(&node(21_600, 29_999), NOW), Vec::<String>::new());
    }

    #[test]
    fn a_certificate_in_its_last_quarter_is_told() {
        let told = concerns(&node(21_599, 0), NOW);

        assert!(matches!(&told[..], [one] if one.starts_with("n1: less than a quarter")), "{told:?}");
    }

    #[test]
    fn a_clock_that_is_half_a_minute_off_is_told_with_its_side() {
        let (ahead, behind) = (concerns(&node(86_400, 30_000), NOW), concerns(&node(86_400, -45_900), NOW));

        assert!(ahead[0].contains("30 s ahead of"), "{ahead:?}");
        assert!(behind[0].contains("45 s behind"), "{behind:?}");
    }

    #[test]
    fn an_identity_that_is_used_twice_is_told_with_the_place_of_the_other() {
        let copied = NodeStatus { copy_at: Some(std::net::Ipv4Addr::LOCALHOST.into()), ..node(86_400, 0) };

        let told = concerns(&copied, NOW);

        assert!(matches!(&told[..], [one] if one.contains("at 127.0.0.1")), "{told:?}");
    }
}
