//! What follows from which facts: for each check the fact that turns it, and what a person is told.

use std::time::Duration;

use serde_json::json;
use sinew_transport::validity::Validity;

use super::*;
use crate::check::facts::{Agent, Bind, Certificate, Held, State, System};
use crate::check::finding::Outcome::{self, Fail, Pass, Skip, Warn};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

/// A machine on which everything is as it should be: node n1, and a controller elsewhere.
fn facts() -> Facts {
    let links = json!({
        "apiVersion": "sinew/v1", "node": "n1", "version": "1.0.0", "revision": 7, "draining": false, "session": true,
        "peers": [peer("n2", "up", ""), peer("n3", "up", "")],
    });
    let entry = |name: &str| Entry { name: name.into(), mode: 0o600, owner: "sinew".into() };
    let found = Found::There {
        own: Entry { mode: 0o700, ..entry("/state") },
        secrets: vec![entry("/state/identity.pem"), entry("/state/admin.token")],
        runs_as: Some("sinew".into()),
    };
    Facts {
        pre: false,
        now: NOW,
        version: "1.0.0",
        system: System {
            udp_max: Some((8 << 20, 4 << 20)),
            files: Some((1 << 20, "sinew (pid 7)".into())),
            unprivileged_from: 1024,
            may_bind: false,
            synchronised: Some(true),
        },
        programs: vec![Program {
            kind: Kind::Node,
            file: "/etc/sinew/node.toml".into(),
            config: Ok("1 [[listen]], 0 [[serve]]".into()),
            state: Some(State { path: "/state".into(), found }),
            sockets: vec![bind("0.0.0.0:7410", Held::Own), bind("127.0.0.1:5001", Held::Free)],
            certificates: vec![certificate(Some(NOW + DAY))],
            pid: Some(7),
            token_file: None,
        }],
        agent: Some(Agent {
            links: Ok(serde_json::from_value(links).expect("links")),
            controllers: Vec::new(),
        }),
        status: Err("no controller runs on this machine".into()),
    }
}

fn peer(name: &str, state: &str, error: &str) -> serde_json::Value {
    json!({
        "node": name, "state": state, "wanted": true, "version": null, "address": "10.0.0.2:7410",
        "roundTripUs": null, "error": error,
    })
}

fn bind(address: &str, held: Held) -> Bind {
    Bind { what: "a socket".into(), protocol: "TCP", address: address.parse().expect("an address"), held }
}

/// One that lasts a day, ending then; none when there is none.
fn certificate(until: Option<u64>) -> Certificate {
    Certificate {
        what: "the node's certificate",
        file: "/state/identity.pem".into(),
        found: Ok(until.map(|until| Validity { from: until - DAY, until })),
        grace: Some(Duration::from_secs(7 * DAY)),
        token: None,
    }
}

/// What a check says when `change` is made to a machine in order.
fn said(check: Check, change: impl FnOnce(&mut Facts)) -> (Outcome, String) {
    let mut facts = facts();
    change(&mut facts);
    let findings = judge(&facts);
    let of_check = findings.iter().filter(|finding| finding.check == check.id());
    let worst = of_check.max_by_key(|finding| match finding.outcome {
        Skip => 0,
        Pass => 1,
        Warn => 2,
        Fail => 3,
    });
    let worst = worst.unwrap_or_else(|| panic!("{} says nothing", check.id()));
    (worst.outcome, format!("{} -> {}", worst.what, worst.remedy))
}

fn node(facts: &mut Facts) -> &mut Program {
    &mut facts.programs[0]
}

#[test]
fn a_machine_in_order_passes_and_only_the_skew_is_for_its_controller_to_tell() {
    let findings = judge(&facts());

    let others: Vec<_> = findings.iter().filter(|finding| finding.outcome != Pass).collect();
    assert!(matches!(others[..], [one] if one.check == "clock-skew" && one.outcome == Skip), "{others:#?}");
}

#[test]
fn what_fails_or_warns_always_says_what_to_do() {
    let mut broken = facts();
    broken.system = System { udp_max: Some((1, 1)), files: Some((9, "it".into())), ..System::default() };
    node(&mut broken).sockets = vec![bind("127.0.0.1:80", Held::Taken(None))];
    node(&mut broken).certificates = vec![certificate(None)];
    broken.agent = Some(Agent { links: Err("gone".into()), controllers: Vec::new() });

    let findings = judge(&broken);

    let troubled: Vec<_> = findings.iter().filter(|f| matches!(f.outcome, Warn | Fail)).collect();
    assert!(troubled.len() >= 6, "{findings:#?}");
    for finding in troubled {
        assert!(!finding.remedy.is_empty(), "{finding:?}");
    }
}

