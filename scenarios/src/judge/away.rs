//! While the controller is away: whoever was in the mesh notices nothing.
//!
//! Every request counts that was due between the controller's death and its return. None may fail, for whatever
//! reason: nothing excuses one here. Their p99 may be at most a multiple of the fastest endpoint's, as in
//! [`super::latency`].

use std::time::Duration;

use super::latency::{fastest_p99, millis, percentiles};
use super::{Finding, MIN_SAMPLES};
use crate::record::Recording;
use crate::scenario::Action;

pub(super) fn undisturbed(run: &Recording, event: &str, times_fastest: f64) -> Finding {
    let expected = format!(
        "without the controller, none failed and p99 at most {times_fastest} x the fastest endpoint's"
    );
    let Some(death) = run.event(event).filter(|e| e.action == Action::KillController) else {
        return Finding::unprovable(expected, format!("`{event}` did not happen"));
    };
    let returns = |at: &Duration| *at > death.at;
    let back = run.events.iter().filter(|e| e.action == Action::ReturnController).map(|e| e.at).find(returns);
    let away = death.at..back.unwrap_or(run.ended);
    let meanwhile = || run.samples.iter().filter(|s| away.contains(&s.due));
    let count = meanwhile().count();
    if count < MIN_SAMPLES {
        let why = format!("{count} requests were due meanwhile, fewer than {MIN_SAMPLES}");
        return Finding::unprovable(expected, why);
    }
    let (endpoint, own) = match fastest_p99(run) {
        Ok(fastest) => fastest,
        Err(why) => return Finding::unprovable(expected, why),
    };
    let failed = meanwhile().filter(|s| s.failed()).count();
    let p99 = percentiles(meanwhile()).p99;
    let times = p99.as_secs_f64() / own.as_secs_f64();
    let measured = format!(
        "{failed} failed of {count} in {:.1} s; p99 {times:.2} x: {:.1} ms; {:.1} ms at {endpoint}",
        (away.end - away.start).as_secs_f64(),
        millis(p99),
        millis(own)
    );
    Finding::new(failed == 0 && times <= times_fastest, expected, measured)
}
