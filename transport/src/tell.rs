//! What the owner of a shard brings to its links: who serves the streams that peers open, and what is told to peers
//! and heard from them on the first stream of a link.
//!
//! The transport carries tells and knows nothing of what they say. A tell is a skippable frame, at most
//! [`TELL_MAX`] long.

use sinew_transport_core::Code;
use sinew_transport_core::wire::Malformed;

use crate::link::{Link, Stream};
use crate::runtime::BoxFuture;

/// The longest tell that is read: with one of it in hand for each link, a thousand peers take 64 MiB at worst.
pub const TELL_MAX: u32 = 64 * 1024;

/// Who takes the streams that peers open, and what they tell.
pub trait StreamHandler: Send + Sync + 'static {
    /// Serves one stream to its end.
    fn handle(&self, stream: Stream) -> BoxFuture<'static, ()>;

    /// Told when a stream of the peer was refused before anybody took it.
    fn on_refused(&self, _link: &Link, _code: Code) {}

    /// What a new link is told; nothing, unless there is something to say.
    fn teller(&self, _link: &Link) -> Box<dyn Teller> {
        Box::new(Silent)
    }

    /// Takes a tell of the peer of `link`; the next one is read when this one is taken. Kinds that are not known are
    /// skipped.
    ///
    /// # Errors
    /// [`Malformed`] ends the link.
    fn hear<'a>(
        &'a self,
        _link: &'a Link,
        _kind: u16,
        _payload: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), Malformed>> {
        Box::pin(async { Ok(()) })
    }
}

/// What one link is told, from its beginning to its end.
pub trait Teller: Send {
    /// The next frames, waited for. Cancel-safe: nothing is lost.
    fn next(&mut self) -> BoxFuture<'_, Vec<u8>>;
}

/// Never tells anything.
struct Silent;

impl Teller for Silent {
    fn next(&mut self) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(std::future::pending())
    }
}
