//! `sinew status --why-weights SERVICE`: each caller's weights, and what each was made from.

use std::fmt::Write as _;

use sinew_api::weights::{EndpointWeight, Measured, Place, ServiceWeights, SourceWeights};

use super::{round_trip, section, table};

/// The whole page.
pub(super) fn render(weights: &ServiceWeights) -> String {
    let mut page = format!(
        "weights of {}: capacity × speed × success × zone, the best as 1000; speed is 1 / (1 ms + work + link)\n",
        weights.service
    );
    if weights.sources.is_empty() {
        page.push_str("\nno node calls it\n");
    }
    for source in &weights.sources {
        let title = format!("from {} ({})", source.node, zone(source));
        section(&mut page, &title, "the service has no endpoint that is up", endpoints(source));
        if source.endpoints.iter().any(|endpoint| endpoint.factors.place == Place::Far) {
            let _ = writeln!(page, "  {}", spill(source));
        }
    }
    if weights.more_sources > 0 {
        let _ = writeln!(page, "\nand {} callers more", weights.more_sources);
    }
    page
}

fn zone(source: &SourceWeights) -> String {
    source.zone.as_ref().map_or("in no zone".to_owned(), |zone| format!("in {zone}"))
}

fn endpoints(source: &SourceWeights) -> comfy_table::Table {
    let mut table =
        table(&["ENDPOINT", "WEIGHT", "SHARE", "CAPACITY", "WORK", "LINK", "ERRORS", "ZONE", "MEASURED"]);
    let all: u32 = source.endpoints.iter().map(|endpoint| u32::from(endpoint.weight)).sum();
    for endpoint in &source.endpoints {
        let EndpointWeight { node, slot, weight, target, factors, .. } = endpoint;
        let moved = if weight == target { String::new() } else { format!(" (now {target})") };
        let link = if factors.link_measured { "" } else { " (neighbours')" };
        table.add_row([
            format!("{node}/{slot}"),
            format!("{weight}{moved}"),
            percent(f64::from(*weight) / f64::from(all.max(1))),
            factors.capacity.to_string(),
            round_trip(factors.work_us),
            format!("{}{link}", round_trip(factors.link_us)),
            percent(factors.errors),
            match factors.place {
                Place::Near => "near".to_owned(),
                Place::Far => format!("far × {:.3}", factors.zone),
            },
            match factors.measured {
                Measured::Fresh => "now",
                Measured::Stale => "a while ago",
                Measured::Never => "never: as the best",
            }
            .to_owned(),
        ]);
    }
    table
}

/// What leaves the zone, and why.
fn spill(source: &SourceWeights) -> String {
    format!(
        "spill {}: its zone has {} of the demand ({:.1} connections in progress) and {} of the capacity",
        percent(source.spill),
        percent(source.demand_share),
        source.zone_in_flight,
        percent(source.capacity_share),
    )
}

fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_shows_every_factor_of_every_weight() {
        let endpoint = |node: &str, weight: u16, target: u16, place: &str, measured: &str| {
            json!({
                "node": node, "slot": 0, "zone": "eu-1", "weight": weight, "target": target,
                "factors": {
                    "capacity": 100, "workUs": 102_300, "measured": measured, "linkUs": 250,
                    "linkMeasured": measured == "fresh", "errors": 0.25, "success": 0.42, "place": place,
                    "zone": 0.0101,
                },
            })
        };
        let weights: ServiceWeights = serde_json::from_value(json!({
            "apiVersion": "sinew/v1", "service": "orders", "moreSources": 3,
            "sources": [{
                "node": "caller", "zone": "eu-1", "zoneInFlight": 12.0, "demandShare": 1.0,
                "capacityShare": 0.5, "spill": 0.3,
                "endpoints": [
                    endpoint("n1", 1000, 1000, "near", "fresh"), endpoint("n2", 250, 300, "far", "never"),
                ],
            }],
        }))
        .expect("weights");

        let page = render(&weights);

        for shown in [
            "from caller (in eu-1)",
            "n1/0      1000",
            "250 (now 300)",
            "80.0%",
            "102.3 ms",
            "250 µs (neighbours')",
            "25.0%",
            "far × 0.010",
            "never: as the best",
            "spill 30.0%: its zone has 100.0% of the demand (12.0 connections in progress) and 50.0% of the capacity",
            "and 3 callers more",
        ] {
            assert!(page.contains(shown), "no `{shown}` in\n{page}");
        }
    }
}
