//! What there is: gathered by [`super::gather`], judged by [`super::judge`]. Nothing in here is an opinion.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sinew_api::admin::NodeLinks;
use sinew_api::status::Status;
use sinew_transport::validity::Validity;

/// Everything that was gathered.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Before the first start: nothing runs yet, and nothing has to.
    pub(super) pre: bool,
    /// Seconds since 1970.
    pub(super) now: u64,
    /// Version of this program.
    pub(super) version: &'static str,
    pub(super) system: System,
    /// What this machine runs, or shall run.
    pub(crate) programs: Vec<Program>,
    /// The node on this machine, if it has one.
    pub(super) agent: Option<Agent>,
    /// What the controller says, if it is on this machine and answers; or why not.
    pub(crate) status: Result<Status, String>,
}

/// The kernel, and what it allows.
#[derive(Debug, Clone, Default)]
pub(crate) struct System {
    /// `net.core.rmem_max` and `wmem_max`; none where the kernel does not say.
    pub(super) udp_max: Option<(u64, u64)>,
    /// The limit of open files, and whose it is.
    pub(super) files: Option<(u64, String)>,
    /// The first port that anybody may bind.
    pub(super) unprivileged_from: u16,
    /// Whether this process may bind those below.
    pub(super) may_bind: bool,
    /// Whether the kernel's clock is synchronised; none when nobody says.
    pub(super) synchronised: Option<bool>,
}

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Controller,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Controller => "controller",
        }
    }
}

/// A program as its configuration describes it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    /// The configuration's file.
    pub(crate) file: PathBuf,
    /// What is in it in a few words, or everything that is wrong with it. With mistakes there is nothing below.
    pub(crate) config: Result<String, String>,
    pub(crate) state: Option<State>,
    pub(crate) sockets: Vec<Bind>,
    pub(crate) certificates: Vec<Certificate>,
    /// Its process, if it runs and we may see it.
    pub(crate) pid: Option<u32>,
    /// Where a join token may be.
    pub(crate) token_file: Option<PathBuf>,
}

/// A state directory.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) path: PathBuf,
    pub(super) found: Found,
}

#[derive(Debug, Clone)]
pub(crate) enum Found {
    Missing,
    /// We may not look.
    Unreadable(String),
    There {
        own: Entry,
        /// What should be private in it.
        secrets: Vec<Entry>,
        /// Who runs the program, if it runs.
        runs_as: Option<String>,
    },
}

/// A file or directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(super) name: String,
    /// Permission bits.
    pub(super) mode: u32,
    /// The owner's name, or number.
    pub(super) owner: String,
}

/// A socket that the program binds.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    /// What it is for.
    pub(super) what: String,
    /// `TCP` or `UDP`.
    pub(super) protocol: &'static str,
    pub(super) address: SocketAddr,
    pub(super) held: Held,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nobody has it.
    Free,
    /// The program itself has it, or whoever keeps its sockets while it restarts.
    Own,
    /// Somebody else has it; the name, if the system tells us.
    Taken(Option<String>),
    /// No interface of this machine has the address.
    NoSuchAddress,
    /// Only privileged programs may bind it.
    Privileged,
    /// Something else.
    Other(String),
}

/// A certificate that the program needs.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(super) what: &'static str,
    pub(super) file: PathBuf,
    pub(super) found: Result<Option<Validity>, String>,
    /// How long it is renewed by itself after its end; none: it is not renewed by itself.
    pub(super) grace: Option<Duration>,
    /// For a node that has not joined yet: its token, or what is wrong with it; none when it has none.
    pub(super) token: Option<Result<PathBuf, String>>,
}

/// The node on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// What it says, or why it does not.
    pub(super) links: Result<NodeLinks, String>,
    /// Its controllers, and how long each took to shake hands, or why it did not.
    pub(super) controllers: Vec<(String, Result<Duration, String>)>,
}
