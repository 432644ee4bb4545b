//! What the table promises: slots are never used twice, and the version tells every change.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("valid")
}

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn wanted(service: &str, port: u16) -> Wanted {
    let (service, address) = (name(service), address(port));
    let (labels, check) = (Labels::new(), HealthCheck::default());
    Wanted { service, address, labels, capacity: 100, check, limits: ServeLimits::default() }
}

fn assigned(service: &str, port: u16) -> Assigned {
    let Wanted { service, address, labels, capacity, check, .. } = wanted(service, port);
    Assigned { service, address, labels, capacity, health: check }
}

fn granted() -> BTreeSet<ServiceName> {
    ["orders", "stock"].map(name).into()
}

fn up(table: &mut Table) {
    for (slot, ..) in table.poll_checks(1 << 40) {
        table.handle_finding(1 << 40, slot, Finding::Answered);
    }
}

#[test]
fn slots_are_given_upward_and_never_twice() {
    let mut table = Table::new(10);
    let first = table.add(1, Origin::Config, wanted("orders", 1));
    let second = table.add(1, Origin::Registered, wanted("orders", 2));
    table.remove(1);

    let third = table.add(1, Origin::Registered, wanted("orders", 2));

    assert_eq!((first, second, third), (Ok(0), Ok(1), Ok(2)));
    assert_eq!(table.version(), 14);
}

#[test]
fn the_same_endpoint_again_keeps_its_slot_and_its_health() {
    let mut table = Table::new(10);
    let slot = table.add(1, Origin::Registered, wanted("orders", 1)).expect("room");
    up(&mut table);
    let version = table.version();

    assert_eq!(table.add(2, Origin::Registered, wanted("orders", 1)), Ok(slot));
    assert_eq!(table.version(), version, "nothing changed");
    let more = Wanted { capacity: 7, ..wanted("orders", 1) };
    assert_eq!(table.add(2, Origin::Registered, more), Ok(slot));

    assert_eq!((table.serves()[&slot].capacity, table.serves()[&slot].health), (7, Health::Up));
    assert!(table.version() > version);
}

#[test]
fn one_service_at_one_address_is_one_endpoint() {
    let mut table = Table::new(10);
    table.add(1, Origin::Config, wanted("orders", 1)).expect("room");

    let again = table.add(1, Origin::Registered, wanted("orders", 1));

    assert!(matches!(&again, Err(NotHosted::Declared { origin: Origin::Config, .. })), "{again:?}");
    assert!(again.expect_err("refused").to_string().contains("[[serve]]"));
    assert_eq!(table.assign(1, &[assigned("orders", 1)], &granted()), []);
    assert_eq!(table.all().count(), 1);
}

#[test]
fn assigned_endpoints_follow_the_snapshot_and_leave_the_others_alone() {
    let mut table = Table::new(10);
    table.add(1, Origin::Registered, wanted("orders", 1)).expect("room");
    table.assign(1, &[assigned("orders", 2), assigned("stock", 3)], &granted());

    let refused = table.assign(1, &[assigned("stock", 3), assigned("secret", 4)], &granted());

    let left: Vec<_> = table.all().map(|(slot, hosted)| (slot, hosted.address.port())).collect();
    assert_eq!(left, [(0, 1), (2, 3)]);
    assert_eq!(refused[0].0, name("secret"));
}

#[test]
fn of_a_node_that_leaves_everything_drains_and_nothing_is_forgotten() {
    let mut table = Table::new(10);
    let slot = table.add(1, Origin::Registered, wanted("orders", 1)).expect("room");
    up(&mut table);
    let before = table.version();

    table.leave();
    let late = table.add(2, Origin::Config, wanted("orders", 2)).expect("room");

    let told: Vec<_> =
        table.changes_since(before).into_iter().map(|(_, serve)| serve.expect("there").health).collect();
    assert_eq!(told, [Health::Draining, Health::Draining]);
    assert!(table.serves().values().all(|serve| serve.health == Health::Draining));
    let hosted = table.hosted(slot).expect("there");
    assert!(!hosted.is_draining() && hosted.health() == Health::Up, "a restart finds it as it was");
    assert!(table.hosted(late).is_some());
}

