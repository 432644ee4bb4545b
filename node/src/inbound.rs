//! Mesh → service: the life of each stream that a peer opens.
//!
//! The peer's node is known by its certificate before a byte of the preamble is read. Whatever else the
//! preamble says is judged by this node's own snapshot and table ([`crate::local`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sinew_node_core::{Direction, Outcome, Record};
use sinew_transport::{BoxFuture, Link, Stream, StreamError, StreamHandler, Teller};
use sinew_transport_core::Code;
use sinew_transport_core::ids::EndpointId;
use sinew_transport_core::wire::{Accepted, Malformed, Preamble};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::copy::{Meter, Sink, Source, join};
use crate::local::{self, NotServed};
use crate::plane::Plane;
use crate::tells::{self, NodeTeller};

/// How long a stream may take to say what it is.
const PREAMBLE_TIME: Duration = Duration::from_secs(5);

/// Takes the streams that peers open.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    pub(crate) plane: Arc<Plane>,
    pub(crate) stop: CancellationToken,
}

impl StreamHandler for Inbound {
    fn handle(&self, stream: Stream) -> BoxFuture<'static, ()> {
        let inbound = self.clone();
        Box::pin(async move { inbound.live(stream).await })
    }

    fn on_refused(&self, link: &Link, code: Code) {
        self.plane.metrics.refused_stream(code);
        if let Some(withheld) = self.plane.refused_streams.admit() {
            tracing::warn!(peer = %link.peer(), %code, withheld, "a peer has more streams open than it may; spread its calls over more nodes");
        }
    }

    fn teller(&self, link: &Link) -> Box<dyn Teller> {
        Box::new(NodeTeller::new(&self.plane, link.peer()))
    }

    fn hear<'a>(
        &'a self,
        link: &'a Link,
        kind: u16,
        payload: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), Malformed>> {
        Box::pin(tells::hear(&self.plane, link, kind, payload))
    }
}

impl Inbound {
    /// From opened to recorded.
    async fn live(self, stream: Stream) {
        let plane = &self.plane;
        let Stream { send, mut receive, guard } = stream;
        let begun_us = plane.clock.now_us();
        let mut record = Record::begin(Direction::Inbound, plane.unix_us());
        record.caller = Some(guard.link().peer().clone());
        let preamble = timeout(PREAMBLE_TIME, receive.read_frame::<Preamble>()).await;
        let (mut sink, mut source) = (Sink::Stream(send), Source::Stream(receive));
        let (outcome, reason) = match preamble {
            Ok(Ok(preamble)) => {
                describe(&mut record, plane, &preamble);
                plane.metrics.opened(&record);
                let ended = tokio::select! {
                    biased;
                    ended = self.carry(&preamble, &mut record, &mut sink, &mut source) => ended,
                    () = self.stop.cancelled() => {
                        end(&mut sink, &mut source, Code::Cut);
                        plane.metrics.cut("stopping");
                        (Outcome::Cut, "the node stops".into())
                    }
                };
                plane.metrics.closed_after(&record, ended.0);
                ended
            }
            unread => self.not_read(unread.ok().and_then(Result::err), &mut sink, &mut source),
        };
        record.end(outcome, reason, plane.clock.now_us() - begun_us);
        plane.access.write(record);
    }

    /// A stream whose first frame could not be read: nothing of it was delivered.
    fn not_read(
        &self,
        error: Option<StreamError>,
        sink: &mut Sink,
        source: &mut Source,
    ) -> (Outcome, String) {
        match error {
            Some(error @ (StreamError::Lost(_) | StreamError::Reset(_))) => {
                (error.code().into(), error.to_string())
            }
            malformed => {
                let reason =
                    malformed.map_or_else(|| format!("no preamble in {PREAMBLE_TIME:?}"), |e| e.to_string());
                end(sink, source, Code::BadPreamble);
                self.plane.metrics.refused_stream(Code::BadPreamble);
                (Outcome::BadPreamble, reason)
            }
        }
    }

    /// Connects to the service, says so, and copies until the end.
    async fn carry(
        &self,
        preamble: &Preamble,
        record: &mut Record,
        sink: &mut Sink,
        source: &mut Source,
    ) -> (Outcome, String) {
        let plane = &self.plane;
        let begun = Instant::now();
        let caller = record.caller.clone().unwrap_or_else(|| plane.me.clone());
        let served = tokio::select! {
            biased;
            // Until the service has it, it may still go elsewhere.
            () = self.stop.cancelled() => Err(NotServed { code: Code::Draining, reason: "the node stops".into() }),
            served = local::serve(plane, &caller, preamble) => served,
        };
        let (service, serving) = match served {
            Ok(served) => served,
            Err(not) => {
                end(sink, source, not.code);
                plane.metrics.refused_stream(not.code);
                if let Some(withheld) = plane.refused_streams.admit() {
                    tracing::info!(%caller, source = %preamble.source, destination = %preamble.destination, code = %not.code, reason = not.reason, withheld, "stream refused");
                }
                return (not.code.into(), not.reason);
            }
        };
        let (app, mut reader, mut writer) = App::new(service);
        let accepted = Accepted {
            endpoint: preamble.endpoint,
            connect_us: u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX),
            load: serving.load(),
            ext: vec![],
        };
        let Sink::Stream(send) = sink else { return (Outcome::Broken, "not a stream".into()) };
        if let Err(error) = send.write_frame(&accepted, Bytes::new()).await {
            return (error.code().into(), error.to_string());
        }
        let on_answer = || serving.on_answer();
        let meter = Meter::new(plane, serving.idle_timeout(), &on_answer, &|| {});
        let joined = join((&mut reader, &mut writer), (sink, source), &meter).await;
        record.bytes_up = meter.bytes_to_app();
        record.bytes_down = meter.bytes_from_app();
        match joined {
            Ok(()) => {
                app.close_cleanly();
                (Outcome::Ok, String::new())
            }
            Err(broken) => (broken.outcome(), broken.reason()),
        }
    }
}

/// Ends both directions with a code.
fn end(sink: &mut Sink, source: &mut Source, code: Code) {
    sink.reset(code);
    source.stop(code);
}

fn describe(record: &mut Record, plane: &Plane, preamble: &Preamble) {
    record.source = Some(preamble.source.clone());
    record.destination = Some(preamble.destination.clone());
    record.endpoint = Some(EndpointId { node: plane.me.clone(), slot: preamble.endpoint });
    record.client = preamble.client;
    record.attempts = u32::from(preamble.attempt) + 1;
}
