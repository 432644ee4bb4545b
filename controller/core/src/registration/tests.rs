//! What is taken, and that every mistake is named at once with its remedy.

use super::*;
use sinew_api::control::Listen;
use sinew_api::hosting::{CAPACITY_DEFAULT, Health, Serve};

const SESSION_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid")
}

fn services(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| service(name)).collect()
}

fn node() -> NodeName {
    NodeName::new("n1").expect("valid")
}

/// A registration of nothing, which is fine.
fn empty() -> Register {
    Register {
        version: "0.1.0".into(),
        boot: 1,
        addresses: vec!["10.0.0.1:7410".parse().expect("valid")],
        zone: None,
        serves: Vec::new(),
        listens: Vec::new(),
        serving: 0,
        certificate_expiry: 0,
        have: None,
        ext: Vec::new(),
    }
}

fn serve(slot: u16, name: &str) -> Serve {
    Serve {
        service: service(name),
        slot,
        labels: Labels::new(),
        capacity: CAPACITY_DEFAULT,
        health: Health::Up,
    }
}

fn listen(name: &str, source: Option<&str>) -> Listen {
    Listen { service: service(name), source: source.map(service) }
}

fn check(register: Register, granted: &[&str]) -> Result<Registration, Vec<Mistake>> {
    Registration::check(register, &node(), &services(granted), SESSION_IP)
}

fn mistakes(register: Register, granted: &[&str]) -> String {
    let mistakes = check(register, granted).expect_err("must be refused");
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_unspecified_address_stands_for_where_the_session_comes_from() {
    let addresses = ["0.0.0.0:7410", "[::]:7411", "192.0.2.1:7412"];
    let register = Register { addresses: addresses.map(|a| a.parse().expect("valid")).to_vec(), ..empty() };

    let registration = check(register, &[]).expect("fine");

    let shown: Vec<_> = registration.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.7:7410", "10.0.0.7:7411", "192.0.2.1:7412"]);
}

#[test]
fn an_ipv4_session_on_an_ipv6_socket_is_an_ipv4_address() {
    let mapped = "::ffff:10.0.0.9".parse().expect("valid");
    let register = Register { addresses: vec!["0.0.0.0:7410".parse().expect("valid")], ..empty() };

    let registration = Registration::check(register, &node(), &services(&[]), mapped).expect("fine");

    assert_eq!(registration.addresses(), ["10.0.0.9:7410".parse().expect("valid")]);
}

#[test]
fn one_service_may_stand_in_several_slots() {
    let register = Register { serves: vec![serve(0, "orders"), serve(1, "orders")], ..empty() };

    let registration = check(register, &["orders"]).expect("fine");

    assert_eq!(registration.serves().len(), 2);
    assert_eq!(registration.hosted().len(), 1);
}

#[test]
fn a_listener_may_leave_its_source_out_when_exactly_one_service_is_granted() {
    let register = || Register { listens: vec![listen("orders", None)], ..empty() };

    assert!(check(register(), &["web"]).is_ok());
    assert!(mistakes(register(), &["web", "jobs"]).contains("granted: jobs, web"));
    assert!(mistakes(register(), &[]).contains("granted: nothing"));
}

#[test]
fn every_mistake_is_named_at_once_with_its_remedy() {
    let register = Register {
        addresses: Vec::new(),
        serves: vec![serve(0, "billing"), serve(0, "web")],
        listens: vec![listen("orders", Some("admin")), listen("orders", None)],
        ..empty()
    };

    let text = mistakes(register, &["web", "jobs"]);

    for part in [
        "no data address",
        "slot 0",
        "listen `orders` as `admin`",
        "listen `orders`: `as` may be left out",
        "sinew token create --node n1 --service admin",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn a_service_that_is_not_granted_may_not_be_served() {
    let register = Register { serves: vec![serve(0, "billing"), serve(1, "billing")], ..empty() };

    let mistakes = check(register, &["web"]).expect_err("not granted");

    assert!(matches!(mistakes.as_slice(), [Mistake::ServeNotGranted { .. }]), "once a service: {mistakes:?}");
    assert_eq!(mistakes[0].reason(), FarewellReason::NotGranted);
}

#[test]
fn a_namespace_is_part_of_the_grant() {
    let register = || Register { serves: vec![serve(0, "orders.shop")], ..empty() };

    assert!(check(register(), &["orders"]).is_err());
    assert!(check(register(), &["orders.shop"]).is_ok());
}

#[test]
fn each_limit_is_kept_at_its_edge() {
    let port = |i: usize| SocketAddr::new(SESSION_IP, 1 + u16::try_from(i).expect("small"));
    let addresses = |n: usize| Register { addresses: (0..n).map(port).collect(), ..empty() };
    let slot = |i: usize| serve(u16::try_from(i).expect("small"), "web");
    let serves = |n: usize| Register { serves: (0..n).map(slot).collect(), ..empty() };
    let listens = |n: usize| Register { listens: vec![listen("web", None); n], ..empty() };
    let labelled = |name: usize, value: usize, count: usize| {
        let label = |i: usize| (format!("{i:0>name$}"), "v".repeat(value));
        let labels = (0..count).map(label).collect();
        Register { serves: vec![Serve { labels, ..serve(0, "web") }], ..empty() }
    };

    for (fine, wrong) in [
        (addresses(MAX_ADDRESSES), addresses(MAX_ADDRESSES + 1)),
        (addresses(1), addresses(0)),
        (serves(MAX_ENDPOINTS), serves(MAX_ENDPOINTS + 1)),
        (listens(MAX_LISTENERS), listens(MAX_LISTENERS + 1)),
        (labelled(2, 1, MAX_LABELS), labelled(2, 1, MAX_LABELS + 1)),
        (labelled(MAX_LABEL_NAME, 1, 1), labelled(MAX_LABEL_NAME + 1, 1, 1)),
        (labelled(1, MAX_LABEL_VALUE, 1), labelled(1, MAX_LABEL_VALUE + 1, 1)),
        (labelled(1, 0, 1), Register { version: "v".repeat(MAX_VERSION + 1), ..empty() }),
        (empty(), Register { addresses: vec!["10.0.0.1:0".parse().expect("valid")], ..empty() }),
    ] {
        assert!(check(fine, &["web"]).is_ok());
        let mistakes = check(wrong, &["web"]).expect_err("beyond the limit");
        assert_eq!(mistakes[0].reason(), FarewellReason::Invalid);
    }
}
