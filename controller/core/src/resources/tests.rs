//! What a good file declares, what is said about a bad one, and what a change concerns.

use sinew_api::resource::{HEALTH, Resource, ResourceKey};

use super::*;
use crate::Declared;

const SHOP: &str = r#"
[mesh]
default_policy = "deny"

[[service]]
name = "orders"
protocol = "tcp"
port = 8080
health = { interval = "2s", fall = 3 }

[[service]]
name = "web"
namespace = "shop"

[[node]]
name = "n1"
zone = "eu-1"
labels = { rack = "r7", version = "v0" }
grants = ["orders", "web.shop"]

[[endpoint]]
node = "n1"
service = "orders"

[[endpoint]]
node = "n1"
service = "orders"
address = "127.0.0.1:8081"
labels = { version = "v2" }
capacity = 50
health = { fall = 1 }

[[listener]]
node = "n1"
service = "orders"
as = "web.shop"
address = "127.0.0.1:5001"
"#;

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn keys<'a>(keys: impl IntoIterator<Item = &'a ResourceKey>) -> Vec<String> {
    keys.into_iter().map(ToString::to_string).collect()
}

/// Reads one file.
fn read_one(text: &str, known: Known<'_>, unnamed: Unnamed) -> Result<Resources, InvalidDocument> {
    read(&[File { name: "mesh.toml", text }], known, unnamed).map_err(|mut errors| errors.remove(0))
}

/// Applies a text to what is stored; nobody joined.
fn apply(stored: &Resources, text: &str, unnamed: Unnamed) -> Result<Resources, InvalidDocument> {
    read_one(text, Known { stored, tokens: &TokenGrants::new() }, unnamed)
}

fn shop() -> Resources {
    apply(&Resources::default(), SHOP, Unnamed::Kept).expect("a good file")
}

/// The mistakes of a text on top of the shop, as `line:column: message (help)`.
fn mistakes(text: &str) -> Vec<String> {
    let error = apply(&shop(), text, Unnamed::Kept).expect_err("has mistakes");
    error.to_string().lines().map(|line| line.replacen("mesh.toml:", "", 1)).collect()
}

#[test]
fn a_file_declares_what_it_says() {
    let shop = shop();

    assert_eq!(
        keys(shop.iter().map(|(key, _)| key)),
        [
            "mesh",
            "service/orders",
            "service/web.shop",
            "node/n1",
            "endpoint/n1/orders/127.0.0.1:8080",
            "endpoint/n1/orders/127.0.0.1:8081",
            "listener/n1/127.0.0.1:5001",
        ]
    );
}

#[test]
fn a_node_is_told_defaults_and_labels_already_put_together() {
    let all = Declared::new(&shop());
    let declared = all.node(&node("n1"));

    assert_eq!(declared.zone.as_ref().map(|zone| zone.as_str()), Some("eu-1"));
    assert_eq!(declared.grants, Some([service("orders"), service("web.shop")].into()));
    let [plain, special] = &declared.assigned[..] else { panic!("{declared:?}") };
    assert_eq!((plain.address.to_string().as_str(), plain.capacity), ("127.0.0.1:8080", 100));
    assert_eq!(
        (plain.labels["version"].as_str(), plain.health.interval_ms, plain.health.fall),
        ("v0", 2000, 3)
    );
    assert_eq!((special.labels["version"].as_str(), special.labels["rack"].as_str()), ("v2", "r7"));
    assert_eq!((special.capacity, special.health.interval_ms, special.health.fall), (50, 2000, 1));
    assert_eq!(declared.listeners[0].source, Some(service("web.shop")));
}

#[test]
fn the_example_reads_and_shows_every_key() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();

    apply(&Resources::default(), EXAMPLE, Unnamed::Kept).expect("the example is right");
    apply(&Resources::default(), &uncommented, Unnamed::Kept).expect("and so are the keys in its comments");
    for keys in [KEYS, keys::MESH, keys::SERVICE, keys::NODE, keys::ENDPOINT, keys::LISTENER, HEALTH] {
        for key in keys {
            assert!(uncommented.contains(key.name()), "{} is missing in the example", key.name());
            assert!(!key.purpose().is_empty(), "what is {} for?", key.name());
        }
    }
}

#[test]
fn applying_a_file_twice_changes_nothing() {
    let once = shop();

    let twice = apply(&once, SHOP, Unnamed::Kept).expect("still good");

    assert!(change(&once, &twice).is_empty());
    assert_eq!(change(&once, &twice).unchanged, once.len());
}

#[test]
fn what_a_file_does_not_name_stays_unless_it_is_pruned() {
    let more = "[[service]]\nname = \"cart\"\n";

    let merged = apply(&shop(), more, Unnamed::Kept).expect("good");
    let pruned = apply(&shop(), more, Unnamed::Deleted).expect("good");

    assert_eq!(keys(&change(&shop(), &merged).created), ["service/cart"]);
    assert!(change(&shop(), &merged).deleted.is_empty());
    assert_eq!(keys(pruned.iter().map(|(key, _)| key)), ["service/cart"]);
}

