//! Telling one other end what stands behind this node: all of it first, then what changed since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sinew_api::hosting::{Serve, Serving};
use sinew_node_core::hosting::changes;
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
    told: BTreeMap<u16, Serve>,
    version: u64,
}

impl Telling {
    /// Nothing was told yet.
    pub(crate) fn new(hosting: &Arc<Hosting>) -> Self {
        let news = hosting.version.subscribe();
        Self { hosting: Arc::clone(hosting), news, told: BTreeMap::new(), version: 0 }
    }

    /// Everything, as the beginning or a new one.
    pub(crate) fn whole(&mut self) -> Serving {
        (self.version, self.told) = self.hosting.serves();
        let changes = self.told.iter().map(|(slot, serve)| (*slot, Some(serve.clone()))).collect();
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
            let (version, now) = self.hosting.serves();
            let changes = changes(&self.told, &now);
            (self.version, self.told) = (version, now);
            if !changes.is_empty() {
                return Serving { version, whole: false, changes };
            }
        }
    }
}
