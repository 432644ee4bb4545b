//! Configuration that can't be used: every mistake at once, each at its line and column, and exit code 1.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::SINEW;

/// Each line with a mistake, and the part of it that is wrong; none for lines that are fine.
type Lines<'l> = &'l [(&'l str, Option<&'l str>)];

#[test]
fn every_mistake_in_a_nodes_configuration_is_shown_at_its_place() {
    let lines: Lines<'_> = &[
        ("[node]", None),
        ("state = 5", Some("5")),
        ("dta = \"127.0.0.1:7410\"", Some("dta")),
        ("dead_after = \"1 parsec\"", Some("\"1 parsec\"")),
        ("", None),
        ("[[listen]]", None),
        ("service = \"Orders!\"", Some("\"Orders!\"")),
        ("address = \"127.0.0.1:99999\"", Some("\"127.0.0.1:99999\"")),
    ];

    let errors = refused("node", lines);

    assert!(errors.contains("5 mistakes"), "{errors}");
    assert!(errors.contains("did you mean `data`?"), "{errors}");
}

#[test]
fn every_mistake_in_a_controllers_configuration_is_shown_at_its_place() {
    let lines: Lines<'_> = &[
        ("[controller]", None),
        ("state = \"/nowhere\"", None),
        ("api = \"0.0.0.0:7402\"", Some("\"0.0.0.0:7402\"")),
        ("certificate_ttl = \"soon\"", Some("\"soon\"")),
        ("defualt_policy = \"allow\"", Some("defualt_policy")),
    ];

    let errors = refused("controller", lines);

    assert!(errors.contains("3 mistakes"), "{errors}");
}

#[test]
fn what_is_no_toml_is_shown_at_its_place() {
    refused("node", &[("[node]", None), ("state = \"/var/lib", Some("\n"))]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = Command::new(SINEW).args(["node", "--config", "/nowhere/node.toml"]).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/node.toml"));
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let output = Command::new(SINEW).args(["node", "--confg", "node.toml"]).output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--config"), "says what was meant");
}

/// Starts `command` with a file of these lines, and looks that it refuses every mistake at its place; yields
/// what it said.
fn refused(command: &str, lines: Lines<'_>) -> String {
    let dir = TempDir::with_prefix("sinew-test-").unwrap();
    let file = dir.path().join("mistakes.toml");
    let whole: Vec<_> = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    std::fs::write(&file, whole.concat()).unwrap();

    let Output { status, stdout, stderr } =
        Command::new(SINEW).args([command, "--config"]).arg(&file).output().unwrap();

    let errors = text(&stderr);
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]), "{errors}");
    for (number, (line, wrong)) in
        lines.iter().enumerate().filter_map(|(i, l)| l.1.map(|w| (i + 1, (&whole[i], w))))
    {
        let column = line.find(wrong).unwrap() + 1;
        let place = format!("mistakes.toml:{number}:{column}");
        assert!(errors.contains(&place), "no {place} in\n{errors}");
    }
    errors
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
