//! `health` of a `[[serve]]`: how often and how patiently the endpoint is checked, or not at all.

use std::time::Duration;

use sinew_api::hosting::{HealthCheck, Probe};
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Mistakes;
use super::raw::{Key, keys};
use super::reader::Table;

/// Least and most of `interval` and `timeout`: below, a busy machine looks dead; above, nobody waits for it.
const TIMES: [Duration; 2] = [Duration::from_millis(50), Duration::from_mins(1)];
/// Most of `rise` and `fall`: what takes more checks than that is said with the times.
const CHECKS_MAX: u8 = 10;

const HEALTH_KEYS: &[Key] = keys! {
    "interval" => "interval = \"1s\"",
    "timeout" => "timeout = \"1s\"",
    "rise" => "rise = 1",
    "fall" => "fall = 2",
    "probe" => "probe = \"answer\", or \"connect\" for services that do not react to the end of a connection",
};

/// Reads the key of a `[[serve]]`; what is left out has its default.
pub(super) fn read_health(serve: &Table<'_>, mistakes: &mut Mistakes) -> HealthCheck {
    let default = HealthCheck::default();
    let Some(value) = serve.value("health") else { return default };
    let table = match value.get_ref() {
        DeValue::Boolean(false) => return HealthCheck::OFF,
        DeValue::Boolean(true) => return default,
        DeValue::Table(entries) => Table::new("`health`", HEALTH_KEYS, value.span(), entries, mistakes),
        _ => {
            serve.wrong_type("health", "a table, or false", value, mistakes);
            return default;
        }
    };
    let mut time = |key: &str, default| {
        let read = table.duration(key, TIMES[0]..=TIMES[1], mistakes).map(Spanned::into_inner);
        read.map_or(default, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    };
    let (interval_ms, timeout_ms) =
        (time("interval", default.interval_ms), time("timeout", default.timeout_ms));
    let mut count =
        |key: &str, default| table.number(key, 1..=CHECKS_MAX, mistakes).map_or(default, Spanned::into_inner);
    let (rise, fall) = (count("rise", default.rise), count("fall", default.fall));
    let probe = table.text("probe", mistakes, |text| match text {
        "answer" => Ok(Probe::Answer),
        "connect" => Ok(Probe::Connect),
        other => Err(format!("`{}` is no way to check a service", other.escape_debug())),
    });
    HealthCheck {
        interval_ms,
        timeout_ms,
        rise,
        fall,
        probe: probe.map_or(default.probe, Spanned::into_inner),
    }
}
