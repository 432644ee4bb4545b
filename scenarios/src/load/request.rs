//! The life of one request, from connecting to the clean end, every byte checked.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Context, Due};
use crate::demo::frame::{Answer, Request};
use crate::record::{Outcome, Sample, parse_endpoint};

/// A request with a TCP connection of its own, which ends after it: ours first, then the service's.
pub(super) async fn on_new_connection(context: Arc<Context>, due: Due) -> Sample {
    let mut sample = context.begin(due, true);
    let deadline = due.at + context.timeout;
    let life = async {
        let mut stream = connect(&context, &mut sample).await?;
        exchange(&context, &mut stream, &mut sample).await?;
        end(&mut stream, &mut sample).await
    };
    let outcome = match timeout_at(deadline, life).await {
        Ok(Ok(())) => Outcome::Ok,
        Ok(Err(outcome)) => outcome,
        Err(_) => Outcome::TimedOut,
    };
    finish(&context, &mut sample, outcome);
    sample
}

/// Notes how and when a request ended. One that was answered ended with the last byte of its answer.
pub(super) fn finish(context: &Context, sample: &mut Sample, outcome: Outcome) {
    sample.outcome = outcome;
    if outcome != Outcome::Ok {
        sample.end = context.since_epoch(Instant::now());
    }
    context.count(sample);
}

/// A connection to the listener.
pub(super) async fn connect(context: &Context, sample: &mut Sample) -> Result<TcpStream, Outcome> {
    let stream = TcpStream::connect(context.target).await.map_err(|_| Outcome::NoConnection)?;
    sample.local = stream.local_addr().ok();
    stream.set_nodelay(true).map_err(|_| Outcome::NoConnection)?;
    Ok(stream)
}

/// Sends the request and checks its answer.
pub(super) async fn exchange(
    context: &Context,
    stream: &mut TcpStream,
    sample: &mut Sample,
) -> Result<(), Outcome> {
    let request = Request { id: sample.id, payload: context.payload(sample.id) };
    stream.write_all(&request.to_bytes()).await.map_err(|e| broken(&e))?;
    let answer = Answer::read(stream).await.map_err(|e| broken(&e))?;
    sample.end = context.since_epoch(Instant::now());
    sample.answered_by = parse_endpoint(&answer.name);
    sample.wrong_bytes = differing(&request.payload, &answer.payload);
    if answer.id == request.id && sample.answered_by.is_some() && sample.wrong_bytes == 0 {
        Ok(())
    } else {
        Err(Outcome::NotAnAnswer)
    }
}

/// Ends our side and waits for the other's end. Anything but a clean end is an error; bytes after the
/// answer are wrong.
async fn end(stream: &mut TcpStream, sample: &mut Sample) -> Result<(), Outcome> {
    stream.shutdown().await.map_err(|_| Outcome::UncleanEnd)?;
    let mut more = [0; 1024];
    match stream.read(&mut more).await {
        Ok(0) => Ok(()),
        Ok(count) => {
            sample.wrong_bytes += count as u64;
            Err(Outcome::NotAnAnswer)
        }
        Err(_) => Err(Outcome::UncleanEnd),
    }
}

fn broken(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Outcome::CutOff,
        io::ErrorKind::InvalidData => Outcome::NotAnAnswer,
        _ => Outcome::Reset,
    }
}

/// How many bytes differ, are missing or too many.
fn differing(sent: &[u8], came: &[u8]) -> u64 {
    let wrong = sent.iter().zip(came).filter(|(a, b)| a != b).count();
    (wrong + sent.len().abs_diff(came.len())) as u64
}
