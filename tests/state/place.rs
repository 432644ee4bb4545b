//! State directories with something wrong about them, and programs that are started on them.
//!
//! What only another file system shows (read-only, full) is mounted in a namespace that the program has for
//! itself, so that nothing is left behind. Where a test has the rights of root, they are taken from the program when
//! it shall meet a directory that is not its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use tokio::process::Command;

/// The program under test.
const SINEW: &str = env!("CARGO_BIN_EXE_sinew");

/// How long a program may take to find out that it can't start.
const REFUSAL: Duration = Duration::from_secs(20);

/// The controller's store. Opening it alone writes into it, which changes nothing of what it holds.
pub(crate) const STORE: &str = "store.redb";

/// Somebody else: `nobody` on every Linux.
const NOBODY: u32 = 65534;

/// Puts another file system over the directory `$0`, then becomes the program.
const READ_ONLY: &str = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;

/// The same with one that has no byte left, with a copy of what was there.
const FULL: &str = r#"mkdir -p "$0" "$0.full" && mount -t tmpfs -o size=1m tmpfs "$0.full" &&
    cp -a "$0/." "$0.full" && mount --bind "$0.full" "$0" &&
    { cat /dev/zero > "$0/ballast" 2>/dev/null || true; } && exec "$@""#;

/// Where a program finds its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As it is.
    Plain,
    /// On a file system that takes no writes.
    ReadOnly,
    /// On a file system without a byte left.
    Full,
    /// As it is, for a program without the rights of root.
    Unprivileged,
}

/// What a program said that did not start.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) text: String,
}

impl Refusal {
    /// It names each of these.
    pub(crate) fn names(&self, words: &[&str]) {
        // Words are looked for across the breaks of lines.
        let flat = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "no `{word}` in: {}", self.text);
        }
    }
}

/// Starts the program with its state in such a place; it must end by itself, and not well.
pub(crate) async fn refused(place: Place, state: &Path, arguments: &[&str]) -> Refusal {
    let command = started(place, state, arguments);
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).env("NO_COLOR", "1").kill_on_drop(true);
    let output = tokio::time::timeout(REFUSAL, process.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{arguments:?} runs: it must not, {place:?}")).unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{arguments:?} ended well: {text}");
    assert!(!text.contains("panicked"), "{text}");
    Refusal { text }
}

/// The command that starts the program there.
fn started(place: Place, state: &Path, arguments: &[&str]) -> Vec<OsString> {
    let mut command: Vec<OsString> = match place {
        Place::Plain => Vec::new(),
        Place::ReadOnly => namespace(READ_ONLY, state),
        Place::Full => namespace(FULL, state),
        Place::Unprivileged if is_root() => {
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all"].map(Into::into).into()
        }
        Place::Unprivileged => Vec::new(),
    };
    command.push(SINEW.into());
    command.extend(arguments.iter().map(Into::into));
    command
}

/// A program in a mount namespace of its own, after a script that gets `state` as `$0`.
fn namespace(script: &str, state: &Path) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec!["unshare".into(), "--mount".into()];
    if !is_root() {
        command.push("--map-root-user".into());
    }
    command.extend(["sh".into(), "-c".into(), script.into(), state.into()]);
    command
}

fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Makes everything in a directory, and itself, unreadable for a program that starts [`Place::Unprivileged`]:
/// another user's, as far as this one may give it away.
pub(crate) fn give_away(directory: &Path) {
    for (path, mode) in files(directory).map(|path| (path, 0o600)).chain([(directory.to_owned(), 0o700)]) {
        if is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        }
    }
}

/// Takes it back.
pub(crate) fn take_back(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    for path in files(directory).chain([directory.to_owned()]) {
        if is_root() {
            chown(&path, Some(0), Some(0)).unwrap();
        }
        let mode = if path == directory { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A copy of a state directory, to be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup(BTreeMap<PathBuf, Vec<u8>>);

impl Backup {
    pub(crate) fn of(directory: &Path) -> Self {
        Self(files(directory).map(|path| (path.clone(), fs::read(&path).unwrap())).collect())
    }

    /// Puts it back: what came since is gone.
    pub(crate) fn restore(&self, directory: &Path) {
        for path in files(directory) {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &self.0 {
            fs::write(path, bytes).unwrap();
        }
    }

    /// The same without this file.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|path, _| !path.ends_with(name));
        self
    }

    /// The directory holds this, byte for byte, and nothing else.
    pub(crate) fn is_in(&self, directory: &Path, why: &str) {
        let mut now = Self::of(directory);
        if !self.0.keys().any(|path| path.ends_with(STORE)) {
            now = now.without(STORE);
        }
        let names = |backup: &Self| backup.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(self), "{why}: other files");
        for (path, bytes) in &self.0 {
            assert!(now.0[path] == *bytes, "{why}: {} was rewritten", path.display());
        }
    }
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>().into_iter()
}

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Harm {
    /// It is gone.
    Gone,
    /// A crash, or a full disk, left the first half.
    Half,
    /// The same, and nothing of it.
    Empty,
    /// The version in it is one that nobody knows yet.
    Newer,
}

impl Harm {
    pub(crate) fn comes_to(self, file: &Path) {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        match self {
            Self::Gone => fs::remove_file(file).unwrap(),
            Self::Half => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
            Self::Empty => fs::write(file, b"").unwrap(),
            Self::Newer => {
                let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                json["version"] = 99.into();
                fs::write(file, json.to_string()).unwrap();
            }
        }
    }
}
