//! What the authority signs, and what it refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use sinew_transport::OsRuntime;
use sinew_transport::runtime::Runtime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::x509::BadRequest;
use super::*;
use sinew_api::join::MAX_CSR_LEN;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn state(path: &Path) -> StateDir {
    let runtime: Arc<dyn Runtime> = Arc::new(OsRuntime);
    StateDir::new(path, &runtime)
}

fn domain(name: &str) -> TrustDomain {
    TrustDomain::new(name).expect("valid")
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

fn authority(path: &Path) -> Authority {
    Authority::open(&state(path), &domain("mesh.local"), NOW).expect("an authority")
}

/// A request that asks for much more than a public key.
fn greedy_request(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(["evil.example".to_owned()]).expect("valid");
    let uri = "spiffe://mesh.local/controller/c1".try_into().expect("valid");
    params.subject_alt_names.push(SanType::URI(uri));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serialize_request(key).expect("a request").der().to_vec()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

#[test]
fn a_new_authority_keeps_its_key_private_and_is_the_same_when_loaded() {
    let dir = tempfile::tempdir().expect("a directory");

    let made = authority(dir.path());
    let loaded = authority(dir.path());

    assert_eq!(made.root(), loaded.root());
    assert_eq!(made.root_expiry, loaded.root_expiry);
    let mode = std::fs::metadata(dir.path().join(ROOT_KEY)).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_node_gets_exactly_one_name_and_a_time_and_nothing_that_it_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = key();
    let request = Request::parse(&greedy_request(&key)).expect("a good request");

    let der = authority(dir.path()).issue_node(&node("n1"), &request, NOW, DAY).expect("a certificate");

    let (_, certificate) = X509Certificate::from_der(&der).expect("readable");
    let names = certificate.subject_alternative_name().expect("readable").expect("there").value;
    assert_eq!(names.general_names, [GeneralName::URI("spiffe://mesh.local/node/n1")]);
    assert_eq!(certificate.subject().to_string(), "CN=n1");
    assert!(!certificate.is_ca());
    let validity = certificate.validity();
    assert_eq!(validity.not_before.timestamp(), 1_800_000_000 - 300);
    assert_eq!(validity.not_after.timestamp(), 1_800_000_000 + 86_400);
    assert_eq!(&*certificate.public_key().subject_public_key.data, key.public_key_raw());
    certificate.verify_signature(Some(&root_key(&authority(dir.path())))).expect("signed by the root");
}

#[test]
fn two_certificates_never_share_a_serial_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let request = Request::parse(&greedy_request(&key())).expect("a good request");
    let authority = authority(dir.path());

    let serials = [(), ()].map(|()| {
        let der = authority.issue_node(&node("n1"), &request, NOW, DAY).expect("a certificate");
        X509Certificate::from_der(&der).expect("readable").1.raw_serial().to_vec()
    });

    assert_ne!(serials[0], serials[1]);
}

#[test]
fn no_certificate_outlives_the_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let request = Request::parse(&greedy_request(&key())).expect("a good request");
    let authority = authority(dir.path());
    let late = NOW + ROOT_TTL - Duration::from_secs(60);

    let der = authority.issue_node(&node("n1"), &request, late, DAY).expect("a certificate");

    let (_, certificate) = X509Certificate::from_der(&der).expect("readable");
    assert_eq!(certificate.validity().not_after.timestamp(), 1_800_000_000 + 10 * 365 * 86_400);
}

#[test]
fn a_request_must_be_signed_by_its_own_key() {
    let mut request = greedy_request(&key());
    let last = request.len() - 1;
    request[last] ^= 1;

    assert_eq!(Request::parse(&request).err(), Some(BadRequest::Signature));
}

#[test]
fn what_is_no_request_is_refused_and_told_why() {
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let good = greedy_request(&key());
    let trailing = [good.as_slice(), b"x"].concat();

    for (request, bad) in [
        (vec![0; MAX_CSR_LEN + 1], BadRequest::TooLong),
        (Vec::new(), BadRequest::Unreadable),
        (b"hello".to_vec(), BadRequest::Unreadable),
        (good[..good.len() / 2].to_vec(), BadRequest::Unreadable),
        (trailing, BadRequest::Unreadable),
        (greedy_request(&rsa), BadRequest::KeyKind),
    ] {
        assert_eq!(Request::parse(&request).err(), Some(bad));
    }
}

#[test]
fn the_controller_is_named_as_a_controller() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = authority(dir.path());

    let credentials = authority.issue_controller(&state(dir.path()), &node("c1"), NOW).expect("issued");

    assert_eq!(credentials.identity(), &Identity::Controller(domain("mesh.local"), node("c1")));
    assert_eq!(credentials.expiry(), (NOW + CONTROLLER_TTL).as_secs());
    let mode = std::fs::metadata(dir.path().join(CONTROLLER_KEY)).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_authority_of_another_domain_is_not_used() {
    let dir = tempfile::tempdir().expect("a directory");
    authority(dir.path());

    let error = Authority::open(&state(dir.path()), &domain("other.mesh"), NOW).expect_err("another domain");

    let text = error.to_string();
    assert!(text.contains("`mesh.local`") && text.contains("`other.mesh`"), "{text}");
    assert!(text.contains("trust_domain = \"mesh.local\""), "{text}");
}

#[test]
fn an_authority_with_a_missing_or_foreign_part_is_not_used() {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    authority(dir.path());
    authority(other.path());
    let open =
        || Authority::open(&state(dir.path()), &domain("mesh.local"), NOW).expect_err("damaged").to_string();

    std::fs::copy(other.path().join(ROOT_KEY), dir.path().join(ROOT_KEY)).expect("copied");
    let foreign = open();
    std::fs::remove_file(dir.path().join(ROOT_KEY)).expect("removed");
    let missing = open();
    std::fs::write(dir.path().join(ROOT_KEY), "hello").expect("written");
    let damaged = open();

    assert!(foreign.contains("its key is not the one in ca.key.pem"), "{foreign}");
    assert!(missing.contains("ca.key.pem is missing"), "{missing}");
    assert!(damaged.contains("not a P-256 private key"), "{damaged}");
}

#[test]
fn a_root_outside_its_time_is_not_used() {
    let dir = tempfile::tempdir().expect("a directory");
    authority(dir.path());
    let at = |now| Authority::open(&state(dir.path()), &domain("mesh.local"), now);

    assert!(at(NOW - BACKDATE).is_ok());
    assert!(at(NOW + ROOT_TTL - Duration::from_secs(1)).is_ok());
    for now in [NOW - BACKDATE - Duration::from_secs(1), NOW + ROOT_TTL] {
        let error = at(now).expect_err("outside its time").to_string();
        assert!(error.contains("correct the clock"), "{error}");
    }
}

fn root_key(authority: &Authority) -> x509_parser::x509::SubjectPublicKeyInfo<'_> {
    X509Certificate::from_der(authority.root()).expect("readable").1.tbs_certificate.subject_pki
}
