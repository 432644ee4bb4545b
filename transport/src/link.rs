//! A link: one connection to a peer that is up, and what is known of it.
//!
//! Streams are opened on it and counted; [`crate::monitor`] judges it; [`crate::peers`] chooses among
//! the links of a peer. A link is only made after both ends greeted each other, so whoever holds one
//! holds an authenticated peer.

mod echo;
mod flow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quinn::VarInt;
use sinew_transport_core::Code;
use sinew_transport_core::ids::{NodeName, Revision};
use sinew_transport_core::link::{LinkEstimator, Verdict};
use sinew_transport_core::wire::{ECHO, Hello};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::lifetime::{Age, Fingerprint, Lifetime};
use crate::quic::{CREDIT_MAX, STREAMS_AT_FIRST};
use crate::stream::StreamError;
use crate::validity::Trust;

pub(crate) use echo::Echoes;
pub use flow::{Stream, StreamGuard};

/// How long after its last use a peer is kept warm.
const WARM_FOR_US: u64 = 10_000_000;
/// Keep-alive to a peer that was used lately, so that its silence is noticed before the next use.
pub(crate) const KEEP_ALIVE_WARM: Duration = Duration::from_millis(250);
/// Keep-alive to the others: 31 microseconds of CPU per peer and side every time.
pub(crate) const KEEP_ALIVE_COLD: Duration = Duration::from_secs(5);

/// What makes a link, beside its connection.
pub(crate) struct Birth {
    pub(crate) peer: NodeName,
    pub(crate) hello: Hello,
    pub(crate) lane: u16,
    pub(crate) shard: u16,
    pub(crate) dialled_here: bool,
    pub(crate) estimator: Arc<LinkEstimator>,
    pub(crate) clock: Clock,
    pub(crate) wake: Arc<Notify>,
    pub(crate) lifetime: Lifetime,
}

/// One connection to a peer that is up.
#[derive(Debug)]
pub struct Link {
    connection: quinn::Connection,
    peer: NodeName,
    hello: Hello,
    lane: u16,
    shard: u16,
    dialled_here: bool,
    estimator: Arc<LinkEstimator>,
    clock: Clock,
    /// Wakes the shard's monitor when an idle link is put to use.
    wake: Arc<Notify>,
    /// Asks the link's own task for a keep-alive.
    pub(crate) ping: Notify,
    pub(crate) echoes: Echoes,
    streams: AtomicU32,
    used_us: AtomicU64,
    pub(crate) pinged_us: AtomicU64,
    frames_seen: AtomicU64,
    looked_us: AtomicU64,
    allowed: AtomicU32,
    incoming: AtomicU32,
    retired: AtomicBool,
    lifetime: Lifetime,
    verdict: AtomicU8,
    /// Since when it is suspect; 0 when it is not.
    suspected_us: AtomicU64,
    verdicts: watch::Sender<Verdict>,
}

impl Link {
    pub(crate) fn new(connection: quinn::Connection, birth: Birth) -> Self {
        let now = birth.clock.now_us();
        birth.estimator.on_heard(now, 0);
        Self {
            connection,
            peer: birth.peer,
            hello: birth.hello,
            lane: birth.lane,
            shard: birth.shard,
            dialled_here: birth.dialled_here,
            estimator: birth.estimator,
            clock: birth.clock,
            wake: birth.wake,
            ping: Notify::new(),
            echoes: Echoes::new(birth.clock),
            streams: AtomicU32::new(0),
            used_us: AtomicU64::new(0),
            pinged_us: AtomicU64::new(now),
            frames_seen: AtomicU64::new(0),
            looked_us: AtomicU64::new(now),
            allowed: AtomicU32::new(STREAMS_AT_FIRST),
            incoming: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            lifetime: birth.lifetime,
            verdict: AtomicU8::new(Verdict::Alive as u8),
            suspected_us: AtomicU64::new(0),
            verdicts: watch::Sender::new(Verdict::Alive),
        }
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> &NodeName {
        &self.peer
    }

    /// The number of this connection between the two nodes.
    #[must_use]
    pub fn lane(&self) -> u16 {
        self.lane
    }

    /// The shard here that owns the connection.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// The run of the other end's program.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.hello.boot
    }

    /// The revision that the other end had when it greeted.
    #[must_use]
    pub fn greeted_revision(&self) -> Revision {
        self.hello.revision
    }

