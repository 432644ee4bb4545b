//! A token is good once, for a while, and never again.

use super::*;

const NOW: u64 = 1_763_000_000;
const TTL: Duration = Duration::from_secs(900);

fn hash(n: u64) -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SecretHash(bytes)
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn grant(name: &str) -> Grant {
    Grant { node: node(name), services: [ServiceName::new("web").expect("valid")].into() }
}

#[test]
fn a_token_is_good_once() {
    let mut tokens = Tokens::default();
    let expires = tokens.create(NOW, hash(1), grant("n1"), TTL);

    assert_eq!(expires, Ok(NOW + 900));
    assert_eq!(tokens.redeem(NOW + 10, &hash(1)), Outcome::Granted(grant("n1")));
    assert_eq!(tokens.redeem(NOW + 11, &hash(1)), Outcome::Used(node("n1")));
}

#[test]
fn looking_does_not_use_a_token_up() {
    let mut tokens = Tokens::default();
    tokens.create(NOW, hash(1), grant("n1"), TTL).expect("fine");

    let looked = tokens.look(NOW, &hash(1));

    assert_eq!(looked, Outcome::Granted(grant("n1")));
    assert_eq!(tokens.redeem(NOW, &hash(1)), looked);
}

#[test]
fn a_token_expires_to_the_second() {
    let mut tokens = Tokens::default();
    tokens.create(NOW, hash(1), grant("n1"), TTL).expect("fine");

    assert!(matches!(tokens.look(NOW + 899, &hash(1)), Outcome::Granted(_)));
    assert_eq!(tokens.redeem(NOW + 900, &hash(1)), Outcome::Expired(node("n1")));
    assert_eq!(tokens.outstanding(NOW + 900), 0);
}

#[test]
fn a_made_up_token_is_unknown() {
    let mut tokens = Tokens::default();
    tokens.create(NOW, hash(1), grant("n1"), TTL).expect("fine");

    assert_eq!(tokens.redeem(NOW, &hash(2)), Outcome::Unknown);
}

#[test]
fn a_token_that_could_not_be_used_is_not_made() {
    let mut tokens = Tokens::default();
    let nothing = Grant { services: BTreeSet::new(), ..grant("n1") };

    assert_eq!(tokens.create(NOW, hash(1), nothing, TTL), Err(TokenError::NoServices));
    for ttl in [Duration::ZERO, Duration::from_millis(999), MAX_TTL + Duration::from_secs(1)] {
        assert_eq!(tokens.create(NOW, hash(1), grant("n1"), ttl), Err(TokenError::Ttl(ttl)));
    }
    assert_eq!(tokens, Tokens::default());
}

#[test]
fn only_so_many_tokens_wait_and_a_used_one_makes_room() {
    let mut tokens = Tokens::default();
    for n in 0..MAX_OUTSTANDING as u64 {
        tokens.entries.insert(hash(n), Entry { grant: grant("n1"), expires: NOW + 60, used: false });
    }

    let refused = tokens.create(NOW, hash(99_999), grant("n2"), TTL);
    tokens.redeem(NOW, &hash(7));
    let taken = tokens.create(NOW, hash(99_999), grant("n2"), TTL);

    assert_eq!(refused, Err(TokenError::TooMany));
    assert!(taken.is_ok());
}

#[test]
fn only_so_many_spent_tokens_are_remembered_and_the_oldest_go_first() {
    let mut tokens = Tokens::default();
    for n in 0..=MAX_SPENT as u64 {
        tokens.entries.insert(hash(n), Entry { grant: grant("n1"), expires: NOW - 5000 + n, used: true });
    }

    tokens.create(NOW, hash(99_999), grant("n2"), TTL).expect("fine");

    assert_eq!(tokens.look(NOW, &hash(0)), Outcome::Unknown);
    assert_eq!(tokens.look(NOW, &hash(1)), Outcome::Used(node("n1")));
    assert_eq!(tokens.entries.len(), MAX_SPENT + 1);
}

#[test]
fn what_is_kept_reads_back_and_holds_no_secret() {
    let mut tokens = Tokens::default();
    tokens.create(NOW, hash(1), grant("n1"), TTL).expect("fine");
    tokens.create(NOW, hash(2), grant("n2"), TTL).expect("fine");
    tokens.redeem(NOW, &hash(2));

    let records: Vec<_> = tokens.records().collect();
    let damaged = TokenRecord { sha256: "xyz".into(), ..records[0].clone() };

    assert_eq!(Tokens::from_records(records), Ok(tokens));
    assert_eq!(Tokens::from_records([damaged]), Err(BadHash(node("n1"))));
    assert_eq!(format!("{:?}", hash(0x0102_0304_0506_0708)), "SecretHash(01020304…)");
}
