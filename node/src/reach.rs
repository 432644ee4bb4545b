//! Which controllers there are, and how one of them is reached.
//!
//! Those of `controllers` in the configuration come first, then those of the token. None is preferred for
//! long: every attempt begins with the next. They are dialled one after the other, without waiting for those
//! that say nothing, and the first that answers is it: a dead address costs [`STAGGER`], not a handshake's
//! timeout.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinew_transport::session::{DialError, Session, dial_control};
use sinew_transport::verify::Refusals;
use sinew_transport::{Credentials, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long one controller is given before the next is dialled beside it: some round trips of a long way.
const STAGGER: Duration = Duration::from_millis(300);

/// How long all of them are given before all are dialled again beside the dials in progress: a handshake that
/// began before a controller was back repeats itself at growing intervals, and would find it seconds later.
const REDIAL: Duration = Duration::from_secs(1);

/// How often that is done in one round: about a handshake's timeout long.
const REDIALS_MAX: usize = 4;

/// The most addresses that are dialled in one round: what the configuration and a token may name.
const DIALS_MAX: usize = 16;

/// The controllers of a mesh.
#[derive(Debug)]
pub(crate) struct Controllers {
    names: Vec<String>,
    /// Who comes first in the next round.
    turn: usize,
}

/// A session, and with whom.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) controller: SocketAddr,
    /// The end of the earlier of both certificates, seconds since 1970.
    pub(crate) until: u64,
}

impl Controllers {
    /// `configured` before `from_token`, each once; `turn` is a number to begin with.
    pub(crate) fn new(configured: &[String], from_token: &[SocketAddr], turn: usize) -> Self {
        let mut names: Vec<String> = Vec::new();
        for name in configured.iter().cloned().chain(from_token.iter().map(ToString::to_string)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self { names, turn }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// Where to dial in this round, in order. The next round begins with another.
    async fn round(&mut self, runtime: &Arc<dyn Runtime>) -> Vec<SocketAddr> {
        let count = self.names.len().max(1);
        let mut found = Vec::new();
        for index in 0..self.names.len() {
            let name = &self.names[(self.turn + index) % count];
            match runtime.resolve(name).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::warn!(controller = name, %error, "controller's name not resolved"),
            }
        }
        self.turn = (self.turn + 1) % count;
        let mut once = Vec::new();
        found.retain(|address| {
            !once.contains(address) && once.len() < DIALS_MAX && {
                once.push(*address);
                true
            }
        });
        found
    }

    /// A session with whoever answers first; none when nobody does.
    pub(crate) async fn dial(
        &mut self,
        runtime: &Arc<dyn Runtime>,
        credentials: &Arc<Credentials>,
        refusals: &Arc<Refusals>,
    ) -> Option<Opened> {
        let dialled = first_to_answer(self.round(runtime).await, |address| {
            let (runtime, credentials, refusals) =
                (Arc::clone(runtime), Arc::clone(credentials), Arc::clone(refusals));
            async move { dial_control(&runtime, address, &credentials, &refusals).await }
        });
        match dialled.await {
            Ok((controller, session)) => {
                let until = session.peer_expiry.unwrap_or(0).min(credentials.expiry());
                Some(Opened { session, controller, until })
            }
            Err(last) => {
                let error = last.map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(error, "no control session; traffic goes on with the last snapshot");
                None
            }
        }
    }
}

/// Dials one after the other until somebody answers: after a refusal the next at once, without an answer
/// after [`STAGGER`], beside those that were dialled before; and all again after [`REDIAL`].
///
/// # Errors
/// The last error; none when there was nobody to dial.
pub(crate) async fn first_to_answer<D>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> D,
) -> Result<(SocketAddr, Session), Option<DialError>>
where
    D: Future<Output = Result<Session, DialError>> + Send + 'static,
{
    let mut left = addresses.clone().into_iter().peekable();
    let mut dials = JoinSet::new();
    let mut last = None;
    let mut redials = 0;
    loop {
        if let Some(address) = left.next() {
            let dialling = dial(address);
            dials.spawn(async move { (address, dialling.await) });
        } else if dials.is_empty() {
            return Err(last);
        }
        tokio::select! {
            dialled = dials.join_next() => match dialled {
                Some(Ok((address, Ok(session)))) => return Ok((address, session)),
                Some(Ok((controller, Err(error)))) => {
                    tracing::info!(%controller, %error, "this controller was not reached");
                    last = Some(error);
                }
                Some(Err(_)) | None => {}
            },
            () = sleep(STAGGER), if left.peek().is_some() => {}
            () = sleep(REDIAL), if left.peek().is_none() && redials < REDIALS_MAX => {
                redials += 1;
                left = addresses.clone().into_iter().peekable();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_configuration_come_first_and_each_once() {
        let token = ["10.0.0.1:7401", "10.0.0.2:7401"].map(|text| text.parse().expect("an address"));
        let configured = ["controller.example:7401".to_owned(), "10.0.0.2:7401".to_owned()];

        let controllers = Controllers::new(&configured, &token, 0);

        assert_eq!(controllers.names, ["controller.example:7401", "10.0.0.2:7401", "10.0.0.1:7401"]);
    }

    #[tokio::test]
    async fn every_round_begins_with_the_next() {
        let token = ["10.0.0.1:7401", "10.0.0.2:7401"].map(|text| text.parse().expect("an address"));
        let mut controllers = Controllers::new(&[], &token, 0);
        let runtime: Arc<dyn Runtime> = Arc::new(sinew_transport::OsRuntime);

        let rounds = [controllers.round(&runtime).await, controllers.round(&runtime).await];

        assert_eq!(rounds, [vec![token[0], token[1]], vec![token[1], token[0]]]);
    }

    #[tokio::test]
    async fn who_says_nothing_holds_up_nobody_and_is_dialled_again() {
        let addresses = ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().expect("an address"));
        let (dialled, mut dials) = tokio::sync::mpsc::unbounded_channel();
        let silent = first_to_answer(addresses.to_vec(), |address| {
            dialled.send(address).expect("there");
            std::future::pending()
        });

        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < 4 {
                seen.extend(dials.recv().await);
            }
            seen
        };
        let seen = tokio::select! {
            ended = silent => panic!("nobody answered: {ended:?}"),
            seen = tokio::time::timeout(10 * REDIAL, seen) => seen.expect("each is dialled twice"),
        };

        assert_eq!(seen, [addresses, addresses].concat());
    }
}