#[test]
fn a_change_names_each_field_with_both_values() {
    let text = "[[node]]\nname = \"n1\"\nzone = \"eu-2\"\nlabels.\"a.b\" = \"c\"\ngrants = [\"orders\", \"web.shop\"]\n";

    let after = apply(&shop(), text, Unnamed::Kept).expect("good");

    assert_eq!(
        change(&shop(), &after).to_string(),
        "~ node/n1 zone: \"eu-1\" → \"eu-2\", labels.\"a.b\": (none) → \"c\", labels.rack: \"r7\" → (none), \
         labels.version: \"v0\" → (none)\n"
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_place_and_remedy() {
    let text = r#"[[service]]
name = "cart"
protocol = "http"
port = 70000

[[servic]]

[[node]]
name = "n2"
grants = ["cart", "ordrs"]

[[endpoint]]
node = "n9"
service = "orders"

[[endpoint]]
node = "n2"
service = "web.shop"
address = "0.0.0.0:80"
capacity = 0
health = { interval = "1ms", rise = 0 }

[[listener]]
node = "n1"
service = "orders"
address = "127.0.0.1:5001"
as = "cart"

[[listener]]
node = "n1"
service = "orders"
address = "0.0.0.0:5001"
"#;

    let all = mistakes(text);

    let expected = [
        "3:12: `protocol`: `http` is not supported yet, only `tcp` is (",
        "4:8: `port`: 70000 is not from 0 to 65535 (",
        "6:3: `servic` is not a key of the file (did you mean `service`?)",
        "10:19: `grants`: service `ordrs` is not declared (did you mean `orders`?)",
        "13:8: `node`: node `n9` is not declared, and none of that name joined (did you mean `n1`?)",
        "18:11: `service`: `n2` is not granted `web.shop` (granted: cart, ordrs) (add \"web.shop\" to `grants` of [[node]] n2",
        "19:11: `address`: nothing can be reached at 0.0.0.0:80 (",
        "20:12: `capacity`: 0 is not from 1 to 1000000 (",
        "21:23: `interval`: 1ms is not from 50ms to 1m (",
        "21:37: `rise`: 0 is not from 1 to 10 (",
        "26:11: `address`: `listener/n1/0.0.0.0:5001` takes 127.0.0.1:5001 already (",
        "27:6: `as`: `n1` is not granted `cart` (granted: orders, web.shop) (",
        "29:1: `as` may be left out only when the node has one grant, and `n1` has orders, web.shop (",
    ];
    for (line, expected) in all.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line:?} should begin with {expected:?}");
    }
    assert_eq!(all.len(), expected.len(), "{all:#?}");
}

#[test]
fn what_could_not_be_read_makes_no_mistakes_elsewhere() {
    let text =
        "[[node]]\nname = \"n2\"\ngrnts = [\"orders\"]\n[[endpoint]]\nnode = \"n2\"\nservice = \"orders\"\n";

    let all = mistakes(text);

    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("did you mean `grants`?"), "{all:?}");
}

#[test]
fn a_thing_declared_twice_is_a_mistake_at_the_second() {
    let all = mistakes("[[node]]\nname = \"n2\"\n[[node]]\nname = \"n2\"\nzone = \"a\"\n");

    assert_eq!(
        all,
        [
            "3:1: `node/n2` is declared already, above or in another file (remove one of them, or name it differently)"
        ]
    );
}

#[test]
fn taking_away_what_others_stand_on_is_told_at_its_cause() {
    let all = mistakes("[[node]]\nname = \"n1\"\ngrants = [\"web.shop\"]\n");

    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all.iter().all(|line| line.starts_with("3:10: ") && line.contains("not granted `orders`")),
        "{all:?}"
    );
}

#[test]
fn what_was_wrong_before_is_not_held_against_a_file() {
    let mut stored = shop();
    stored.remove(&ResourceKey::Service(service("web.shop")));

    let after = apply(&stored, "[[service]]\nname = \"cart\"\n", Unnamed::Kept).expect("its own are right");

    assert!(!check(&after, &TokenGrants::new()).is_empty());
}

#[test]
fn a_node_that_joined_needs_no_declaration() {
    let tokens = TokenGrants::from([(node("n7"), [service("billing")].into())]);
    let text = "[[listener]]\nnode = \"n7\"\nservice = \"billing\"\naddress = \"127.0.0.1:5001\"\n\
                [[endpoint]]\nnode = \"n7\"\nservice = \"billing\"\naddress = \"127.0.0.1:80\"\n";
    let known = Known { stored: &Resources::default(), tokens: &tokens };

    let set = read_one(text, known, Unnamed::Kept).expect("a joined node and its service are known");
    let declared_less =
        read_one(&format!("[[node]]\nname = \"n7\"\ngrants = []\n{text}"), known, Unnamed::Kept);

    assert_eq!(set.len(), 2);
    assert_eq!(declared_less.expect_err("the declaration replaces the token's").mistakes().len(), 2);
}

