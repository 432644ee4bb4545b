//! Keys read back as written; JSON is checked at the edge.

use super::*;

fn key(text: &str) -> ResourceKey {
    text.parse().expect(text)
}

#[test]
fn a_refused_key_is_shown_on_one_line() {
    let error = "node/a\nb\u{7}".parse::<ResourceKey>().expect_err("no key");

    assert!(error.to_string().starts_with("`node/a\\nb\\u{7}` names no resource"), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
}

#[test]
fn keys_read_back_as_written() {
    for text in [
        "mesh",
        "service/orders",
        "service/orders.shop",
        "node/n1",
        "endpoint/n1/orders/127.0.0.1:8080",
        "endpoint/n1/orders.shop/[::1]:8080",
        "listener/n1/127.0.0.1:5001",
    ] {
        assert_eq!(key(text).to_string(), text);
        assert!(text.starts_with(key(text).kind()));
    }
}

#[test]
fn a_text_that_names_no_resource_is_refused_with_the_ways_to_write_one() {
    for (text, why) in [
        ("", "begins with no kind"),
        ("pod/x", "begins with no kind"),
        ("service", "a service is named in another way"),
        ("node/N1", "not a valid node name"),
        ("endpoint/n1/orders", "an"),
        ("listener/n1/5001", "not an IP address and a port"),
    ] {
        let error = text.parse::<ResourceKey>().expect_err(text).to_string();
        assert!(error.contains(why) && error.contains("listener/n1/127.0.0.1:5001"), "{error}");
    }
}

#[test]
fn json_with_an_unknown_key_or_a_resource_twice_is_refused() {
    let unknown = r#"[{"kind":"node","name":"n1","zon":"a"}]"#;
    let twice = r#"[{"kind":"node","name":"n1"},{"kind":"node","name":"n1","zone":"a"}]"#;
    let fine =
        r#"[{"kind":"service","name":"orders","protocol":"tcp"},{"kind":"node","name":"n1","zone":"a"}]"#;

    let error = |text| serde_json::from_str::<Resources>(text).expect_err("refused").to_string();

    assert!(error(unknown).contains("`zon`"), "{}", error(unknown));
    assert!(error(twice).contains("`node/n1` is declared twice"), "{}", error(twice));
    let set: Resources = serde_json::from_str(fine).expect("fine");
    assert_eq!(serde_json::to_string(&set).expect("plain data"), fine);
}

#[test]
fn what_stands_on_one_node_is_found_without_the_others() {
    let listener = |node: &str, address: &str| {
        Resource::Listener(Listener {
            node: NodeName::new(node).expect("valid"),
            address: address.parse().expect("valid"),
            service: ServiceName::new("orders").expect("valid"),
            source: None,
        })
    };
    let endpoint = |node: &str, address: &str, service: &str| {
        Resource::Endpoint(Endpoint {
            node: NodeName::new(node).expect("valid"),
            service: ServiceName::new(service).expect("valid"),
            address: address.parse().expect("valid"),
            labels: Labels::new(),
            capacity: None,
            health: HealthSettings::default(),
        })
    };
    let set: Resources = [
        listener("a", "127.0.0.1:1"),
        listener("b", "[::1]:1"),
        listener("b", "127.0.0.1:2"),
        listener("c", "127.0.0.1:1"),
        endpoint("a", "127.0.0.1:9", "x"),
        endpoint("b", "127.0.0.1:9", "y"),
        endpoint("b", "127.0.0.1:9", "0"),
        endpoint("c", "127.0.0.1:9", "x"),
    ]
    .into_iter()
    .collect();
    let b = NodeName::new("b").expect("valid");

    assert_eq!(set.listeners_on(&b).count(), 2);
    assert_eq!(set.endpoints_on(&b).map(|e| e.service.as_str()).collect::<Vec<_>>(), ["0", "y"]);
    assert_eq!(set.endpoints_on(&NodeName::new("d").expect("valid")).count(), 0);
}

#[test]
fn a_change_reads_as_one_line_for_each_resource() {
    let change = Change {
        created: vec![key("service/orders")],
        updated: vec![Update {
            key: key("node/n1"),
            fields: vec![
                FieldChange { field: "zone".into(), before: Some("a".into()), after: Some("b".into()) },
                FieldChange { field: "labels.rack".into(), before: Some("1".into()), after: None },
            ],
        }],
        deleted: vec![key("listener/n1/127.0.0.1:5001")],
        unchanged: 3,
    };

    assert_eq!(
        change.to_string(),
        "+ service/orders\n~ node/n1 zone: \"a\" → \"b\", labels.rack: \"1\" → (none)\n- listener/n1/127.0.0.1:5001\n"
    );
}
