//! Authenticated QUIC between the machines of a mesh: connections that know who is at the other end,
//! streams that never end by accident, and links that are judged by what they answer.
//!
//! - [`runtime`]: the seam to the world; [`os`] is the real one.
//! - [`tls`], [`keyring`], [`verify`], [`validity`]: who we are, who is let in, and for how long.
//! - [`session`]: framed sessions between a node and a controller.
//! - [`shard`], [`link`], [`peers`]: the data plane: one socket, one connection, who is reached how.
//! - [`stream`]: the two halves of a stream. [`tell`]: who serves them, and what peers tell each other beside.
//!
//! Every packet goes through [`socket`]; every acknowledgement through the congestion controller's tap.

pub mod clock;
mod dial;
mod greet;
pub mod http;
pub mod keyring;
mod lifetime;
pub mod link;
mod log_limit;
mod monitor;
pub mod os;
pub mod peers;
mod quic;
pub mod runtime;
pub mod session;
pub mod shard;
pub mod socket;
pub mod stream;
mod tap;
pub mod tell;
pub mod tls;
pub mod validity;
pub mod verify;

pub use clock::Clock;
pub use keyring::Keyring;
pub use link::{Link, Stream};
pub use log_limit::LogLimit;
pub use os::OsRuntime;
pub use peers::{Peers, Reach, Target};
pub use quic::{MTU_MAX, ResetKeys, STREAM_WINDOW};
pub use runtime::{Access, AppArrival, AppListener, AppStream, BoxFuture, Runtime, ShardHost};
pub use session::{Arrival, Session, SessionListener};
pub use shard::{Common, Shard};
pub use stream::{RecvStream, SendStream, StreamError};
pub use tell::{StreamHandler, Teller};
pub use tls::{Credentials, provider};
pub use validity::Trust;
