//! What keeps the keys in a process from being read out of it by way of a file.

use anyhow::Context as _;
use nix::sys::resource::{Resource, setrlimit};

/// From now on the death of this process leaves no image of its memory: no file (`RLIMIT_CORE`), and, since the kernel
/// ignores that limit for dumps that it pipes to a program (core(5)), none at all where it knows `PR_SET_DUMPABLE`.
/// That also keeps other processes of the same user from attaching to it (ptrace(2)).
///
/// # Errors
/// When the system does not let us; nothing that runs with keys should then.
pub(crate) fn forbid_core_dumps() -> anyhow::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("forbidding core dumps by RLIMIT_CORE")?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false).context("forbidding core dumps by PR_SET_DUMPABLE")?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_kernel_dumps_nothing() {
        forbid_core_dumps().expect("the system lets us");

        assert!(!nix::sys::prctl::get_dumpable().expect("the kernel knows"));
    }
}
