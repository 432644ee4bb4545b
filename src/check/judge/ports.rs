//! Sockets: free, or held by who should hold them, and allowed to be bound.

use crate::check::facts::{Bind, Facts, Held, Program};
use crate::check::finding::{Check, Finding};

pub(super) fn judge(program: &Program, facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = program.sockets.iter().filter_map(|bind| free(bind, program)).collect();
    let fine = program.sockets.len() - findings.len();
    if findings.is_empty() && fine > 0 {
        let own = program.sockets.iter().filter(|bind| bind.held == Held::Own).count();
        let kind = program.kind.word();
        findings.push(Check::PortsFree.pass(match (own, fine - own) {
            (0, free) => format!("all {free} sockets of the {kind} can be bound"),
            (own, 0) => format!("all {own} sockets are held by the {kind} itself"),
            (own, free) => format!("{own} sockets are held by the {kind} itself, {free} can be bound"),
        }));
    }
    findings.extend(privileged(program, facts));
    findings
}

/// What is in a socket's way.
fn free(bind: &Bind, program: &Program) -> Option<Finding> {
    const CHECK: Check = Check::PortsFree;
    let Bind { what, protocol, address, held } = bind;
    let (kind, port) = (program.kind.word(), address.port());
    let here = format!("{what}: {protocol} {address}");
    Some(match held {
        // What may not be bound is the other check's business.
        Held::Free | Held::Own | Held::Privileged => return None,
        Held::Taken(Some(holder)) => CHECK.fail(
            format!("{here} is taken by {holder}"),
            format!("end it, or give the {kind} another address in {}", program.file.display()),
        ),
        Held::Taken(None) => CHECK.fail(
            format!("{here} is taken by another program"),
            format!(
                "as root, `ss -lnp{} sport = :{port}` names it; end it, or give the {kind} another address in {}",
                if *protocol == "UDP" { 'u' } else { 't' },
                program.file.display()
            ),
        ),
        Held::NoSuchAddress => CHECK.fail(
            format!("{here}: no interface of this machine has that address"),
            "`ip address` shows those that there are; 0.0.0.0 takes all",
        ),
        Held::Other(error) => CHECK.fail(
            format!("{here} can't be bound: {error}"),
            format!("mend the address in {}", program.file.display()),
        ),
    })
}

fn privileged(program: &Program, facts: &Facts) -> Option<Finding> {
    const CHECK: Check = Check::PortsPrivileged;
    let from = facts.system.unprivileged_from;
    let low: Vec<&Bind> =
        program.sockets.iter().filter(|bind| (1..from).contains(&bind.address.port())).collect();
    let names = low.iter().map(|bind| bind.address.to_string()).collect::<Vec<_>>().join(", ");
    let kind = program.kind.word();
    if program.sockets.is_empty() {
        return None;
    }
    Some(if low.is_empty() {
        CHECK.pass(format!("the {kind} binds no port below {from}"))
    } else if low.iter().all(|bind| bind.held == Held::Own) {
        CHECK.pass(format!("the {kind} holds {names}, below {from}"))
    } else if facts.system.may_bind {
        CHECK.pass(format!("{names}: below {from}, and this user may bind it; so must the {kind}'s own"))
    } else {
        CHECK.warn(
            format!("{names}: only privileged programs bind ports below {from}, and this user is none"),
            format!("give the {kind} CAP_NET_BIND_SERVICE, as packaging/systemd does, or a higher port"),
        )
    })
}
