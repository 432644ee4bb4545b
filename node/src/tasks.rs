//! How many tasks live in this node: what should be back where it was when its connections are gone.
//!
//! Each shard has a runtime of its own and the rest has another; all of them are counted. In simulation all share one,
//! which is counted once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

/// The runtimes of a node.
#[derive(Debug, Default)]
pub(crate) struct Runtimes(Mutex<Vec<Handle>>);

impl Runtimes {
    /// Counts the tasks of the runtime that calls this, too.
    pub(crate) fn add_current(&self) {
        let current = Handle::current();
        let mut known = self.known();
        if known.iter().all(|handle| handle.id() != current.id()) {
            known.push(current);
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.known().iter().map(|handle| handle.metrics().num_alive_tasks()).sum()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_runtime_is_counted_once_and_a_task_until_it_ends() {
        let runtimes = Runtimes::default();
        runtimes.add_current();
        runtimes.add_current();
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            tasks.spawn(std::future::pending::<()>());
        }
        assert_eq!(runtimes.alive(), 3);

        tasks.shutdown().await;

        assert_eq!(runtimes.alive(), 0);
    }
}