    pub(crate) fn dialled_here(&self) -> bool {
        self.dialled_here
    }

    /// Where the other end is.
    #[must_use]
    pub fn remote(&self) -> std::net::SocketAddr {
        self.connection.remote_address()
    }

    /// Opens a stream. Waits while the peer allows no more.
    ///
    /// # Errors
    /// [`StreamError::Lost`] when the connection is gone.
    pub async fn open(self: &Arc<Self>) -> Result<Stream, StreamError> {
        let guard = StreamGuard::new(self);
        let opened = self.connection.open_bi().await.map_err(|e| StreamError::Lost(e.to_string()))?;
        Ok(Stream::new(opened, guard))
    }

    /// The next stream that the peer opens, and room for more when it uses up what it may.
    pub(crate) async fn accept(self: &Arc<Self>) -> Result<Stream, quinn::ConnectionError> {
        let opened = self.connection.accept_bi().await?;
        let mut guard = StreamGuard::new(self);
        guard.incoming = true;
        let incoming = self.incoming.fetch_add(1, Relaxed) + 1;
        let allowed = self.allowed.load(Relaxed);
        if incoming * 2 > allowed && allowed < CREDIT_MAX {
            let more = (allowed * 2).min(CREDIT_MAX);
            self.allowed.store(more, Relaxed);
            self.connection.set_max_concurrent_bi_streams(VarInt::from_u32(more));
        }
        Ok(Stream::new(opened, guard))
    }

