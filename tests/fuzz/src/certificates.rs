//! A certificate that a stranger shows, before anybody knows who signed it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sinew_transport::Credentials;
use sinew_transport::validity::{Standing, Validity};
use sinew_transport_core::Identity;

/// The DER of a leaf: whom it names, and when it counts.
pub fn certificate(der: &[u8]) -> bool {
    let leaf = CertificateDer::from(der.to_vec());
    let validity = Validity::of(&leaf);
    if let Some(validity) = validity {
        counts_in_its_time(validity);
    }
    // Nobody looks at the key until the identity is known.
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(Vec::new()));
    let Ok(credentials) = Credentials::new(vec![leaf], key, CertificateDer::from(Vec::new())) else {
        return false;
    };
    let uri = credentials.identity().to_string();
    assert_eq!(Identity::parse(&uri).as_ref(), Ok(credentials.identity()));
    assert!(der.windows(uri.len()).any(|window| window == uri.as_bytes()), "{uri} is nowhere in it");
    assert_eq!(Some(credentials.validity()), validity);
    assert!(!format!("{credentials:?}").is_empty());
    true
}

fn counts_in_its_time(validity: Validity) {
    let Validity { from, until } = validity;
    assert!(validity.issued() <= until);
    assert!(validity.half().as_secs() <= until.max(validity.issued()));
    for (now, grace) in [(0, 0), (from, 0), (until, 0), (until.saturating_add(1), 1), (u64::MAX, u64::MAX)] {
        let standing = validity.standing(now, grace);
        let expected = if now < from {
            Standing::NotYetValid
        } else if now <= until {
            Standing::Valid
        } else if now - until <= grace {
            Standing::Graced
        } else {
            Standing::Expired
        };
        assert_eq!(standing, expected);
    }
}
