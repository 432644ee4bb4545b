//! Telling one other end what stands behind this node: all of it first, then what changed since.

use std::sync::Arc;
use std::time::Duration;

use sinew_api::hosting::Serving;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Hosting;

/// How long changes are collected: endpoints that come and go together cost one message. Short beside the second
/// within which callers shall know.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// What one other end was told.
#[derive(Debug)]
pub(crate) struct Telling {
    hosting: Arc<Hosting>,
    news: watch::Receiver<u64>,
    /// The version that it knows.
    version: u64,
}

impl Telling {
    /// Nothing was told yet.
    pub(crate) fn new(hosting: &Arc<Hosting>) -> Self {
        let news = hosting.versions();
        Self { hosting: Arc::clone(hosting), news, version: 0 }
    }

    /// Everything, as the beginning or a new one.
    pub(crate) fn whole(&mut self) -> Serving {
        let (version, serves) = self.hosting.serves();
        self.version = version;
        let changes = serves.into_iter().map(|(slot, serve)| (slot, Some(serve))).collect();
        Serving { version: self.version, whole: true, changes }
    }

    /// What changed since, waited for. Cancel-safe: nothing is lost.
    pub(crate) async fn changed(&mut self) -> Serving {
        loop {
            while *self.news.borrow_and_update() == self.version {
                if self.news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            sleep(DEBOUNCE).await;
            let known = self.version;
            let (version, changes) = self.hosting.look(|table| (table.version(), table.changes_since(known)));
            self.version = version;
            if !changes.is_empty() {
                return Serving { version, whole: false, changes };
            }
        }
    }
}
