//! `sinew completion`: the script in a real bash, and the names that it offers.

use std::path::Path;

use tokio::process::Command;

use crate::support::Mesh;
use crate::{SINEW, pair};

/// What bash offers for a line, at its end.
async fn offered(mesh: &Mesh, line: &[&str]) -> Vec<String> {
    let words: String = line.iter().map(|word| format!(" '{word}'")).collect();
    let script = format!(
        "source <(sinew completion bash)\n\
         COMP_WORDS=({words}); COMP_CWORD={}; COMP_TYPE=9\n\
         $(complete -p sinew | sed 's/.*-F \\([^ ]*\\).*/\\1/') sinew \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line.len() - 1
    );
    let folder = Path::new(SINEW).parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", &script]).env("PATH", path);
    command.env("SINEW_STATE", mesh.controller_state());
    command.env("SINEW_NODE_STATE", mesh.node_dir("caller").join("state"));
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_offers_commands_flags_and_the_names_of_who_is_there() {
    let (mut mesh, _echo) = pair().await;

    assert_eq!(offered(&mesh, &["sinew", "bug"]).await, ["bugreport"]);
    assert!(offered(&mesh, &["sinew", "ping", "--int"]).await.contains(&"--interval".to_owned()));
    let peers = offered(&mesh, &["sinew", "ping", ""]).await;
    assert!(peers.contains(&"n1".to_owned()) && !peers.contains(&"caller".to_owned()), "{peers:?}");
    assert_eq!(offered(&mesh, &["sinew", "effective", "c"]).await, ["caller"]);
    assert_eq!(offered(&mesh, &["sinew", "status", "--why-weights", "o"]).await, ["orders"]);
    assert_eq!(offered(&mesh, &["sinew", "register", "w"]).await, ["web"]);

    mesh.stop("caller").await;
    assert_eq!(offered(&mesh, &["sinew", "ping", "n"]).await, [""; 0], "nobody is there to ask");
}
