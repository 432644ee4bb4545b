//! Who runs, whom they reach, and whether they are of one version.

use sinew_api::admin::{NodeLinks, NodePeer};
use sinew_api::control::LinkState;
use sinew_api::status::{NodeStatus, Status};

use crate::check::facts::{Agent, Facts, Kind};
use crate::check::finding::{Check, Finding};

/// Skew from which certificates are refused, in milliseconds.
const SKEW_MAX_MS: u64 = 300_000;
/// Skew that is told.
const SKEW_TOLD_MS: u64 = 30_000;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![skew(facts)];
    if let Some(agent) = &facts.agent {
        findings.push(running(agent, facts.pre));
    }
    findings.extend(controller(facts));
    findings.push(versions(facts));
    if let Some(agent) = &facts.agent {
        findings.extend(peers(agent, facts.pre));
    }
    findings
}

/// The nodes that the controller tells of; only our own, if there is one here.
fn nodes<'f>(status: &'f Status, facts: &'f Facts) -> impl Iterator<Item = &'f NodeStatus> {
    let own = facts.agent.as_ref().and_then(|agent| agent.links.as_ref().ok()).map(|links| &links.node);
    status.nodes.iter().filter(move |node| own.is_none_or(|own| node.name == *own))
}

fn skew(facts: &Facts) -> Finding {
    const CHECK: Check = Check::ClockSkew;
    let Ok(status) = &facts.status else {
        return CHECK
            .skip("only the controller compares clocks: `sinew status` or `sinew check` on its machine");
    };
    let known = nodes(status, facts).filter_map(|node| Some((node, node.clock_skew_ms?)));
    let Some((node, ms)) = known.max_by_key(|(_, ms)| ms.unsigned_abs()) else {
        return CHECK.skip("no node has told the controller its time yet");
    };
    let side = if ms > 0 { "ahead of" } else { "behind" };
    let what = match ms.unsigned_abs() {
        0 => format!("the clock of {} shows what the controller's shows", node.name),
        off => format!("the clock of {} is {off} ms {side} the controller's", node.name),
    };
    let remedy = "set both clocks by NTP; from 300 s on certificates are refused";
    match ms.unsigned_abs() {
        SKEW_MAX_MS.. => CHECK.fail(what, remedy),
        SKEW_TOLD_MS..SKEW_MAX_MS => CHECK.warn(what, remedy),
        _ => CHECK.pass(what),
    }
}

fn running(agent: &Agent, pre: bool) -> Finding {
    const CHECK: Check = Check::NodeRunning;
    match &agent.links {
        Err(why) if pre => CHECK.skip(format!("no node runs here yet ({why})")),
        Err(why) => CHECK.fail(
            format!("the node does not answer: {why}"),
            "start it (`systemctl start sinew-node`); its log says why it ended. Before the first start, check with \
             --pre",
        ),
        Ok(NodeLinks { node, draining: true, .. }) => {
            CHECK.warn(format!("{node} is stopping: it drains"), "start it again when it has ended")
        }
        Ok(NodeLinks { node, revision: None, .. }) => CHECK.fail(
            format!("{node} runs, and has no snapshot: it knows no service yet"),
            "it needs a controller once: see controller-reachable",
        ),
        Ok(NodeLinks { node, version, revision: Some(revision), .. }) => {
            CHECK.pass(format!("{node} runs (sinew {version}), with revision {revision}"))
        }
    }
}

/// The controller, from the node's side and from its own.
fn controller(facts: &Facts) -> Vec<Finding> {
    const CHECK: Check = Check::ControllerReachable;
    let mut findings: Vec<Finding> = facts.agent.iter().map(|agent| reached(agent, facts.pre)).collect();
    if facts.programs.iter().any(|program| program.kind == Kind::Controller) {
        findings.push(match &facts.status {
            Ok(status) => {
                let lost = status.nodes.iter().filter(|node| !node.connected).count();
                let (all, name) = (status.nodes.len(), &status.controller);
                let told = format!("controller {name} answers; {} of {all} nodes have a session", all - lost);
                if lost == 0 {
                    CHECK.pass(told)
                } else {
                    CHECK.warn(told, "`sinew status` names those that are lost; `sinew check` there says why")
                }
            }
            Err(why) if facts.pre => CHECK.skip(format!("no controller runs here yet ({why})")),
            Err(why) => CHECK.fail(
                format!("the controller's API does not answer: {why}"),
                "start it (`systemctl start sinew-controller`); its log says why it ended",
            ),
        });
    }
    findings
}

