//! What a good file says, and what is said about a bad one.

use proptest::prelude::*;
use sinew_api::hosting::Probe;

use super::*;

/// Mistakes of `text` as `line:column: message (help)`.
fn mistakes(text: &str) -> Vec<String> {
    let errors = Config::parse("node.toml", text).expect_err("has mistakes");
    errors.to_string().lines().map(|line| line.replacen("node.toml:", "", 1)).collect()
}

/// The only mistake of `text`.
fn mistake(text: &str) -> String {
    let mut all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A `[node]` with `state`, then `rest` from line 3 on.
fn with(rest: &str) -> String {
    format!("[node]\nstate = \"/s\"\n{rest}")
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("valid")
}

#[test]
fn the_example_parses_and_shows_every_key() {
    let config = Config::parse("node.toml", Config::example()).expect("the example is right");

    assert_eq!(config.listens[0].source, Some(name("web")));
    assert_eq!(config.serves[0].labels["version"], "v1");
    let uncommented: String = Config::example()
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let full = Config::parse("node.toml", &uncommented).expect("and so are the keys in its comments");
    assert_eq!(full.shards, Some(2));
    assert!(full.zone.is_some() && full.access_log.is_some() && full.token_file.is_some());
    assert_eq!(full.advertise.len(), 1);
    for key in keys::NODE.iter().chain(keys::LISTEN).chain(keys::SERVE) {
        assert!(uncommented.contains(&format!("\n{} = ", key.name())), "{} is missing", key.name());
    }
}

#[test]
fn every_key_is_live_or_known_to_need_a_restart() {
    let one = Config::parse("node.toml", &with("")).expect("valid");
    let other = Config::parse(
        "node.toml",
        "[node]\nstate = \"/t\"\nzone = \"z\"\ndata = \"[::1]:0\"\nadvertise = [\"10.0.0.5\"]\nshards = 3\nadmin = \"\"\n\
         access_log = \"-\"\ntoken_file = \"/x\"\ncontrollers = [\"c:7401\"]\nexpiry_grace = \"1d\"\n\
         connect_timeout = \"1s\"\ndead_after = \"2s\"\n",
    )
    .expect("valid");

    let told = one.restart_keys(&other);

    for key in keys::NODE {
        assert_eq!(told.contains(&key.name()), !key.is_live(), "{}", key.name());
    }
    assert!(one.restart_keys(&one).is_empty());
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = Config::parse("node.toml", &with("")).expect("valid");

    assert_eq!(config.data.to_string(), "0.0.0.0:7410");
    assert_eq!(config.admin.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:7403"));
    assert_eq!((config.connect_timeout.as_secs(), config.dead_after.as_secs()), (10, 10));
    assert_eq!((config.shards, config.access_log, config.token_file), (None, None, None));
    assert_eq!(config.mechanisms, Mechanisms::default());
}

#[test]
fn everything_that_is_written_is_read() {
    let config = Config::parse(
        "node.toml",
        &with(
            "zone = \"eu-1\"\ndata = \"[::1]:0\"\nadvertise = [\"10.0.0.5\", \"fd00::1\"]\nshards = 0x3\nadmin = \"\"\n\
             access_log = \"-\"\nconnect_timeout = \"1m 30s\"\ndead_after = \"2500ms\"\n\
             [[listen]]\nservice = \"orders.shop\"\naddress = \"127.0.0.1:0\"\n\
             [[serve]]\nservice = \"web\"\naddress = \"[::1]:8080\"\n[serve.labels]\nversion = \"v1\"\n",
        ),
    )
    .expect("valid");

    assert_eq!(config.data.to_string(), "[::1]:0");
    assert_eq!((config.shards, config.admin, config.advertise.len()), (Some(3), None, 2));
    assert_eq!((config.connect_timeout.as_secs(), config.dead_after.as_millis()), (90, 2500));
    assert_eq!((&config.listens[0].service, &config.listens[0].source), (&name("orders.shop"), &None));
    assert_eq!(config.serves[0].labels["version"], "v1");
}

#[test]
fn the_health_of_a_service_is_checked_as_its_entry_says() {
    let serve = |rest: &str| {
        let text = with(&format!("[[serve]]\nservice = \"web\"\naddress = \"[::1]:80\"\n{rest}"));
        Config::parse("node.toml", &text).expect("valid").serves.remove(0)
    };

    assert_eq!((serve("").capacity, serve("").check), (100, HealthCheck::default()));
    assert_eq!(serve("capacity = 1_000_000").capacity, 1_000_000);
    assert!(serve("health = false").check.is_off());
    let check =
        serve("health = { interval = \"250ms\", timeout = \"2s\", rise = 2, probe = \"connect\" }").check;
    let expected =
        HealthCheck { interval_ms: 250, timeout_ms: 2000, rise: 2, fall: 2, probe: Probe::Connect };
    assert_eq!(check, expected);
}

#[test]
fn limits_are_what_is_written_or_the_default() {
    let entries = "[[listen]]\nservice = \"orders\"\naddress = \"127.0.0.1:0\"\nLISTEN\n\
                   [[serve]]\nservice = \"web\"\naddress = \"[::1]:80\"\nSERVE\n";
    let parse = |node: &str, listen: &str, serve: &str| {
        let entries = entries.replace("LISTEN", listen).replace("SERVE", serve);
        Config::parse("node.toml", &with(&format!("{node}\n{entries}"))).expect("valid")
    };

    let silent = parse("", "", "");
    assert_eq!((silent.max_connections, silent.listens[0].max_connections), (25_000, 10_000));
    assert_eq!(silent.serves[0].limits, ServeLimits { connections: 10_000, idle: None });

    let spoken = parse(
        "max_connections = 1",
        "max_connections = 2",
        "max_connections = 1_000_000\nidle_timeout = \"30 days\"",
    );
    assert_eq!((spoken.max_connections, spoken.listens[0].max_connections), (1, 2));
    let idle = Some(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(spoken.serves[0].limits, ServeLimits { connections: 1_000_000, idle });
    assert_eq!(parse("", "", "idle_timeout = \"0s\"").serves[0].limits.idle, None, "never");
    assert!(mistake(&with("max_connections = 0")).contains("0 is not from 1 to 1000000"));
}

#[test]
fn mistakes_in_health_are_told_each_at_its_place() {
    let text = with(
        "[[serve]]\nservice = \"web\"\naddress = \"[::1]:80\"\ncapacity = 0\n\
         health = { interval = \"1ms\", fal = 2, rise = 11, probe = \"http\" }\n",
    );

    let mistakes = mistakes(&text);

    let parts = [
        "6:12: `capacity`: 0 is not from 1 to 1000000",
        "7:23: `interval`: 1ms is not from 50ms to 1m",
        "did you mean `fall`?",
        "`rise`: 11 is not from 1 to 10",
        "`http` is no way to check a service",
    ];
    assert_eq!(mistakes.len(), parts.len(), "{mistakes:?}");
    for part in parts {
        assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part} is missing in {mistakes:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text =
        "[node]\nstat = \"/s\"\nshards = 70000\ndata = 7\n\n[[listen]]\nservice = \"Orders\"\n\n[[serv]]\n";

    let all = mistakes(text);

    assert_eq!(
        all,
        [
            "1:1: [node] has no `state` (write for example state = \"/var/lib/sinew/node\")",
            "2:1: `stat` is not a key of [node] (did you mean `state`?)",
            "3:10: `shards`: 70000 is not from 1 to 64 (write for example shards = 2)",
            "4:8: `data` of [node] must be a string, not a whole number \
             (write for example data = \"0.0.0.0:7410\", an IP address and a port)",
            "6:1: [[listen]] has no `address` \
             (write for example address = \"127.0.0.1:5001\", an IP address and a port)",
            "7:11: `service`: `Orders` is not a valid service name: write name or name.namespace, each 1 to 63 of \
             a-z, 0-9 and -, not beginning or ending with - \
             (write for example service = \"orders\", the service that is called here)",
            "9:3: `serv` is not a key of the file (did you mean `serve`?)",
        ]
    );
}

#[test]
fn a_key_that_is_like_no_other_is_answered_with_the_list() {
    let told = mistake(&with("[[listen]]\nservice = \"a\"\naddress = \"127.0.0.1:1\"\nprotocol = \"tcp\"\n"));

    assert_eq!(
        told,
        "6:1: `protocol` is not a key of [[listen]] (its keys are `service`, `as`, `address`, `max_connections`)"
    );
}

#[test]
fn a_mistake_in_the_syntax_is_told_at_its_place() {
    let all = mistakes("[node]\nstate = \"/s\"\nzone = eu\nshards == 2\n");

    assert!(all[0].starts_with("3:8: "), "{all:?}");
    assert!(all.iter().any(|m| m.starts_with("4:9: ")), "{all:?}");
    assert!(all.iter().all(|m| m.contains("must be TOML")), "only the syntax: {all:?}");
}

#[test]
fn a_key_given_twice_is_a_mistake_at_the_second() {
    assert!(mistake(&with("state = \"/t\"\n")).starts_with("3:1: duplicate key"));
}

#[test]
fn columns_count_characters() {
    let text =
        with("[[serve]]\nservice = \"a\"\naddress = \"[::1]:1\"\nlabels = { \"größe\" = \"v\", b = 1 }\n");

    let all = mistakes(&text);

    assert!(all[0].starts_with("6:12: `labels`: `größe` must be"), "{all:?}");
    assert!(
        all[1].starts_with("6:31: `labels` of [[serve]] must be a table of strings, not a whole"),
        "{all:?}"
    );
}

#[test]
fn an_empty_file_lacks_its_node() {
    assert_eq!(mistake(""), "1:1: the file has no `node` (write for example [node])");
    assert!(mistake("node = 3").contains("must be a table"));
}

#[test]
fn addresses_are_told_what_they_lack() {
    let listen = |address: &str| with(&format!("[[listen]]\nservice = \"a\"\naddress = \"{address}\"\n"));

    for (address, why) in [
        ("127.0.0.1", "has no port"),
        ("::1", "has no port"),
        ("127.0.0.1:99999", "`99999` is not a port"),
        ("localhost:80", "names are not resolved"),
        ("", "is not an IP address and a port"),
    ] {
        let told = mistake(&listen(address));
        assert!(told.starts_with("5:11: ") && told.contains(why), "{address}: {told}");
    }
    assert!(mistake(&with("advertise = [\"10.0.0.5:7410\"]\n")).contains("write only `10.0.0.5`"));
}

#[test]
fn durations_must_be_durations_and_in_range() {
    for (text, why) in [
        ("connect_timeout = \"10\"", "time unit needed"),
        ("connect_timeout = \"1ms\"", "1ms is not from 100ms to 5m"),
        ("dead_after = \"1m\"", "1m is not from 500ms to 25s"),
        ("dead_after = 10", "must be a string, not a whole number"),
    ] {
        let told = mistake(&with(text));
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn no_two_listeners_share_an_address() {
    let two = |one: &str, other: &str| {
        with(&format!(
            "[[listen]]\nservice = \"a\"\naddress = \"{one}\"\n[[listen]]\nservice = \"b\"\naddress = \"{other}\"\n"
        ))
    };

    for (one, other) in [
        ("127.0.0.1:5001", "127.0.0.1:5001"),
        ("0.0.0.0:5001", "127.0.0.1:5001"),
        ("127.0.0.1:5001", "[::]:5001"),
    ] {
        let told = mistake(&two(one, other));
        assert!(told.starts_with("8:11: ") && told.contains("above takes"), "{told}");
    }
    for (one, other) in [
        ("127.0.0.1:5001", "127.0.0.2:5001"),
        ("127.0.0.1:5001", "[::1]:5001"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert!(Config::parse("node.toml", &two(one, other)).is_ok(), "{one} {other}");
    }
}

#[test]
fn a_listener_may_not_take_the_admin_address_even_by_default() {
    let listen = "[[listen]]\nservice = \"a\"\naddress = \"127.0.0.1:7403\"\n";

    assert!(mistake(&with(listen)).contains("taken by `admin`"));
    assert!(Config::parse("node.toml", &with(&format!("admin = \"\"\n{listen}"))).is_ok());
}

#[test]
fn the_admin_address_must_be_on_loopback() {
    let told = mistake(&with("admin = \"0.0.0.0:7403\"\n"));

    assert!(told.starts_with("3:9: ") && told.contains("write 127.0.0.1:7403 or [::1]:7403"), "{told}");
}

#[test]
fn what_is_served_must_be_reachable_and_not_this_node_itself() {
    let serve = |address: &str| with(&format!("[[serve]]\nservice = \"a\"\naddress = \"{address}\"\n"));
    let circle =
        format!("{}[[listen]]\nservice = \"a\"\naddress = \"127.0.0.1:81\"\n", serve("127.0.0.1:81"));
    let twice = format!("{}[[serve]]\nservice = \"a\"\naddress = \"127.0.0.1:80\"\n", serve("127.0.0.1:80"));

    assert!(mistake(&serve("127.0.0.1:0")).contains("nothing can be reached"));
    assert!(mistake(&serve("0.0.0.0:80")).contains("nothing can be reached"));
    assert!(mistake(&circle).contains("in circles"));
    assert!(mistake(&twice).contains("already"));
}

#[test]
fn shards_must_fit_below_the_last_port() {
    assert!(mistake(&with("data = \"0.0.0.0:65535\"\nshards = 2\n")).contains("do not fit"));
    assert!(Config::parse("node.toml", &with("data = \"0.0.0.0:65535\"\nshards = 1\n")).is_ok());
}

#[test]
fn an_address_that_nobody_can_dial_or_twice_is_not_advertised() {
    assert!(mistake(&with("advertise = [\"0.0.0.0\"]")).contains("nobody can dial"));
    assert!(mistake(&with("advertise = [\"10.0.0.1\", \"10.0.0.1\"]")).starts_with("3:26: "));
}

#[test]
fn tables_where_lists_of_tables_belong_are_told_apart() {
    let told = mistake(&with("[listen]\nservice = \"a\"\n"));

    assert!(told.contains("must be a list of tables, not a table") && told.contains("[[listen]]"), "{told}");
    assert!(mistake(&format!("serve = [1]\n{}", with(""))).contains("not a whole number"));
}

#[test]
fn very_many_mistakes_are_cut_short_and_counted() {
    let text: String = (0..80).map(|i| format!("key{i:04} = 1\n")).collect();

    let all = mistakes(&with(&text));

    assert_eq!(all.len(), 51);
    assert_eq!(all[50].trim(), "and 30 more");
}

#[test]
fn a_file_that_is_too_deep_or_too_long_is_refused() {
    for bracket in ["[", "{a="] {
        let deep = with(&format!("zone = {}", bracket.repeat(200_000)));
        assert!(mistakes(&deep)[0].contains("must be TOML"));
    }
    let long = with(&"#".repeat(1024 * 1024));
    assert!(mistake(&long).contains("at most 1048576 are read"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_place_lies_in_the_text(text in "(?s).{0,300}") {
        if let Err(errors) = Config::parse("node.toml", &text) {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(errors.mistakes().len() > 0);
            prop_assert!(errors.mistakes().all(|m| (1..=lines).contains(&m.line) && m.column >= 1));
        }
    }

    #[test]
    fn a_damaged_example_is_told_where_or_still_parses(at in 0usize..1000, put in "[\\[\\]\"=\\n a-z0-9{}.,]{0,3}") {
        let example = Config::example();
        let at = at * example.len() / 1000;
        let damaged = format!("{}{put}{}", &example[..at], &example[at + 1..]);

        if let Err(errors) = Config::parse("node.toml", &damaged) {
            prop_assert!(errors.to_string().starts_with("node.toml:"));
        }
    }
}
