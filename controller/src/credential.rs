//! Secrets that are made at the first start and kept: the admin token, which whoever uses the API holds,
//! and the keys by which nodes notice at once that the controller restarted. Never shown.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sinew_api::Secret;
use sinew_api::join::{from_hex32, to_hex};
use sinew_transport::ResetKeys;
use sinew_transport::runtime::Access;

use crate::files::{StateDir, StateError};

/// Where the CLI looks for it.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";

/// The keys of the socket for sessions, 72 bytes.
const RESET_KEYS_FILE: &str = "reset.keys";

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

/// Reads the keys of the socket for sessions, or makes them.
pub(crate) fn reset_keys(state: &StateDir) -> Result<ResetKeys, StateError> {
    if let Some(bytes) = state.read(RESET_KEYS_FILE)? {
        let keys = ResetKeys::from_bytes(&bytes);
        let remedy = "delete it: nodes then notice a restart only by silence, once";
        return keys.ok_or_else(|| state.damaged(RESET_KEYS_FILE, "its length is wrong".to_owned(), remedy));
    }
    let keys = ResetKeys::random();
    state.write(RESET_KEYS_FILE, &keys.to_bytes(), Access::Private)?;
    Ok(keys)
}
