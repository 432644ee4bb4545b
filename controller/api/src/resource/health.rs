//! How endpoints are checked, as a file says it: of a service or an endpoint, in resources and in `node.toml` alike.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::de::DeValue;
use utoipa::ToSchema;

use crate::document::{Key, Shape, Table};
use crate::hosting::{HealthCheck, Probe};

/// From how often to how rarely, in milliseconds. More often, a busy machine looks dead; less often, callers have
/// long found out.
pub const INTERVALS: RangeInclusive<u32> = 50..=60_000;
/// For how long an answer is waited for, in milliseconds.
pub const TIMEOUTS: RangeInclusive<u32> = 50..=60_000;
/// How many checks in a row may be asked for: what takes more than ten is said with the times.
pub const IN_A_ROW: RangeInclusive<u8> = 1..=10;

/// The keys of `health`.
pub const HEALTH: &[Key] = &[
    Key::new("interval", "interval = \"1s\", or \"0s\" for no checks")
        .shape(Shape::Time)
        .about("Between two checks, 50 ms to 1 min; 0 s: it is never checked, and up.")
        .default("\"1s\""),
    Key::new("timeout", "timeout = \"1s\"")
        .shape(Shape::Time)
        .about("For how long an answer is waited for, 50 ms to 1 min.")
        .default("\"1s\""),
    Key::new("rise", "rise = 1")
        .shape(Shape::Whole(*IN_A_ROW.start() as u64, *IN_A_ROW.end() as u64))
        .about("How many checks in a row must succeed until it is up.")
        .default("1"),
    Key::new("fall", "fall = 2")
        .shape(Shape::Whole(*IN_A_ROW.start() as u64, *IN_A_ROW.end() as u64))
        .about("How many checks in a row must fail until it is down.")
        .default("2"),
    Key::new(
        "probe",
        "probe = \"answer\", or \"connect\" for services that do not react to the end of a connection",
    )
    .shape(Shape::OneOf(&["answer", "connect"]))
    .about("What is taken for an answer: that the service says or ends anything, or only that it accepts.")
    .default("\"answer\""),
];

/// Parts of a [`HealthCheck`] that were declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthSettings {
    /// Between two checks of an endpoint that is up, in milliseconds; 0: it is never checked, and up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u32>,
    /// For how long an answer is waited for, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// How many checks in a row must succeed until it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise: Option<u8>,
    /// How many checks in a row must fail until it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fall: Option<u8>,
    /// What is taken for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

impl HealthSettings {
    /// Reads `health` of a table: a table with [`HEALTH`], `false` for no checks, or `true` for what is usual.
    #[must_use]
    pub fn read(table: &Table<'_>) -> Self {
        match table.value("health").map(|value| value.get_ref()) {
            Some(DeValue::Boolean(false)) => return Self { interval_ms: Some(0), ..Self::default() },
            None | Some(DeValue::Boolean(true)) => return Self::default(),
            Some(_) => {}
        }
        let Some(table) = table.table("health", HEALTH) else { return Self::default() };
        let probe = |text: &str| match text {
            "answer" => Ok(Probe::Answer),
            "connect" => Ok(Probe::Connect),
            other => Err(format!("`{}` is no way to check a service", other.escape_debug())),
        };
        Self {
            interval_ms: table
                .text("interval", |text| milliseconds(text, &INTERVALS, true))
                .map(|t| t.into_inner()),
            timeout_ms: table
                .text("timeout", |text| milliseconds(text, &TIMEOUTS, false))
                .map(|t| t.into_inner()),
            rise: table.whole("rise", IN_A_ROW).map(|count| count.into_inner()),
            fall: table.whole("fall", IN_A_ROW).map(|count| count.into_inner()),
            probe: table.text("probe", probe).map(|probe| probe.into_inner()),
        }
    }

    /// Whether nothing was declared.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What was declared, over `otherwise`.
    #[must_use]
    pub fn over(&self, otherwise: HealthCheck) -> HealthCheck {
        HealthCheck {
            interval_ms: self.interval_ms.unwrap_or(otherwise.interval_ms),
            timeout_ms: self.timeout_ms.unwrap_or(otherwise.timeout_ms),
            rise: self.rise.unwrap_or(otherwise.rise),
            fall: self.fall.unwrap_or(otherwise.fall),
            probe: self.probe.unwrap_or(otherwise.probe),
        }
    }
}

/// A time as a file writes it.
#[must_use]
pub fn time(milliseconds: u32) -> String {
    humantime::format_duration(Duration::from_millis(milliseconds.into())).to_string()
}

fn milliseconds(text: &str, range: &RangeInclusive<u32>, or_never: bool) -> Result<u32, String> {
    let given = humantime::parse_duration(text).map_err(|e| format!("`{}`: {e}", text.escape_debug()))?;
    if given.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{text} is no whole number of milliseconds"));
    }
    let ms = u32::try_from(given.as_millis()).unwrap_or(u32::MAX);
    if range.contains(&ms) || (or_never && ms == 0) {
        return Ok(ms);
    }
    let given = humantime::format_duration(given);
    Err(format!("{given} is not from {} to {}", time(*range.start()), time(*range.end())))
}