#[test]
fn a_configuration_with_mistakes_fails_with_all_of_them() {
    let (outcome, text) =
        said(Check::ConfigNode, |facts| node(facts).config = Err("node.toml:1:1: no".into()));

    assert_eq!(outcome, Fail);
    assert!(text.contains("node.toml:1:1: no") && text.contains("sinew config validate"), "{text}");
    let (outcome, text) = said(Check::ConfigNode, |facts| facts.programs.clear());
    assert!(outcome == Fail && text.contains("--config"), "{text}");
}

#[test]
fn secrets_are_for_their_owner_alone_and_he_is_who_runs_the_program() {
    let change = |mode: u32, owner: &'static str| {
        move |facts: &mut Facts| {
            let Some(State { found: Found::There { secrets, .. }, .. }) = &mut node(facts).state else {
                panic!("it is there");
            };
            secrets[0] = Entry { mode, owner: owner.into(), ..secrets[0].clone() };
        }
    };

    let (outcome, text) = said(Check::StateRights, change(0o640, "sinew"));
    assert!(outcome == Fail && text.contains("identity.pem (mode 0640)"), "{text}");
    let (outcome, text) = said(Check::StateRights, change(0o600, "root"));
    assert!(outcome == Fail && text.contains("belongs to root") && text.contains("chown -R sinew"), "{text}");
    assert_eq!(said(Check::StateRights, change(0o400, "sinew")).0, Pass);
}

#[test]
fn a_state_directory_may_be_missing_before_the_first_start_only() {
    let missing = |pre: bool| {
        move |facts: &mut Facts| {
            facts.pre = pre;
            node(facts).state = Some(State { path: "/state".into(), found: Found::Missing });
        }
    };

    assert_eq!(said(Check::StateRights, missing(true)).0, Pass);
    assert_eq!(said(Check::StateRights, missing(false)).0, Fail);
}

#[test]
fn a_certificate_warns_in_its_last_quarter_and_fails_at_its_end() {
    let until = |until: u64| {
        said(Check::CertificateDates, |facts| node(facts).certificates = vec![certificate(Some(until))])
    };

    // Issued five minutes after it begins: a quarter of its life is 6 hours less 75 s.
    assert_eq!(until(NOW + 21_525).0, Pass);
    assert_eq!(until(NOW + 21_524).0, Warn);
    assert_eq!(until(NOW).0, Fail);
    assert!(until(NOW - DAY).1.contains("gets another when it reaches a controller"));
    assert!(until(NOW - 8 * DAY).1.contains("join with a new token"));
    let (outcome, text) = until(NOW + 2 * DAY);
    assert!(outcome == Fail && text.contains("clock"), "{text}");
}

#[test]
fn a_node_that_has_not_joined_needs_a_token() {
    let token = |token: Option<Result<_, String>>| {
        said(Check::CertificateDates, |facts| {
            node(facts).certificates = vec![Certificate { token, ..certificate(None) }];
        })
    };

    assert_eq!(token(Some(Ok("/run/token".into()))).0, Pass);
    let (outcome, text) = token(Some(Err("/run/token: No such file".into())));
    assert!(
        outcome == Fail && text.contains("/run/token: No such file") && text.contains("token create"),
        "{text}"
    );
    assert_eq!(token(None).0, Fail);
}

#[test]
fn a_port_that_somebody_else_has_fails_with_his_name() {
    let held =
        |held| said(Check::PortsFree, |facts| node(facts).sockets = vec![bind("127.0.0.1:5001", held)]);

    let (outcome, text) = held(Held::Taken(Some("nginx (pid 9)".into())));
    assert!(outcome == Fail && text.contains("127.0.0.1:5001 is taken by nginx (pid 9)"), "{text}");
    assert!(held(Held::Taken(None)).1.contains("ss -lnpt sport = :5001"));
    assert_eq!(held(Held::NoSuchAddress).0, Fail);
    assert_eq!(held(Held::Own).0, Pass);
}

#[test]
fn a_low_port_needs_a_right_unless_it_is_held_already() {
    let low = |held, may_bind| {
        said(Check::PortsPrivileged, |facts| {
            facts.system.may_bind = may_bind;
            node(facts).sockets = vec![bind("127.0.0.1:1023", held)];
        })
    };

    let (outcome, text) = low(Held::Privileged, false);
    assert!(outcome == Warn && text.contains("CAP_NET_BIND_SERVICE"), "{text}");
    assert_eq!(low(Held::Free, true).0, Pass);
    assert_eq!(low(Held::Own, false).0, Pass);
}

