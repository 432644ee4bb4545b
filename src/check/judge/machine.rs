//! The kernel's limits and clock.

use sinew_transport::os::{UDP_RECEIVE_BUFFER, UDP_SEND_BUFFER};

use crate::check::facts::{Facts, System};
use crate::check::finding::{Check, Finding};

/// Open files below which a busy node ends: an application connection takes two.
const FILES_WANTED: u64 = 65_536;
/// Open files below which nothing works: shards, listeners and logs take some dozens.
const FILES_MIN: u64 = 256;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let system = &facts.system;
    vec![buffers(system), files(system), clock(system)]
}

fn buffers(system: &System) -> Finding {
    const CHECK: Check = Check::UdpBuffers;
    let wanted = (UDP_RECEIVE_BUFFER as u64, UDP_SEND_BUFFER as u64);
    match system.udp_max {
        None => CHECK.skip("this kernel does not say how large UDP buffers may be"),
        Some((receive, send)) if receive >= wanted.0 && send >= wanted.1 => {
            CHECK.pass(format!("UDP sockets may have buffers of {receive} and {send} bytes"))
        }
        Some((receive, send)) => CHECK.warn(
            format!(
                "the kernel cuts UDP buffers to {receive} bytes (receiving) and {send} (sending); a data socket asks \
                 for {} and {}. Under load bursts are lost, and sent again",
                wanted.0, wanted.1
            ),
            format!(
                "put net.core.rmem_max={} and net.core.wmem_max={} into /etc/sysctl.d/60-sinew.conf, then \
                 `sysctl --system` and restart the node; with CAP_NET_ADMIN it needs neither",
                wanted.0.max(receive),
                wanted.1.max(send)
            ),
        ),
    }
}

fn files(system: &System) -> Finding {
    const CHECK: Check = Check::FilesLimit;
    let remedy = format!(
        "LimitNOFILE=1048576 in the unit, as packaging/systemd has it, or `ulimit -n {FILES_WANTED}`"
    );
    match &system.files {
        None => CHECK.skip("the limit of open files can't be read"),
        Some((limit, whose)) if *limit >= FILES_WANTED => {
            CHECK.pass(format!("{whose} may open {limit} files"))
        }
        Some((limit, whose)) => {
            let what = format!(
                "{whose} may open {limit} files: at most {} application connections at once",
                limit.saturating_sub(FILES_MIN / 2) / 2
            );
            if *limit < FILES_MIN { CHECK.fail(what, remedy) } else { CHECK.warn(what, remedy) }
        }
    }
}

fn clock(system: &System) -> Finding {
    const CHECK: Check = Check::ClockSynchronised;
    match system.synchronised {
        Some(true) => CHECK.pass("the clock is synchronised"),
        Some(false) => CHECK.warn(
            "nobody synchronises the clock: when it is off by five minutes, certificates are refused",
            "run chrony or systemd-timesyncd; `timedatectl` shows what the system does",
        ),
        None => CHECK.skip("whether the clock is synchronised is not known: `timedatectl` does not say"),
    }
}