    /// Streams in progress, both ways.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams.load(Relaxed)
    }

    /// Those of them that the peer opened.
    pub(crate) fn incoming(&self) -> u32 {
        self.incoming.load(Relaxed)
    }

    /// Whether new streams may be picked for it.
    #[must_use]
    pub fn usable(&self) -> bool {
        if self.retired.load(Relaxed) || self.connection.close_reason().is_some() {
            return false;
        }
        // The monitor's last word, unless an answer came since.
        self.verdict.load(Relaxed) < Verdict::Suspect as u8 || self.judge(Duration::MAX) < Verdict::Suspect
    }

    /// Whether payload may ride along with a preamble.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.estimator.fresh(self.clock.now_us())
    }

    /// The smoothed round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Whether the other end answers [`Link::echo`]; earlier versions do not.
    #[must_use]
    pub fn echoes(&self) -> bool {
        self.hello.capabilities.iter().any(|can| can == ECHO)
    }

    /// The version of the other end's program.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.hello.version
    }

    /// Asks the program at the other end for a sign of life, and measures how long that takes; none when it says
    /// nothing for `patience`. One question at a time is on its way: others wait for their turn first.
    pub async fn echo(&self, patience: Duration) -> Option<Duration> {
        self.echoes.ask(patience).await
    }

    /// What the transport counted.
    #[must_use]
    pub fn stats(&self) -> quinn::ConnectionStats {
        self.connection.stats()
    }

    /// Waits until it is suspect or dead. The monitor's last word does not count when an answer came since, as for
    /// picks: otherwise a link would be picked and left in a circle until the next look.
    pub async fn suspected(&self) {
        let mut verdicts = self.verdicts.subscribe();
        while verdicts.wait_for(|verdict| *verdict >= Verdict::Suspect).await.is_ok() && self.usable() {
            if verdicts.changed().await.is_err() {
                break;
            }
        }
    }

    /// Waits until it is neither.
    pub(crate) async fn relieved(&self) {
        let mut verdicts = self.verdicts.subscribe();
        let _ = verdicts.wait_for(|verdict| *verdict < Verdict::Suspect).await;
    }

    /// The verdict of the last look.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        *self.verdicts.borrow()
    }

    pub(crate) fn judge(&self, dead_after: Duration) -> Verdict {
        let now_us = self.clock.now_us();
        let verdict = self.estimator.verdict(now_us, self.streams() > 0, dead_after);
        // Only an answer clears a suspicion: that its streams have left, and nothing urges any more, does not.
        let suspected_us = self.suspected_us.load(Relaxed);
        let silent =
            self.estimator.silent_for(now_us) >= Duration::from_micros(now_us.saturating_sub(suspected_us));
        if suspected_us > 0 && silent { verdict.max(Verdict::Suspect) } else { verdict }
    }

    /// Takes a new verdict; true when it differs from the one before.
    pub(crate) fn settle(&self, verdict: Verdict) -> bool {
        let suspect = verdict >= Verdict::Suspect;
        let since = self.suspected_us.load(Relaxed);
        if suspect != (since > 0) {
            self.suspected_us.store(if suspect { self.clock.now_us() } else { 0 }, Relaxed);
        }
        self.verdict.store(verdict as u8, Relaxed);
        self.verdicts.send_if_modified(|old| std::mem::replace(old, verdict) != verdict)
    }

    /// Whether anything waits for an answer.
    pub(crate) fn waiting(&self) -> bool {
        self.estimator.unanswered_for(self.clock.now_us()).is_some()
    }

    /// Looks for packets that the tap can't see: those that brought data and acknowledged nothing.
    pub(crate) fn look_for_arrivals(&self) {
        let frames = received_frames(&self.connection.stats().frame_rx);
        // They arrived at some time since the last look; nothing later than that look is proven.
        let since = self.looked_us.swap(self.clock.now_us(), Relaxed);
        if self.frames_seen.swap(frames, Relaxed) != frames {
            self.estimator.on_heard_since(since);
        }
    }

    /// Whether a keep-alive is due.
    pub(crate) fn ping_due(&self) -> bool {
        let now = self.clock.now_us();
        let used = self.streams() > 0 || now.saturating_sub(self.used_us.load(Relaxed)) < WARM_FOR_US;
        let warm = used && self.used_us.load(Relaxed) > 0;
        let interval = if warm || self.waiting() { KEEP_ALIVE_WARM } else { KEEP_ALIVE_COLD };
        let us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        now.saturating_sub(self.pinged_us.load(Relaxed)) >= us
            && (self.estimator.silent_for(now) >= interval || self.waiting())
    }

    pub(crate) fn pinged(&self) {
        self.pinged_us.store(self.clock.now_us(), Relaxed);
    }

    /// Takes no new streams from here on: another connection with this peer took over.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.lifetime.was_replaced();
    }

    /// The end of the certificates that vouch for the connection, seconds since 1970.
    #[must_use]
    pub fn vouched_until(&self) -> u64 {
        self.lifetime.until()
    }

    /// Whether another connection should take over.
    pub(crate) fn is_due(&self) -> bool {
        self.lifetime.is_due()
    }

    /// Waits until another connection should take over, or did.
    pub(crate) async fn turned(&self) {
        self.lifetime.turned().await;
    }

    /// Compares the end of its certificates with the clock.
    pub(crate) fn age(&self, now: Duration, trust: &Trust) -> Age {
        self.lifetime.look(now, trust)
    }

    /// What names the connection to its other end.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.lifetime.fingerprint
    }

    /// Lets an older connection live on if both ends know it by this one's greeting.
    pub(crate) fn vouch_for(&self, older: &Self) {
        if older.fingerprint().is_some_and(|fingerprint| fingerprint.is_in(&self.hello)) {
            older.lifetime.vouch(self.vouched_until());
        }
    }

    /// A number that tells this connection from any other of its shard, for the log.
    #[must_use]
    pub fn number(&self) -> usize {
        self.connection.stable_id()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    pub(crate) fn retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Ends the connection and every stream on it.
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(Code::Broken.number()), reason.as_bytes());
    }

    /// Waits until the connection is gone, and says why.
    pub async fn closed(&self) -> String {
        self.connection.closed().await.to_string()
    }

    fn begin_use(&self) {
        self.used_us.store(self.clock.now_us(), Relaxed);
        if self.streams.fetch_add(1, Relaxed) == 0 {
            self.wake.notify_one();
        }
    }

    fn end_use(&self, incoming: bool) {
        self.used_us.store(self.clock.now_us(), Relaxed);
        self.streams.fetch_sub(1, Relaxed);
        if incoming {
            self.incoming.fetch_sub(1, Relaxed);
        }
    }
}

/// Frames that only an authenticated packet can have brought.
fn received_frames(frames: &quinn::FrameStats) -> u64 {
    frames.acks
        + frames.stream
        + frames.ping
        + frames.datagram
        + frames.reset_stream
        + frames.stop_sending
        + frames.max_data
        + frames.max_stream_data
        + frames.max_streams_bidi
        + frames.new_connection_id
}
