//! The life of a connection with the endpoint that accepted it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use sinew_node_core::{Outcome, Record};
use sinew_transport::link::StreamGuard;

use crate::app::{AppReader, AppWriter};
use crate::copy::{Meter, Sink, Source, join};
use crate::local::LocalService;
use crate::plane::Plane;
use crate::turns::EndpointTurns;

/// A connection with an endpoint that accepted it.
pub(super) struct Connected {
    pub(super) sink: Sink,
    pub(super) source: Source,
    pub(super) turns: EndpointTurns,
    /// Payload handed over before the endpoint accepted.
    pub(super) handed_over: u64,
    pub(super) hold: Hold,
}

/// What lives as long as the connection.
pub(super) enum Hold {
    /// The link's count of streams.
    Stream(StreamGuard),
    /// The socket of a service on this node.
    Local(LocalService),
}

/// How the copy ended.
pub(super) enum Copied {
    /// For good.
    Ended(Outcome, String),
    /// By the end of the peer, and before a byte had passed either way.
    Untouched(&'static str),
}

impl Connected {
    /// Copies until the end, and counts into the record.
    pub(super) async fn copy(
        mut self,
        plane: &Plane,
        record: &mut Record,
        reader: &mut AppReader,
        writer: &mut AppWriter,
    ) -> Copied {
        let (turns, hold) = (&self.turns, &self.hold);
        let on_from_app = || turns.on_up();
        let on_to_app = || {
            turns.on_down();
            if let Hold::Local(service) = hold {
                service.on_answer();
            }
        };
        let idle = match hold {
            // The other node looks after it.
            Hold::Stream(_) => None,
            Hold::Local(service) => service.idle_timeout(),
        };
        let meter = Meter::new(plane, idle, &on_from_app, &on_to_app);
        meter.begin_with(self.handed_over);
        let joined = {
            let joined = join((reader, writer), (&mut self.sink, &mut self.source), &meter);
            let forsaken = pin!(while_untouched(&meter, silence(&self.hold)));
            tokio::select! {
                biased;
                joined = joined => joined,
                () = forsaken => return Copied::Untouched("SUSPECT"),
            }
        };
        record.bytes_up = meter.bytes_from_app();
        record.bytes_down = meter.bytes_to_app();
        match joined {
            Ok(()) => {
                self.turns.on_end(Outcome::Ok);
                self.close_cleanly();
                Copied::Ended(Outcome::Ok, String::new())
            }
            Err(broken) => match (broken.peer_ended(), meter.touched.load(Relaxed)) {
                (Some(why), false) => Copied::Untouched(why),
                _ => {
                    self.turns.on_end(broken.outcome());
                    Copied::Ended(broken.outcome(), broken.reason())
                }
            },
        }
    }

    /// Both directions came to their clean end.
    fn close_cleanly(self) {
        match self.hold {
            Hold::Stream(guard) => drop(guard),
            Hold::Local(service) => service.close_cleanly(),
        }
    }
}

/// Waits for a future until the first byte has passed, and forever from then on: a connection in use pays
/// one load for it.
async fn while_untouched(meter: &Meter<'_>, waited_for: impl Future<Output = ()>) {
    let mut waited_for = pin!(waited_for);
    poll_fn(
        |context| {
            if meter.touched.load(Relaxed) { Poll::Pending } else { waited_for.as_mut().poll(context) }
        },
    )
    .await;
}

/// Waits until whoever has the connection falls silent.
async fn silence(hold: &Hold) {
    match hold {
        Hold::Stream(guard) => guard.link().suspected().await,
        Hold::Local(_) => std::future::pending().await,
    }
}
