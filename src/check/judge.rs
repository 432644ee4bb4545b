//! From facts to findings. Pure: the same facts give the same findings.
//!
//! *Fail* is what does not work now, or will not at the next start; *warn* is what works and will not for ever, or not
//! under load; *skip* is what could not be looked at. Before the first start ([`Facts::pre`]) what is not there yet is
//! no failure.

mod certificates;
mod links;
mod machine;
mod ports;

use super::facts::{Entry, Facts, Found, Kind, Program};
use super::finding::{Check, Finding};

/// Everything there is to say.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    if facts.programs.is_empty() {
        findings.push(Check::ConfigNode.fail(
            "there is no configuration: neither /etc/sinew/node.toml nor /etc/sinew/controller.toml",
            "pass it with --config FILE, or begin with `sinew config example node`",
        ));
    }
    findings.extend(facts.programs.iter().map(config));
    for program in &facts.programs {
        findings.extend(state(program, facts.pre));
        findings.extend(certificates::judge(program, facts));
        findings.extend(ports::judge(program, facts));
    }
    findings.extend(machine::judge(facts));
    findings.extend(links::judge(facts));
    findings
}

fn config(program: &Program) -> Finding {
    let check = match program.kind {
        Kind::Node => Check::ConfigNode,
        Kind::Controller => Check::ConfigController,
    };
    let file = program.file.display();
    match &program.config {
        Ok(summary) => check.pass(format!("{file} reads: {summary}")),
        Err(mistakes) => check.fail(
            format!("{file} can't be used:\n{mistakes}"),
            format!("mend it; `sinew config validate {file}` shows each mistake at its place"),
        ),
    }
}

fn state(program: &Program, pre: bool) -> Vec<Finding> {
    const CHECK: Check = Check::StateRights;
    let Some(state) = &program.state else { return Vec::new() };
    let (path, kind) = (state.path.display(), program.kind.word());
    let (own, secrets, runs_as) = match &state.found {
        Found::Missing if pre => {
            return vec![CHECK.pass(format!("{path} is not there yet; the {kind} makes it"))];
        }
        Found::Missing => {
            let what = format!("{path} is not there: the {kind} never ran with this configuration");
            let remedy =
                format!("start the {kind}, or mend `state`; before the first start, check with --pre");
            return vec![CHECK.fail(what, remedy)];
        }
        Found::Unreadable(error) => {
            return vec![CHECK.skip(format!("{path} can't be looked at ({error}); run this as root"))];
        }
        Found::There { own, secrets, runs_as } => (own, secrets, runs_as),
    };
    let mut findings = Vec::new();
    for open in std::iter::once(own).chain(secrets).filter(|entry| entry.mode & 0o077 != 0) {
        findings.push(CHECK.fail(
            format!("others than its owner may use {} (mode {:04o})", open.name, open.mode),
            format!(
                "`chmod go= {}`; if others use this machine, take its secrets for known: join the node anew, or \
                 replace the token",
                open.name
            ),
        ));
    }
    let user = runs_as.as_ref().unwrap_or(&own.owner);
    let strange: Vec<&Entry> =
        std::iter::once(own).chain(secrets).filter(|entry| entry.owner != *user).collect();
    if let Some(first) = strange.first() {
        findings.push(CHECK.fail(
            format!("{} belongs to {}, and the {kind} runs as {user}", first.name, first.owner),
            format!("was a command run as root? `chown -R {user}: {path}`"),
        ));
    }
    if findings.is_empty() {
        findings.push(CHECK.pass(format!("{path} belongs to {user} alone")));
    }
    findings
}

#[cfg(test)]
mod tests;