fn reached(agent: &Agent, pre: bool) -> Finding {
    const CHECK: Check = Check::ControllerReachable;
    if let Ok(NodeLinks { node, session: true, .. }) = &agent.links {
        return CHECK.pass(format!("{node} has a control session"));
    }
    let answers = agent.controllers.iter().find_map(|(name, took)| Some((name, took.as_ref().ok()?)));
    match (answers, &agent.links) {
        (Some((name, _)), Ok(NodeLinks { node, .. })) => CHECK.warn(
            format!("the controller at {name} shakes hands, and {node} has no session with it"),
            "it is tried every few seconds; the log of both says why not: a revoked or ended certificate, a clock, an \
             identity that is used twice",
        ),
        (Some((name, took)), Err(_)) => {
            CHECK.pass(format!("the controller at {name} shakes hands (UDP), in {} ms", took.as_millis()))
        }
        (None, _) if agent.controllers.is_empty() && pre => {
            CHECK.skip("no controller is known yet: `controllers` or a token names them")
        }
        (None, _) if agent.controllers.is_empty() => CHECK.fail(
            "no controller is known: neither `controllers` nor what the node keeps names one that we may read",
            "run this as root, or name them in `controllers`",
        ),
        (None, _) => {
            let tried = agent.controllers.iter().filter_map(|(name, took)| {
                Some(format!("{name}: {}", took.as_ref().err()?))
            });
            CHECK.fail(
                format!("no controller answers\n{}", tried.collect::<Vec<_>>().join("\n")),
                "does it run there, and does UDP to that port pass every firewall between? Traffic goes on without it",
            )
        }
    }
}

fn versions(facts: &Facts) -> Finding {
    const CHECK: Check = Check::VersionsAgree;
    let mut others: Vec<(String, &str)> = Vec::new();
    if let Some(links) = facts.agent.as_ref().and_then(|agent| agent.links.as_ref().ok()) {
        others.push((format!("node {}", links.node), &links.version));
    }
    if let Ok(status) = &facts.status {
        others.push((format!("controller {}", status.controller), &status.version));
        let rest = status
            .nodes
            .iter()
            .filter(|node| !others.iter().any(|(o, _)| *o == format!("node {}", node.name)));
        let rest: Vec<_> = rest.map(|node| (format!("node {}", node.name), node.version.as_str())).collect();
        others.extend(rest);
    }
    let differing: Vec<_> = others.iter().filter(|(_, version)| *version != facts.version).collect();
    if others.is_empty() {
        return CHECK.skip("nobody answers whose version could differ");
    }
    if differing.is_empty() {
        return CHECK.pass(format!("everybody who answers is sinew {}", facts.version));
    }
    let list: Vec<_> = differing.iter().map(|(who, version)| format!("{who} {version}")).collect();
    CHECK.warn(
        format!("this program is sinew {}; {}", facts.version, list.join(", ")),
        "a program that was replaced goes on until it is restarted; while a mesh is updated it may differ",
    )
}

fn peers(agent: &Agent, pre: bool) -> Option<Finding> {
    const CHECK: Check = Check::PeersReachable;
    let links = match &agent.links {
        Ok(links) => links,
        Err(_) if pre => return None,
        Err(_) => return Some(CHECK.skip("only the node itself knows, and it does not answer")),
    };
    let wanted: Vec<&NodePeer> = links.peers.iter().filter(|peer| peer.wanted).collect();
    let troubled: Vec<_> = wanted.iter().filter(|peer| peer.state != LinkState::Up).collect();
    if wanted.is_empty() {
        return Some(CHECK.pass(format!("{} calls no service of another node", links.node)));
    }
    if troubled.is_empty() {
        return Some(CHECK.pass(format!("all {} nodes whose services are called answer", wanted.len())));
    }
    let lines: Vec<_> = troubled.iter().map(|peer| line(peer)).collect();
    let what = format!("{} of {} nodes do not answer\n{}", troubled.len(), wanted.len(), lines.join("\n"));
    Some(if troubled.len() == wanted.len() {
        CHECK.fail(what, "nobody answers, so look here first: does UDP leave this machine, to those ports?")
    } else {
        CHECK
            .warn(what, "others answer, so look there first: does the node run, does UDP to its port get in?")
    })
}

fn line(peer: &NodePeer) -> String {
    let address = peer.address.map_or("an unknown address".to_owned(), |address| address.to_string());
    let why = match (peer.state, peer.error.as_str()) {
        (LinkState::Suspect, _) => "is silent".to_owned(),
        (_, "") => "is being dialled".to_owned(),
        (_, error) => error.to_owned(),
    };
    format!("{} at {address}: {why}", peer.node)
}
