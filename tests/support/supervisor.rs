//! A service manager as systemd is one, as far as a node can tell: it hears that the node is ready or stops, keeps
//! its listening sockets, and hands them to the next process (sd_notify(3), sd_listen_fds(3)).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// See the module's text.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Mutex<Heard>,
}

/// What the node said.
#[derive(Debug, Default)]
struct Heard {
    /// Descriptors of this process by the node's name for them. Children inherit them.
    kept: BTreeMap<String, RawFd>,
    /// What was said, line by line, but for sockets.
    said: Vec<String>,
}

impl Supervisor {
    /// Listens in a directory.
    pub(super) fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be made there");
        Self { socket, path, heard: Mutex::default() }
    }

    /// Program and arguments that start `program` with what is kept.
    pub(super) fn launch(&self, program: &str, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        self.hear();
        let heard = self.heard.lock().expect("sound");
        let mut kept: Vec<_> = heard.kept.iter().map(|(name, fd)| (*fd, name.as_str())).collect();
        // Upward, so that none is overwritten before it was moved.
        kept.sort_unstable();
        let names: Vec<_> = kept.iter().map(|(_, name)| *name).collect();
        let moves = kept.iter().zip(3..).filter(|((fd, _), at)| fd != at);
        let moves: String = moves.map(|((fd, _), at)| format!(" {at}<&{fd} {fd}<&-")).collect();
        let script = format!(
            "export NOTIFY_SOCKET='{}' LISTEN_FDS={} LISTEN_FDNAMES='{}' LISTEN_PID=$$; exec \"$0\" \"$@\"{moves}",
            self.path.display(),
            kept.len(),
            names.join(":")
        );
        let script: [OsString; 3] = ["-c".into(), script.into(), program.into()];
        // dash knows no descriptors of two digits.
        ("/bin/bash".into(), script.into_iter().chain(args).collect())
    }

    /// What the node has said so far, line by line, but for sockets.
    pub fn said(&self) -> Vec<String> {
        self.hear();
        self.heard.lock().expect("sound").said.clone()
    }

    /// Takes what was said since the last time.
    fn hear(&self) {
        let (mut text, mut space) = ([0; 4096], nix::cmsg_space!([RawFd; 8]));
        loop {
            let mut parts = [IoSliceMut::new(&mut text)];
            let received =
                recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT);
            let Ok(received) = received else { return };
            let fds = received.cmsgs().expect("whole").find_map(|message| match message {
                ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                _ => None,
            });
            let len = received.bytes;
            self.heard.lock().expect("sound").take(&String::from_utf8_lossy(&text[..len]), fds);
        }
    }
}

impl Heard {
    fn take(&mut self, text: &str, fd: Option<RawFd>) {
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default();
        match fd {
            Some(fd) if text.contains("FDSTORE=1") => drop(self.kept.insert(name.to_owned(), fd)),
            _ if text.contains("FDSTOREREMOVE=1") => {
                if let Some(fd) = self.kept.remove(name) {
                    let _ = nix::unistd::close(fd);
                }
            }
            _ => self.said.extend(text.lines().map(str::to_owned)),
        }
    }
}
