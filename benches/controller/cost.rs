//! What a process has used, from `/proc`.

use std::time::Duration;

/// What a process has used.
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
}

impl Cost {
    pub(crate) fn of(pid: u32) -> Self {
        /// Of `/proc`: USER_HZ, the same on every Linux that we run on.
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let rest = stat.rsplit(") ").next().unwrap();
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib = peak.trim().trim_end_matches(" kB").parse().unwrap();
        Self { cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND), peak_kib }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s | {} MiB", self.cpu.as_secs_f64(), self.peak_kib / 1024)
    }
}
