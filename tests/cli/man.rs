//! `sinew man`: a page for every command that `--help` shows, and for no other.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use crate::{SINEW, printed};

async fn sinew(args: &[&str]) -> Output {
    tokio::process::Command::new(SINEW).args(args).output().await.unwrap()
}

/// The commands that `--help` of a command lists.
async fn listed(command: &[&str]) -> Vec<String> {
    let help = sinew(&[command, &["--help"]].concat()).await;
    let lines = printed(&help).lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    // Two blanks before a name; more before the rest of a long line.
    let names =
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_command_has_its_page_with_its_options_and_exit_codes() {
    let dir = tempfile::tempdir().unwrap();

    let output = sinew(&["man", "--dir", dir.path().to_str().unwrap()]).await;

    assert!(output.status.success(), "{output:?}");
    let mut expected = BTreeSet::from(["sinew.1".to_owned()]);
    for name in listed(&[]).await {
        for below in listed(&[&name]).await {
            expected.insert(format!("sinew-{name}-{below}.1"));
        }
        expected.insert(format!("sinew-{name}.1"));
    }
    assert!(expected.len() > 20 && expected.contains("sinew-token-create.1"), "{expected:?}");
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let found: BTreeSet<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected);
    for name in &found {
        let page = read(dir.path(), name);
        for part in
            [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH \"EXIT STATUS\"", ".SH \"SEE ALSO\""]
        {
            assert!(page.contains(part), "{name} has no {part}: {page}");
        }
    }
    let ping = read(dir.path(), "sinew-ping.1");
    assert!(ping.contains("\\-\\-interval") && ping.contains("SINEW_PING_INTERVAL"), "{ping}");

    let main = sinew(&["man"]).await;
    assert_eq!(printed(&main), read(dir.path(), "sinew.1"));
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}
