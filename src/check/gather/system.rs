//! What the kernel allows, and whether its clock is right.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::process::Command;
use tokio::time::timeout;

use crate::check::facts::System;

/// How long `timedatectl` may take: it asks a daemon, which may hang.
const TIMEDATECTL_TIME: Duration = Duration::from_secs(2);

/// CAP_NET_BIND_SERVICE, a bit of `CapEff` (capabilities(7)).
const NET_BIND_SERVICE: u32 = 10;

/// Looks at the system as this process sees it.
pub(super) async fn system() -> System {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let udp_max = number("/proc/sys/net/core/rmem_max").zip(number("/proc/sys/net/core/wmem_max"));
    let first = number("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let files = getrlimit(Resource::RLIMIT_NOFILE).ok();
    System {
        udp_max,
        files: files.map(|(soft, _)| (soft, "a program started from here".to_owned())),
        unprivileged_from: first.and_then(|port| u16::try_from(port).ok()).unwrap_or(1024),
        may_bind: may_bind(),
        synchronised: synchronised().await,
    }
}

fn may_bind() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.map_or_else(|| nix::unistd::geteuid().is_root(), |mask| mask & (1 << NET_BIND_SERVICE) != 0)
}

/// The kernel's own word, which chrony, ntpd and timesyncd all set; only systemd tells it without more rights.
async fn synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(TIMEDATECTL_TIME, command.output()).await.ok()?.ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
