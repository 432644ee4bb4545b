//! What passes between this process and the supervisor that started it (systemd, or who speaks like it): that it
//! is ready or stops (sd_notify(3)), and listening sockets that outlive it.
//!
//! The supervisor keeps a duplicate of every listening socket (`FileDescriptorStoreMax=`, sd_pid_notify_with_fds(3)) and
//! hands them to the next process (sd_listen_fds(3)). So while a node restarts, whoever connects waits in the kernel's
//! queue, where otherwise the connection would be refused. Without a supervisor all of this does nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::{LazyLock, Mutex, PoisonError};

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::runtime::Phase;

/// What was handed to this process and is not taken up yet. There is one environment, so there is one of this.
static HANDED: LazyLock<Mutex<Vec<TcpListener>>> = LazyLock::new(|| {
    let mut handed = ListenFd::from_env();
    // What is no TCP listener is not ours.
    let listeners = (0..handed.len()).filter_map(|index| handed.take_tcp_listener(index).ok().flatten());
    Mutex::new(listeners.collect())
});

/// The socket that an earlier process listened on at this address.
pub(super) fn take(address: SocketAddr) -> Option<TcpListener> {
    if address.port() == 0 {
        return None;
    }
    let mut handed = HANDED.lock().unwrap_or_else(PoisonError::into_inner);
    let index = handed.iter().position(|listener| listener.local_addr().is_ok_and(|at| at == address))?;
    Some(handed.swap_remove(index))
}

/// Asks the supervisor to keep a listening socket. One at a port that nobody chose has another the next time.
pub(super) fn keep(listener: &TcpListener, wanted: SocketAddr) {
    if wanted.port() != 0 {
        let state = [NotifyState::FdStore, NotifyState::FdName(&name(wanted))];
        note(sd_notify::notify_with_fds(&state, &[listener.as_fd()]), "keep a listening socket");
    }
}

/// Asks the supervisor to close a listening socket: what connects there is refused from now on.
pub(super) fn retire(address: SocketAddr) {
    note(
        sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))]),
        "close a listening socket",
    );
}

/// Closes what nobody took up, and has the supervisor do the same.
pub(super) fn retire_untaken() {
    for listener in HANDED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let Ok(address) = listener.local_addr() else { continue };
        tracing::info!(%address, "a listening socket of an earlier run is closed: nothing listens there any more");
        retire(address);
    }
}

/// Tells the supervisor how far this process is.
pub(super) fn tell(phase: Phase) {
    let (state, what) = match phase {
        Phase::Ready => (NotifyState::Ready, "tell that the process is ready"),
        Phase::Stopping => (NotifyState::Stopping, "tell that the process stops"),
    };
    note(sd_notify::notify(&[state]), what);
}

/// A name as the supervisor takes it: no colons.
fn name(address: SocketAddr) -> String {
    format!("listen-{address}").replace(':', "_")
}

fn note(told: io::Result<()>, what: &str) {
    if let Err(error) = told {
        tracing::warn!(%error, what, "the supervisor can't be told");
    }
}
