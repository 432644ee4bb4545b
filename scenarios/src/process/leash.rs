//! Ties a program to the life of whoever starts it.
//!
//! Only a process itself can ask the kernel for a signal at its parent's death, between fork and exec,
//! where Rust allows nothing without `unsafe`. So `sinew demo-service leash PARENT PROGRAM ARGS…` is
//! started instead: it asks, looks that the parent has not died in between, and becomes the program, under
//! the same process id. The wish survives exec, unless the program has set-user-id or capabilities.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

use tokio::process::Command;

/// `program` by way of the leash of `sinew`, tied to this process.
pub(super) fn command(sinew: &Path, program: &Path) -> Command {
    let mut command = Command::new(sinew);
    command.args(["demo-service", "leash", &std::process::id().to_string()]).arg(program);
    command
}

/// Becomes `program`, to be killed when the process `parent` ends. Comes back only if that fails.
///
/// Elsewhere than on Linux the program merely runs: there is no such wish.
#[must_use]
pub fn exec(parent: u32, program: &OsString, args: &[OsString]) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Err(e) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        return e.into();
    }
    if u32::try_from(nix::unistd::getppid().as_raw()) != Ok(parent) {
        return io::Error::other("whoever started this has ended already");
    }
    std::process::Command::new(program).args(args).exec()
}
