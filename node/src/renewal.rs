//! Another certificate in time: asked for over the control session when half of the life is over, with a new
//! key that never leaves this machine.
//!
//! What comes back is checked, written to disk together with its key as one file, and only then shown: the
//! next handshake, dialled or accepted, uses it. Connections that exist go on; the transport replaces them
//! before the end of the certificate that they were made with. Whatever fails is tried again with back-off,
//! also after the end of the certificate: a controller takes a session of an expired certificate for as long
//! as its `expiry_grace`, to renew and for nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;
use sinew_api::control::{Renew, Renewed};
use sinew_node_core::Backoff;
use sinew_transport::session::{Session, SessionCloser, SessionError};
use sinew_transport::{Keyring, Runtime};
use sinew_transport_core::wire::Malformed;
use tokio::time::{Instant, sleep, timeout};

use crate::identity::{IdentityError, State, new_key};
use crate::metrics::Metrics;
use crate::plane::Plane;

/// How long a controller may take to answer. It signs in less than a millisecond.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Between two attempts: at least, at most. From the half life on there are twelve hours of a day.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(5));
/// The longest sleep: how late a wall clock that was set is noticed.
const LOOK: Duration = Duration::from_mins(1);

/// Why there is no other certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    #[error("the controller refused: {0}")]
    Refused(String),
    #[error("no answer in {ANSWER_TIME:?}")]
    Timeout,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the answer can't be read: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl RenewalError {
    /// The name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Timeout => "timeout",
            Self::Session(_) => "lost",
            Self::Malformed(_) => "malformed",
            Self::Identity(_) => "failed",
        }
    }
}

/// Keeps this node's certificate young.
pub(crate) struct Renewal {
    keyring: Arc<Keyring>,
    runtime: Arc<dyn Runtime>,
    state: PathBuf,
    metrics: Arc<Metrics>,
    /// The key for which a certificate was asked, and until when an answer is due.
    asked: Option<(KeyPair, Instant)>,
    not_before: Option<Instant>,
    backoff: Backoff,
    rng: fastrand::Rng,
}

impl Renewal {
    pub(crate) fn new(plane: &Plane, keyring: &Arc<Keyring>, rng: fastrand::Rng) -> Self {
        let renewal = Self {
            keyring: Arc::clone(keyring),
            runtime: Arc::clone(&plane.runtime),
            state: plane.config.state.clone(),
            metrics: Arc::clone(&plane.metrics),
            asked: None,
            not_before: None,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            rng,
        };
        renewal.show();
        renewal
    }

    /// Whether the certificate's end is over: then a session is good for nothing but another one.
    pub(crate) fn expired(&self) -> bool {
        self.runtime.wall_now().as_secs() > self.keyring.current().expiry()
    }

    /// Waits until there is something to do here. Cancel-safe.
    pub(crate) async fn due(&self) {
        if let Some((_, until)) = &self.asked {
            return tokio::time::sleep_until(*until).await;
        }
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        loop {
            let left = self.keyring.current().validity().half().saturating_sub(self.runtime.wall_now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// What to ask the controller now; none when the answer to the last question did not come.
    pub(crate) fn handle_due(&mut self) -> Option<Renew> {
        if self.asked.take().is_some() {
            self.failed(&RenewalError::Timeout);
            return None;
        }
        match new_key() {
            Ok((key, csr)) => {
                self.asked = Some((key, Instant::now() + ANSWER_TIME));
                Some(Renew { csr })
            }
            Err(error) => {
                self.failed(&error.into());
                None
            }
        }
    }

    /// Takes the controller's answer. True when the certificate is another now.
    pub(crate) fn on_answer(&mut self, answer: Renewed) -> bool {
        // An answer to a question that was given up belongs to a key that is gone.
        let Some((key, _)) = self.asked.take() else { return false };
        let renewed = if answer.refused.is_empty() {
            self.take(&key, answer.chain).map_err(RenewalError::from)
        } else {
            Err(RenewalError::Refused(answer.refused))
        };
        match renewed {
            Ok(()) => {
                self.backoff.reset();
                self.not_before = None;
                self.metrics.renewed("renewed");
                self.show();
                tracing::info!(until = self.keyring.current().expiry(), "certificate renewed");
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// The session is over: what was asked there is not answered any more.
    pub(crate) fn on_session_end(&mut self) {
        self.asked = None;
    }

    /// A whole session for nothing but another certificate, since the one in use has expired.
    pub(crate) async fn by_session(&mut self, session: Session) {
        let closer: SessionCloser = session.closer();
        let Some(renew) = self.handle_due() else { return };
        let exchange = async {
            let Session { mut sender, mut receiver, .. } = session;
            sender.send(&renew).await?;
            Ok(receiver.next().await?.decode::<Renewed>()?)
        };
        match timeout(ANSWER_TIME, exchange).await.unwrap_or(Err(RenewalError::Timeout)) {
            Ok(answer) => drop(self.on_answer(answer)),
            Err(error) => {
                self.asked = None;
                self.failed(&error);
            }
        }
        closer.close("renewed");
    }

    fn take(&self, key: &KeyPair, chain: Vec<Vec<u8>>) -> Result<(), IdentityError> {
        let state = State { runtime: &self.runtime, path: &self.state };
        let credentials = state.renew(&self.keyring.current(), key, chain)?;
        self.keyring.exchange(credentials);
        Ok(())
    }

    fn failed(&mut self, error: &RenewalError) {
        let pause = self.backoff.next(&mut self.rng);
        self.not_before = Some(Instant::now() + pause);
        self.metrics.renewed(error.name());
        let until = self.keyring.current().expiry();
        tracing::warn!(%error, until, retry_in = ?pause, "certificate not renewed");
    }

    fn show(&self) {
        let until = self.keyring.current().expiry();
        self.metrics.certificate_expiry.set(i64::try_from(until).unwrap_or(i64::MAX));
    }
}
