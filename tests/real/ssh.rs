//! OpenSSH over a listener, with keys made for it, and rsync over that.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};
use sinew_scenarios::process::Process;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::programs::{free_address, serve, succeed};
use crate::support::bytes_of;
use crate::tally::Tally;
use crate::{mesh_of, turn};

/// How much goes through ssh in one piece.
const LARGE_LEN: usize = 32 << 20;

/// Files that rsync has to bring over.
const FILES: usize = 200;

/// Where sshd keeps nothing, but wants a directory, when it runs as root.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs OpenSSH and rsync: run by .ci/run"]
async fn ssh_and_rsync_bring_everything_over_whole() {
    let _turn = turn().await;
    let dir = TempDir::with_prefix("sinew-ssh-").unwrap();
    let sshd = Sshd::start(dir.path()).await;
    let mesh = mesh_of("shell", &[sshd.address]).await;
    let listener = mesh.listener("caller", "shell");

    // Up, and an answer; then down, with the exit code of what ran.
    let large = large();
    let said = sshd.ssh(listener, "sha256sum", &large).await;
    let digest: String = Sha256::digest(&large).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with(&digest), "{LARGE_LEN} bytes up: {said:?}");
    fs::write(dir.path().join("large"), &large).unwrap();
    let said = sshd.ssh(listener, &format!("cat {}/large; exit 7", dir.path().display()), b"").await;
    assert!(said.stdout == large, "{LARGE_LEN} bytes down");
    assert_eq!(said.status.code(), Some(7));

    // A tree up, then nothing, since nothing changed, and back down.
    let [tree, copy, back] = ["tree", "copy", "back"].map(|name| dir.path().join(name));
    make_tree(&tree);
    let remote = format!("127.0.0.1:{}/", copy.display());
    let sent = sshd.rsync(listener, &format!("{}/", tree.display()), &remote).await;
    assert_eq!(sent, FILES as u64);
    let sent = sshd.rsync(listener, &format!("{}/", tree.display()), &remote).await;
    assert_eq!(sent, 0, "it is there already");
    let sent = sshd.rsync(listener, &remote, &format!("{}/", back.display())).await;
    assert_eq!(sent, FILES as u64);
    succeed(Command::new("diff").arg("-r").args([&tree, &copy])).await;
    succeed(Command::new("diff").arg("-r").args([&tree, &back])).await;

    // Two of ssh, three of rsync, and no more.
    let tally = Tally::of(&mesh, &["n1"], 5).await;
    assert!(tally.bytes_up > LARGE_LEN as u64 && tally.bytes_down > LARGE_LEN as u64, "{tally:?}");
}

/// One sshd, for one key.
struct Sshd {
    address: SocketAddr,
    options: Vec<String>,
    /// Whether [`PRIVILEGE_SEPARATION`] was not there before.
    made: bool,
    _server: Process,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_dir(PRIVILEGE_SEPARATION);
        }
    }
}

impl Sshd {
    async fn start(dir: &Path) -> Self {
        for key in ["host", "own"] {
            let mut keygen = Command::new("ssh-keygen");
            succeed(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key))).await;
        }
        fs::copy(dir.join("own.pub"), dir.join("authorized")).unwrap();
        let made = Uid::effective().is_root() && !Path::new(PRIVILEGE_SEPARATION).exists();
        if made {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(PRIVILEGE_SEPARATION).unwrap();
        }
        let address = free_address();
        let here = dir.display();
        let config = format!(
            "ListenAddress {address}\nHostKey {here}/host\nAuthorizedKeysFile {here}/authorized\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        );
        fs::write(dir.join("sshd_config"), config).unwrap();
        let known = fs::read_to_string(dir.join("host.pub")).unwrap();
        fs::write(dir.join("known"), format!("mesh {known}")).unwrap();
        let args = ["-D".into(), "-e".into(), "-f".into(), dir.join("sshd_config").into()];
        // It starts itself anew for each connection, and wants to know where it is.
        let server = serve("/usr/sbin/sshd".into(), args.into(), dir.join("sshd.log"), address).await;
        let user = User::from_uid(Uid::effective()).unwrap().unwrap().name;
        let options = [
            "-F".into(),
            "none".into(),
            format!("-oIdentityFile={here}/own"),
            format!("-oUserKnownHostsFile={here}/known"),
            "-oHostKeyAlias=mesh".into(),
            "-oIdentitiesOnly=yes".into(),
            "-oBatchMode=yes".into(),
            format!("-oUser={user}"),
        ];
        Self { address, options: options.into(), made, _server: server }
    }

    /// Runs a command beyond the mesh.
    async fn ssh(&self, listener: SocketAddr, what: &str, input: &[u8]) -> std::process::Output {
        let mut command = Command::new("ssh");
        command.args(&self.options).args(["-p", &listener.port().to_string(), "127.0.0.1", what]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let (fed, output) = tokio::join!(
            async {
                let fed = pipe.write_all(input).await;
                drop(pipe);
                fed
            },
            child.wait_with_output()
        );
        let output = output.unwrap();
        fed.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        output
    }

    /// Copies a tree; yields how many files it had to bring over.
    async fn rsync(&self, listener: SocketAddr, from: &str, to: &str) -> u64 {
        let shell = format!("ssh {} -p {}", self.options.join(" "), listener.port());
        let mut rsync = Command::new("rsync");
        let said = succeed(rsync.args(["-a", "--checksum", "--stats", "-e", &shell, from, to])).await;
        said.number_after("Number of regular files transferred:").unwrap_or_else(|| panic!("{}", said.text))
    }
}

fn large() -> Vec<u8> {
    let mut chunks = bytes_of(3);
    let mut all = Vec::new();
    while all.len() < LARGE_LEN {
        all.extend(chunks());
    }
    all
}

/// Files of every size from nothing to half a MiB, one of them for others to run.
fn make_tree(tree: &Path) {
    let mut chunks = bytes_of(4);
    for index in 0..FILES {
        let folder = tree.join(format!("{}", index % 7));
        fs::create_dir_all(&folder).unwrap();
        let bytes: Vec<u8> = (0..4).flat_map(|_| chunks()).take(index * index * 13).collect();
        fs::write(folder.join(format!("file-{index}")), bytes).unwrap();
    }
    fs::set_permissions(tree.join("0/file-0"), fs::Permissions::from_mode(0o755)).unwrap();
}
