//! What a configuration says, and that every mistake is named at its place.

use super::*;

fn mistakes(text: &str) -> String {
    Config::parse("controller.toml", text).expect_err("must be refused").to_string()
}

#[test]
fn a_state_directory_is_enough() {
    let config = Config::parse("controller.toml", "[controller]\nstate = \"/s\"\n").expect("fine");

    assert_eq!(config.state, PathBuf::from("/s"));
    assert_eq!((config.trust_domain.as_str(), config.name.as_str()), ("mesh.local", "c1"));
    assert_eq!(config.listen.to_string(), "0.0.0.0:7401");
    assert_eq!(config.api.to_string(), "127.0.0.1:7402");
    assert_eq!(config.default_policy, DefaultPolicy::Allow);
    assert_eq!(config.certificate_ttl, Duration::from_secs(24 * 3600));
    assert!(config.advertise.is_empty());
}

#[test]
fn the_example_parses_and_shows_every_key() {
    let uncommented = Config::example().lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.contains(" = ") => rest,
        _ => line,
    });
    let uncommented = uncommented.collect::<Vec<_>>().join("\n");

    let config = Config::parse("controller.toml", Config::example()).expect("the example is right");
    let full = Config::parse("controller.toml", &uncommented).expect("and so are the keys in its comments");

    // What stands in the comments as a default is the default.
    assert_eq!(Config { advertise: Vec::new(), ..full }, config);
    for key in keys::CONTROLLER {
        assert!(uncommented.contains(&format!("\n{} = ", key.name())), "{} is missing", key.name());
    }
}

#[test]
fn every_key_is_live_or_known_to_need_a_restart() {
    let one = Config::parse("controller.toml", "[controller]\nstate = \"/s\"\n").expect("fine");
    let other = "[controller]\nstate = \"/t\"\ntrust_domain = \"a.b\"\nname = \"c2\"\nlisten = \"[::]:0\"\napi = \"[::1]:0\"\n\
                 advertise = [\"10.0.0.1:1\"]\ndefault_policy = \"deny\"\ncertificate_ttl = \"10s\"\nexpiry_grace = \"1d\"\n";
    let other = Config::parse("controller.toml", other).expect("fine");

    let told = one.restart_keys(&other);

    for key in keys::CONTROLLER {
        assert_eq!(told.contains(&key.name()), !key.is_live(), "{}", key.name());
    }
    assert!(one.restart_keys(&one).is_empty());
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [controller]
        state = "/s"
        trust_domain = "prod.example.com"
        name = "c7"
        listen = "[::]:0"
        advertise = ["10.0.0.1:7401", "[2001:db8::1]:7401"]
        api = "[::1]:0"
        default_policy = "deny"
        certificate_ttl = "10s"
    "#;

    let config = Config::parse("controller.toml", text).expect("fine");

    assert_eq!((config.trust_domain.as_str(), config.name.as_str()), ("prod.example.com", "c7"));
    assert_eq!((config.listen.to_string(), config.api.to_string()), ("[::]:0".into(), "[::1]:0".into()));
    assert_eq!(config.advertise.len(), 2);
    assert_eq!(config.default_policy, DefaultPolicy::Deny);
    assert_eq!(config.certificate_ttl, CERTIFICATE_TTL_MIN);
}

#[test]
fn all_mistakes_are_named_at_once_with_line_and_column() {
    let text = "[controller]\n\
                trustdomain = \"mesh.local\"\n\
                name = 7\n\
                listen = \"localhost:7401\"\n\
                advertise = [\"0.0.0.0:7401\"]\n\
                api = \"10.0.0.1:7402\"\n\
                default_policy = \"maybe\"\n\
                certificate_ttl = \"1s\"\n\
                [node]\n";

    let shown = mistakes(text);

    let expected = [
        "controller.toml:1:1: [controller] has no `state` (write for example state =",
        "controller.toml:2:1: `trustdomain` is not a key of [controller] (did you mean `trust_domain`?)",
        "controller.toml:3:8: `name` of [controller] must be a string, not a whole number (",
        "controller.toml:4:10: `listen`: `localhost:7401` is not an IP address and a port; names are not resolved (",
        "controller.toml:5:14: `advertise`: nobody can dial 0.0.0.0:7401 (",
        "controller.toml:6:7: `api`: 10.0.0.1:7402 is not on loopback",
        "controller.toml:7:18: `default_policy`: `maybe` is neither `allow` nor `deny` (",
        "controller.toml:8:19: `certificate_ttl`: 1s is not from 10s to 30days (",
        "controller.toml:9:2: `node` is not a key of the file (its keys are `controller`)",
    ];
    for (line, expected) in shown.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line:?} should begin with {expected:?}");
    }
    assert_eq!(shown.lines().count(), expected.len(), "{shown}");
}

#[test]
fn a_mistake_in_the_syntax_is_shown_alone() {
    let shown = mistakes("[controller]\nstate = /s\nbogus = 1\n");

    assert!(shown.contains("controller.toml:2:"), "{shown}");
    assert!(!shown.contains("bogus"), "{shown}");
}

#[test]
fn a_report_shows_the_line_itself() {
    let errors = Config::parse("controller.toml", "[controller]\nstate = \"/s\"\nname = \"C 1\"\n");

    let report = format!("{:?}", errors.expect_err("a bad name").into_report());

    for part in
        ["controller.toml has a mistake", "name = \"C 1\"", "controller.toml:3:8", "write for example"]
    {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
}

#[test]
fn the_command_line_has_the_last_word() {
    let overrides = Overrides {
        state: Some("/other".into()),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        api: Some("127.0.0.1:0".parse().expect("valid")),
        trust_domain: Some(TrustDomain::new("other.mesh").expect("valid")),
        new_store: true,
    };

    let config =
        Config::parse_with("controller.toml", "[controller]\nname = \"c2\"\n", overrides).expect("fine");

    assert_eq!(config.state, PathBuf::from("/other"));
    assert_eq!((config.listen.port(), config.api.port()), (0, 0));
    assert_eq!((config.trust_domain.as_str(), config.name.as_str()), ("other.mesh", "c2"));
    assert!(config.new_store);
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    use std::fmt::Write as _;
    let text = (0..200).fold("[controller]\n".to_owned(), |mut text, n| {
        writeln!(text, "key{n} = 1").expect("memory");
        text
    });

    assert!(mistakes(&text).ends_with("controller.toml: and 151 more"));
}