#[test]
fn small_buffers_few_files_and_a_free_running_clock_are_told() {
    let (outcome, text) = said(Check::UdpBuffers, |facts| facts.system.udp_max = Some((212_992, 9 << 20)));
    assert_eq!(outcome, Warn);
    assert!(
        text.contains("net.core.rmem_max=8388608") && text.contains("net.core.wmem_max=9437184"),
        "{text}"
    );
    assert_eq!(said(Check::UdpBuffers, |facts| facts.system.udp_max = None).0, Skip);

    let files = |limit| said(Check::FilesLimit, |facts| facts.system.files = Some((limit, "it".into()))).0;
    assert_eq!((files(65_536), files(65_535), files(255)), (Pass, Warn, Fail));
    assert_eq!(said(Check::ClockSynchronised, |facts| facts.system.synchronised = Some(false)).0, Warn);
    assert_eq!(said(Check::ClockSynchronised, |facts| facts.system.synchronised = None).0, Skip);
}

#[test]
fn the_skew_is_judged_by_what_certificates_bear() {
    let skew = |ms: i64| {
        said(Check::ClockSkew, |facts| {
            facts.status = Ok(serde_json::from_value(json!({
                "apiVersion": "sinew/v1", "trustDomain": "mesh.local", "controller": "c1", "version": "1.0.0",
                "revision": 7, "services": [],
                "nodes": [status("n1", ms), status("n2", 900_000)],
            }))
            .expect("a status"));
        })
    };

    assert_eq!(skew(29_999).0, Pass);
    assert_eq!(skew(-30_000).0, Warn);
    let (outcome, text) = skew(300_000);
    assert!(outcome == Fail && text.contains("n1 is 300000 ms ahead"), "not that of n2: {text}");
}

fn status(name: &str, skew_ms: i64) -> serde_json::Value {
    json!({
        "name": name, "zone": null, "connected": true, "version": "1.0.0", "addresses": [], "granted": [],
        "certificateExpiry": NOW + DAY, "clockSkewMs": skew_ms, "acknowledged": 7, "rejected": null, "links": [],
    })
}

/// What the node says of itself, changed.
fn links(check: Check, change: impl FnOnce(&mut sinew_api::admin::NodeLinks)) -> (Outcome, String) {
    said(check, |facts| {
        change(facts.agent.as_mut().expect("a node").links.as_mut().expect("it answers"));
    })
}

#[test]
fn a_node_that_runs_has_a_snapshot_and_does_not_drain() {
    let silent = |pre: bool| {
        said(Check::NodeRunning, |facts| {
            facts.pre = pre;
            facts.agent = Some(Agent { links: Err("no node answers".into()), controllers: Vec::new() });
        })
    };

    assert_eq!((silent(false).0, silent(true).0), (Fail, Skip));
    assert_eq!(links(Check::NodeRunning, |links| links.revision = None).0, Fail);
    assert_eq!(links(Check::NodeRunning, |links| links.draining = true).0, Warn);
}

#[test]
fn without_a_session_a_handshake_tells_where_the_fault_is() {
    let shaken = |controllers: Vec<(String, Result<Duration, String>)>, runs: bool| {
        said(Check::ControllerReachable, |facts| {
            let agent = facts.agent.as_mut().expect("a node");
            agent.controllers = controllers;
            match &mut agent.links {
                Ok(links) if runs => links.session = false,
                links => *links = Err("it does not run".into()),
            }
        })
    };
    let (good, bad) = (
        ("c1:7401".to_owned(), Ok(Duration::from_millis(3))),
        ("c2:7401".to_owned(), Err("no answer".to_owned())),
    );

    let (outcome, text) = shaken(vec![bad.clone()], true);
    assert!(outcome == Fail && text.contains("c2:7401: no answer") && text.contains("firewall"), "{text}");
    let (outcome, text) = shaken(vec![bad.clone(), good.clone()], true);
    assert!(outcome == Warn && text.contains("c1:7401 shakes hands, and n1 has no session"), "{text}");
    assert_eq!(shaken(vec![bad, good], false).0, Pass);
    assert_eq!(shaken(Vec::new(), true).0, Fail);
}

#[test]
fn another_version_is_told_with_who_has_it() {
    let (outcome, text) = links(Check::VersionsAgree, |links| links.version = "0.9.0".into());

    assert!(outcome == Warn && text.contains("node n1 0.9.0"), "{text}");
}

#[test]
fn one_silent_peer_is_a_warning_and_all_of_them_are_a_failure_of_this_machine() {
    let silent = |peers: &[(&str, &str)]| {
        links(Check::PeersReachable, |links| {
            let told = peers.iter().map(|(name, state)| peer(name, state, "no answer in 2s"));
            links.peers = serde_json::from_value(told.collect()).expect("peers");
        })
    };

    let (outcome, text) = silent(&[("n2", "up"), ("n3", "down")]);
    assert!(outcome == Warn && text.contains("n3 at 10.0.0.2:7410: no answer in 2s"), "{text}");
    let (outcome, text) = silent(&[("n2", "suspect"), ("n3", "down")]);
    assert!(outcome == Fail && text.contains("n2 at 10.0.0.2:7410: is silent"), "{text}");
    assert_eq!(silent(&[]).0, Pass);
}
