//! Shards as tasks.
//!
//! In the program each shard has a thread; here all of them, and the drivers beside them, are tasks of one
//! runtime, held here so that they can be ended from outside.

use std::io;
use std::sync::{Mutex, PoisonError};

use sinew_transport::{BoxFuture, ShardHost};
use tokio::task::{JoinError, JoinSet};

/// Runs what it is given as tasks of the tokio runtime in which that happens. Dropping it ends them.
#[derive(Debug, Default)]
pub struct TaskHost(Mutex<JoinSet<()>>);

impl TaskHost {
    /// Runs something until it ends or is ended.
    ///
    /// # Panics
    /// When something that ran here before has panicked: a test must not pass over it.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.with(|tasks| {
            while let Some(ended) = tasks.try_join_next() {
                pass_on(ended);
            }
            tasks.spawn(task);
        });
    }

    /// Ends all that runs, where it waits. Tasks that were made by what ran here and are held nowhere else
    /// end with it; those that nobody owns do not.
    pub fn end(&self) {
        self.with(JoinSet::abort_all);
    }

    /// Waits until all that runs has ended.
    ///
    /// # Panics
    /// When one of them has panicked.
    pub async fn ended(&self) {
        while let Some(ended) = std::future::poll_fn(|cx| self.with(|tasks| tasks.poll_join_next(cx))).await {
            pass_on(ended);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut JoinSet<()>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pass_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl ShardHost for TaskHost {
    fn start(&self, _: String, shard: BoxFuture<'static, ()>) -> io::Result<()> {
        self.run(shard);
        Ok(())
    }

    /// One: more shards would only take turns.
    fn parallelism(&self) -> usize {
        1
    }
}
