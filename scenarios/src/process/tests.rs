//! Child processes: how they are ended, and what is said when they end by themselves.

use tempfile::TempDir;

use super::*;

fn shell(dir: &TempDir, script: &str) -> Launch {
    Launch {
        name: "the child".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        log: dir.path().join("child.log"),
        piped: false,
        leash: None,
    }
}

fn is_gone(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), None).is_err()
}

#[tokio::test]
async fn a_dropped_process_is_gone_and_reaped() {
    let dir = TempDir::new().unwrap();
    let process = Process::start(&shell(&dir, "exec sleep 60")).unwrap();
    let pid = process.pid();

    drop(process);

    assert!(is_gone(pid));
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_an_error_with_the_end_of_its_log() {
    let dir = TempDir::new().unwrap();
    let mut process = Process::start(&shell(&dir, "echo the reason >&2; exit 3")).unwrap();

    let error = process.unexpected_end().await.to_string();

    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.contains("the reason"), "{error}");
    assert!(process.check_running().is_err());
}

#[tokio::test]
async fn a_killed_process_is_gone_when_killing_returns() {
    let dir = TempDir::new().unwrap();
    let mut process = Process::start(&shell(&dir, "trap '' TERM; exec sleep 60")).unwrap();

    process.kill().await.unwrap();

    assert!(is_gone(process.pid()));
    assert!(matches!(process.kill().await, Err(ProcessError::Ended { .. })), "nothing is left to kill");
}

#[tokio::test]
async fn a_paused_process_stops_when_told() {
    let dir = TempDir::new().unwrap();
    let mut process = Process::start(&shell(&dir, "exec sleep 60")).unwrap();
    let pid = process.pid();
    process.signal(Signal::SIGSTOP).unwrap();

    let obeyed = process.stop().await;

    assert!(is_gone(pid));
    assert!(obeyed, "it did not have to be killed");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let dir = TempDir::new().unwrap();
    let launch = Launch { program: "/nowhere/sinew".into(), ..shell(&dir, "") };

    let error = Process::start(&launch).unwrap_err().to_string();

    assert!(error.contains("the child") && error.contains("/nowhere/sinew"), "{error}");
}

#[test]
fn the_tail_of_a_log_begins_with_a_whole_line() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let lines: Vec<String> = (0..1000).map(|i| format!("line {i}")).collect();
    std::fs::write(&log, lines.join("\n")).unwrap();

    let tail = tail(&log);

    assert!(tail.starts_with("line ") && tail.ends_with("line 999"));
    assert!(tail.len() as u64 <= TAIL_LEN);
}
