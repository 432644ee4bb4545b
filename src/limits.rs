//! What the system lets a process have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// From now on this process may have as many open files as an administrator allows (the hard `RLIMIT_NOFILE`): the
/// soft limit is 1024 for the sake of programs that use select(2), and a connection takes a descriptor.
pub(crate) fn raise_open_files() {
    // What is not to be had is told where it matters: a node says how many connections it carries.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
