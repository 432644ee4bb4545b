//! The admin token: who holds it may use the API. Made at first start, found by the CLI in the state
//! directory, never shown.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sinew_api::Secret;
use sinew_api::join::{from_hex32, to_hex};
use sinew_transport::runtime::Access;

use crate::files::{StateDir, StateError};

/// Where the CLI looks for it.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";

/// 32 random bytes in hex: nobody guesses them.
///
/// # Panics
/// When the operating system has no randomness to give; nothing secret can be made then.
pub(crate) fn random_secret() -> Secret {
    Secret::new(to_hex(&random_bytes::<32>()))
}

/// Random bytes of the operating system. See [`random_secret`] for panics.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "see random_secret")]
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Reads the admin token, or makes one.
pub(crate) fn admin_token(state: &StateDir) -> Result<Secret, StateError> {
    if let Some(bytes) = state.read(ADMIN_TOKEN_FILE)? {
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        let remedy = "delete it to have a new one made";
        return match from_hex32(&text) {
            Some(_) => Ok(Secret::new(text)),
            None => Err(state.damaged(ADMIN_TOKEN_FILE, "it is not 64 hex digits".to_owned(), remedy)),
        };
    }
    let secret = random_secret();
    state.write(ADMIN_TOKEN_FILE, format!("{}\n", secret.expose()).as_bytes(), Access::Private)?;
    Ok(secret)
}
