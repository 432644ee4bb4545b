//! Two processes with one identity: the newer stays, the older does not take turns with it.

use super::*;

/// Registers as a run of the program.
fn register_run(mesh: &mut Mesh, boot: u64) -> Result<Registered, Vec<Mistake>> {
    mesh.register(&node("n1"), Register { boot, ..register(&["orders"], &[]) }, IP)
}

#[test]
fn of_two_runs_with_one_identity_the_newer_stays_and_the_older_is_turned_away() {
    let mut mesh = mesh();
    let older = register_run(&mut mesh, 1).expect("the first");
    let newer = register_run(&mut mesh, 2).expect("the newer wins");

    let back = register_run(&mut mesh, 1);

    assert!(newer.another_run && newer.supersedes == Some(older.session));
    assert_eq!(back, Err(vec![Mistake::Superseded { node: node("n1") }]));
    assert_eq!(mesh.poll_turn(&node("n1"), older.session), Turn::Leave(FarewellReason::Superseded));
    assert!(matches!(mesh.poll_turn(&node("n1"), newer.session), Turn::Push(_)));
    assert_eq!(mesh.status(&answerer()).nodes[0].copy_at, Some(IP));
}

#[test]
fn a_run_that_was_turned_away_is_taken_once_the_other_is_gone() {
    let mut mesh = mesh();
    register_run(&mut mesh, 1).expect("the first");
    let newer = register_run(&mut mesh, 2).expect("the newer wins");

    mesh.on_session_end(Duration::ZERO, &node("n1"), newer.session, SessionEnd::Lost);

    assert!(register_run(&mut mesh, 1).is_ok());
}

#[test]
fn a_run_takes_over_from_its_own_session_quietly() {
    let mut mesh = mesh();
    register_run(&mut mesh, 1).expect("the first");

    let again = register_run(&mut mesh, 1).expect("the same run");

    assert!(!again.another_run);
    assert!(again.supersedes.is_some());
}

fn answerer() -> Answerer {
    let trust_domain = sinew_transport_core::TrustDomain::new("mesh.local").expect("valid");
    Answerer { trust_domain, controller: node("c1"), version: "1".into() }
}
