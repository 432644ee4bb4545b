//! The access log: one line a connection, written by a task of its own so that traffic never waits for a
//! disk. What does not fit its queue is dropped and counted.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use sinew_node_core::Record;
use sinew_transport::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Lines that wait to be written: half a second at 30,000 connections/s.
const QUEUE_MAX: usize = 16 * 1024;

/// Lines that are written at once.
const BATCH_MAX: usize = 256;

/// Where ended connections are written.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    queue: Option<mpsc::Sender<Record>>,
    metrics: Arc<Metrics>,
}

/// Takes the lines from the queue.
pub(crate) struct AccessWriter {
    records: mpsc::Receiver<Record>,
    to: Output,
}

enum Output {
    /// The program's own log, target `access`.
    Log,
    File(Box<dyn Write + Send>),
}

impl AccessLog {
    /// Opens the log at `path`; `-` stands for the program's own log, none for no log.
    pub(crate) fn open(
        path: Option<&Path>,
        runtime: &Arc<dyn Runtime>,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<(Self, Option<AccessWriter>)> {
        let metrics = Arc::clone(metrics);
        let Some(path) = path else { return Ok((Self { queue: None, metrics }, None)) };
        let to = if path == Path::new("-") { Output::Log } else { Output::File(runtime.append(path)?) };
        let (queue, records) = mpsc::channel(QUEUE_MAX);
        Ok((Self { queue: Some(queue), metrics }, Some(AccessWriter { records, to })))
    }

    /// Takes a line; never waits.
    pub(crate) fn write(&self, record: Record) {
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(record).is_err()) {
            self.metrics.access_log_dropped.inc();
        }
    }
}

impl AccessWriter {
    /// Writes until `last` says that no more will come, and then what is left.
    pub(crate) async fn run(mut self, last: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut lines = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = self.records.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
                () = last.cancelled(), if !self.records.is_closed() => self.records.close(),
            }
            for record in batch.drain(..) {
                // Plain data: it fails only without memory.
                let _ = serde_json::to_writer(&mut lines, &record);
                lines.push(b'\n');
            }
            match &mut self.to {
                Output::Log => {
                    for line in String::from_utf8_lossy(&lines).lines() {
                        tracing::info!(target: "access", "{line}");
                    }
                }
                Output::File(file) => {
                    if let Err(error) = file.write_all(&lines) {
                        tracing::warn!(%error, "the access log can't be written");
                    }
                }
            }
            lines.clear();
        }
    }
}
