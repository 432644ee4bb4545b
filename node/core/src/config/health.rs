//! `health` of a `[[serve]]`: how often and how patiently the endpoint is checked, or not at all.

use std::time::Duration;

use sinew_api::document::{Key, Table};
use sinew_api::hosting::{HealthCheck, Probe};
use toml::Spanned;
use toml::de::DeValue;

/// Least and most of `interval` and `timeout`: below, a busy machine looks dead; above, nobody waits for it.
const TIMES: [Duration; 2] = [Duration::from_millis(50), Duration::from_mins(1)];
/// Most of `rise` and `fall`: what takes more checks than that is said with the times.
const CHECKS_MAX: u8 = 10;

const HEALTH_KEYS: &[Key] = &[
    Key::new("interval", "interval = \"1s\""),
    Key::new("timeout", "timeout = \"1s\""),
    Key::new("rise", "rise = 1"),
    Key::new("fall", "fall = 2"),
    Key::new(
        "probe",
        "probe = \"answer\", or \"connect\" for services that do not react to the end of a connection",
    ),
];

/// Reads the key of a `[[serve]]`; what is left out has its default.
pub(super) fn read_health(serve: &Table<'_>) -> HealthCheck {
    let default = HealthCheck::default();
    match serve.value("health").map(Spanned::get_ref) {
        Some(DeValue::Boolean(false)) => return HealthCheck::OFF,
        None | Some(DeValue::Boolean(true)) => return default,
        Some(_) => {}
    }
    let Some(table) = serve.table("health", HEALTH_KEYS) else { return default };
    let time = |key: &str, default| {
        let read = table.duration(key, TIMES[0]..=TIMES[1]).map(Spanned::into_inner);
        read.map_or(default, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    };
    let count = |key: &str, default| table.whole(key, 1..=CHECKS_MAX).map_or(default, Spanned::into_inner);
    let probe = table.text("probe", |text| match text {
        "answer" => Ok(Probe::Answer),
        "connect" => Ok(Probe::Connect),
        other => Err(format!("`{}` is no way to check a service", other.escape_debug())),
    });
    HealthCheck {
        interval_ms: time("interval", default.interval_ms),
        timeout_ms: time("timeout", default.timeout_ms),
        rise: count("rise", default.rise),
        fall: count("fall", default.fall),
        probe: probe.map_or(default.probe, Spanned::into_inner),
    }
}
