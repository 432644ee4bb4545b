//! Who we are at this moment: credentials that are exchanged as a whole while in use.
//!
//! Every handshake, dialled or accepted, takes what is current when it begins, and knows what it took: that
//! decides for how long the connection lives. Connections that exist are not touched.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::tls::{Credentials, CredentialsError};

/// Holds the credentials in use.
#[derive(Debug)]
pub struct Keyring(watch::Sender<Arc<Credentials>>);

impl Keyring {
    /// Begins with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(watch::Sender::new(Arc::new(credentials)))
    }

    /// What a handshake that begins now shows.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.borrow())
    }

    /// Shows other credentials from the next handshake on.
    pub fn exchange(&self, credentials: Credentials) {
        self.0.send_replace(Arc::new(credentials));
    }
}

/// A server's configuration, made again when the credentials were exchanged.
#[derive(Debug)]
pub(crate) struct Serving<C> {
    made: Mutex<(Arc<Credentials>, C)>,
}

impl<C: Clone> Serving<C> {
    pub(crate) fn new(
        credentials: Arc<Credentials>,
        make: impl FnOnce(&Credentials) -> Result<C, CredentialsError>,
    ) -> Result<Self, CredentialsError> {
        let made = make(&credentials)?;
        Ok(Self { made: Mutex::new((credentials, made)) })
    }

    /// The configuration for `current`, and the credentials in it: should they not be usable, which was
    /// checked before they were exchanged, those before them.
    pub(crate) fn with(
        &self,
        current: Arc<Credentials>,
        make: impl FnOnce(&Credentials) -> Result<C, CredentialsError>,
    ) -> (Arc<Credentials>, C) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &current) {
            match make(&current) {
                Ok(config) => *made = (current, config),
                Err(error) => tracing::error!(%error, "new credentials can't be used; the old ones stay"),
            }
        }
        made.clone()
    }
}