#[test]
fn what_drains_is_not_checked_and_takes_nothing_new_until_it_is_wanted_again() {
    let mut table = Table::new(10);
    let slot = table.add(1, Origin::Registered, wanted("orders", 1)).expect("room");
    up(&mut table);

    table.drain(slot);

    assert_eq!(table.serves()[&slot].health, Health::Draining);
    assert_eq!((table.poll_timeout(), table.on_refused(2, slot)), (None, None));
    let version = table.version();
    table.add(1, Origin::Registered, wanted("orders", 1)).expect("room");
    assert_ne!(table.serves()[&slot].health, Health::Draining);
    assert!(table.version() > version);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut table = Table::new(10);
    for port in 0..HOSTED_MAX {
        let port = u16::try_from(port).expect("fits");
        table.add(1, Origin::Registered, wanted("orders", port)).expect("room");
    }
    let before = table.serves();

    assert_eq!(table.add(1, Origin::Registered, wanted("orders", 9999)), Err(NotHosted::TooMany));
    let labels = [("a".into(), "x".repeat(LABELS_LEN_MAX))].into();
    let long = Wanted { labels, ..wanted("orders", 1) };
    assert_eq!(table.add(1, Origin::Registered, long), Err(NotHosted::LabelsTooLong));
    table.remove(0);
    table.next_slot = 65_536;
    assert_eq!(table.add(1, Origin::Registered, wanted("orders", 9999)), Err(NotHosted::NoSlot));

    assert_eq!(table.serves().len(), before.len() - 1);
}

/// Something that happens to a table.
#[derive(Debug, Clone)]
enum Step {
    Add(u16, u32),
    Remove(u16),
    Drain(u16),
    Assign(Vec<u16>),
    Found(Finding),
    Refused(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let finding = prop_oneof![Just(Finding::Answered), Just(Finding::Refused), Just(Finding::Silent)];
    prop_oneof![
        (0_u16..6, 1_u32..4).prop_map(|(port, capacity)| Step::Add(port, capacity)),
        (0_u16..12).prop_map(Step::Remove),
        (0_u16..12).prop_map(Step::Drain),
        prop::collection::vec(0_u16..6, 0..4).prop_map(Step::Assign),
        finding.prop_map(Step::Found),
        (0_u16..12).prop_map(Step::Refused),
    ]
}

proptest! {
    #[test]
    fn whoever_follows_the_changes_knows_the_table(steps in prop::collection::vec(step(), 0..60)) {
        let mut table = Table::new(1000);
        // Three followers, each of which hears now and then: the numbers are the state that it knows.
        let mut followers = [(1000, BTreeMap::new()), (1000, BTreeMap::new()), (1000, BTreeMap::new())];
        let mut known: BTreeMap<u16, (ServiceName, SocketAddr)> = BTreeMap::new();
        for (now, step) in (1..).zip(steps) {
            let (version, before) = (table.version(), table.serves());
            match step {
                Step::Add(port, capacity) => {
                    let wanted = Wanted { capacity, ..wanted("orders", port) };
                    let _ = table.add(now, Origin::Registered, wanted);
                }
                Step::Remove(slot) => drop(table.remove(slot)),
                Step::Drain(slot) => table.drain(slot),
                Step::Assign(ports) => {
                    let all: Vec<_> = ports.into_iter().map(|port| assigned("orders", port)).collect();
                    table.assign(now, &all, &granted());
                }
                Step::Found(finding) => {
                    for (slot, ..) in table.poll_checks(u64::MAX / 4) {
                        table.handle_finding(now, slot, finding);
                    }
                }
                Step::Refused(slot) => drop(table.on_refused(now, slot)),
            }
            let serves = table.serves();
            prop_assert_eq!(serves != before, table.version() > version, "the version tells every change");
            for (nth, (version, follower)) in (1..).zip(&mut followers).filter(|(nth, _)| now % nth == 0) {
                for (slot, change) in table.changes_since(*version) {
                    match change {
                        Some(serve) => drop(follower.insert(slot, serve)),
                        None => drop(follower.remove(&slot)),
                    }
                }
                *version = table.version();
                prop_assert_eq!(&*follower, &serves, "follower {}", nth);
            }
            for (slot, hosted) in table.all() {
                let here = (hosted.service.clone(), hosted.address);
                prop_assert_eq!(known.entry(slot).or_insert_with(|| here.clone()), &here, "a slot was used twice");
            }
        }
    }
}
