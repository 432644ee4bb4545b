//! Kept connections: requests take turns on them, one at a time on each.
//!
//! A connection that broke is opened again by the next request that is due on it.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::request::{connect, exchange, finish};
use super::{Context, Due, MAX_AT_ONCE};
use crate::record::{Outcome, Sample};

/// All kept connections of one load.
pub(super) struct KeptConnections {
    context: Arc<Context>,
    queues: Vec<mpsc::Sender<Due>>,
    next: usize,
    not_sent: Vec<Sample>,
    tasks: JoinSet<Vec<Sample>>,
}

impl KeptConnections {
    pub(super) fn new(count: u16, context: &Arc<Context>) -> Self {
        let mut tasks = JoinSet::new();
        // Requests that wait for the one before them, on all connections together.
        let waiting = (MAX_AT_ONCE / usize::from(count)).max(1);
        let queues = (0..count).map(|_| {
            let (sender, queue) = mpsc::channel(waiting);
            tasks.spawn(serve(context.clone(), queue));
            sender
        });
        let queues = queues.collect();
        Self { context: context.clone(), queues, next: 0, not_sent: Vec::new(), tasks }
    }

    /// Gives a request to the connection whose turn it is.
    pub(super) fn hand_over(&mut self, due: Due) {
        let queue = &self.queues[self.next];
        self.next = (self.next + 1) % self.queues.len();
        if queue.try_send(due).is_err() {
            self.not_sent.push(self.context.not_sent(due));
        }
    }

    /// Waits until every request has ended.
    pub(super) async fn finish(mut self) -> Vec<Sample> {
        self.queues.clear();
        let mut samples = self.not_sent;
        while let Some(ended) = self.tasks.join_next().await {
            samples.extend(ended.unwrap_or_default());
        }
        samples
    }
}

/// One connection's requests, one after the other.
async fn serve(context: Arc<Context>, mut queue: mpsc::Receiver<Due>) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut open: Option<TcpStream> = None;
    while let Some(due) = queue.recv().await {
        let mut sample = context.begin(due, open.is_none());
        let life = async {
            let mut stream = match open.take() {
                Some(stream) => stream,
                None => connect(&context, &mut sample).await?,
            };
            sample.local = stream.local_addr().ok();
            exchange(&context, &mut stream, &mut sample).await.map(|()| stream)
        };
        let outcome = match timeout_at(due.at + context.timeout, life).await {
            Ok(Ok(stream)) => {
                open = Some(stream);
                Outcome::Ok
            }
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::TimedOut,
        };
        finish(&context, &mut sample, outcome);
        samples.push(sample);
    }
    samples
}