#[test]
fn an_endpoint_without_an_address_needs_the_port_of_its_service() {
    let text = |service: &str| format!("[[endpoint]]\nnode = \"n1\"\nservice = \"{service}\"\n");

    assert!(
        mistakes(&text("web.shop"))[0]
            .starts_with("1:1: [[endpoint]] has no `address`, and `web.shop` has no")
    );
    assert!(mistakes(&text("orderz"))[0].contains("did you mean `orders`?"));
}

#[test]
fn an_endpoint_at_a_listener_would_go_in_circles() {
    let all = mistakes("[[endpoint]]\nnode = \"n1\"\nservice = \"orders\"\naddress = \"127.0.0.1:5001\"\n");

    assert!(all.len() == 1 && all[0].starts_with("4:11: ") && all[0].contains("in circles"), "{all:?}");
}

#[test]
fn a_namespace_is_written_once() {
    let all = mistakes("[[service]]\nname = \"a.b\"\nnamespace = \"c\"\n");

    assert!(all[0].starts_with("3:13: `namespace`: the name says `b` already"), "{all:?}");
}

#[test]
fn files_belong_together_in_any_order() {
    let nodes =
        "[[endpoint]]\nnode = \"n1\"\nservice = \"orders\"\n[[node]]\nname = \"n1\"\ngrants = [\"orders\"]\n";
    let services = "[[service]]\nname = \"orders\"\nport = 8080\n";
    let (stored, tokens) = (Resources::default(), TokenGrants::new());
    let read = |one, other| {
        let files = [File { name: "one.toml", text: one }, File { name: "other.toml", text: other }];
        read(&files, Known { stored: &stored, tokens: &tokens }, Unnamed::Kept)
    };

    let set = read(nodes, services).expect("each has what the other needs");
    let twice = read(services, services).expect_err("declared in both");
    let both = read("[[nod]]\n", "[[service]]\nnam = \"x\"\n").expect_err("each has a mistake");
    let syntax = read("[[nod]]\n", "= 3\n").expect_err("one is no TOML");

    assert_eq!(set.len(), 3);
    assert!(
        twice.len() == 1
            && twice[0].to_string().starts_with("other.toml:1:1: `service/orders` is declared already")
    );
    assert_eq!(both.len(), 2);
    assert!(syntax.len() == 1 && syntax[0].to_string().starts_with("other.toml:1:1: "), "{syntax:?}");
}

#[test]
fn a_changed_service_concerns_the_nodes_that_host_it() {
    let shop = shop();
    let of = |text: &str| {
        let after = apply(&shop, text, Unnamed::Kept).expect("good");
        Declared::new(&shop)
            .differences(&Declared::new(&after))
            .into_iter()
            .map(|node| node.to_string())
            .collect::<Vec<_>>()
    };

    assert_eq!(of("[[service]]\nname = \"orders\"\nport = 8080\n"), ["n1"], "its health checks changed");
    assert!(of("[[service]]\nname = \"cart\"\n").is_empty());
    assert_eq!(of("[[node]]\nname = \"n2\"\nzone = \"a\"\n"), ["n2"]);
    let same_checks = "[[service]]\nname = \"orders\"\nport = 9\nhealth = { interval = \"2s\", fall = 3 }\n";
    assert!(of(same_checks).is_empty(), "the port is only for endpoints that are yet to be declared");
}

#[test]
fn too_much_of_anything_is_refused() {
    let listeners: String = (0..=crate::registration::MAX_LISTENERS)
        .map(|n| format!("[[listener]]\nnode = \"n1\"\nservice = \"orders\"\nas = \"orders\"\naddress = \"127.0.1.1:{}\"\n", n + 1))
        .collect();

    let all = mistakes(&listeners);

    assert!(all.len() == 1 && all[0].contains("more than 1000 listeners on one node"), "{all:?}");
    assert!(mistakes(&"#".repeat(FILE_MAX + 1))[0].contains("at most 4194304 are read"));
}

#[test]
fn ten_thousand_mistakes_are_found_in_a_moment() {
    let text: String = (100_000..120_000)
        .map(|n| format!("[[endpoint]]\nnode = \"n{n}\"\nservice = \"s{n}\"\naddress = \"127.0.0.1:1\"\n"))
        .collect();

    let error = apply(&shop(), &text, Unnamed::Kept).expect_err("nothing of it is declared");

    assert_eq!(error.mistakes().len() + error.more(), 40_000);
}

#[test]
fn json_is_checked_by_the_same_rules() {
    let set: Resources = serde_json::from_str(
        r#"[{"kind":"endpoint","node":"n1","service":"orders","address":"127.0.0.1:0","capacity":0}]"#,
    )
    .expect("well formed");

    let faults = check(&set, &TokenGrants::new());

    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["node", "service", "address", "capacity"]);
    assert!(matches!(set.iter().next(), Some((_, Resource::Endpoint(_)))));
}
