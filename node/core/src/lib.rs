//! What a node decides: which endpoint takes a connection, when one is left alone and tried again, who may
//! call what, and what the configuration says.
//!
//! Everything here is pure. Time comes in as `now_us`, microseconds since the process began, never 0;
//! randomness comes in as a generator. Facts go in, verdicts come out; the driver (`sinew-node`) owns
//! sockets and clocks. What shards share, [`balance::Load`] and [`breaker::Breaker`], are records of
//! atomics: every call is short, waits for nobody, and may come from any thread.
//!
//! Outbound, in the order in which a connection meets them:
//! - [`config`]: the file, checked; every mistake at once. [`source`]: for whom a listener speaks.
//! - [`view`]: the snapshot, compiled; keeps the records of endpoints that stay. [`overlay`]: what peers have told
//!   since it was made.
//! - [`admission`]: limits on what is in progress. [`stall`]: which connections are given up when readers do not read.
//! - [`mod@choose`]: two draws by weight ([`shares`]), the cheaper by [`balance`] taken, minus what [`breaker`]
//!   holds back.
//! - [`turns`]: when a turn of a connection ended, and how long it took.
//! - [`outcome`]: how a connection ended, and [`record`], its line in the access log.
//! - [`tally`]: what happened at each endpoint, and [`report`], what the controller is told of it.
//!
//! Inbound: [`hosting`], what stands behind this node and whether it answers, and [`verdict`]. Both: [`backoff`], for whatever is tried again.

pub mod admission;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod choose;
pub mod config;
pub mod hosting;
pub mod mechanisms;
pub mod outcome;
pub mod overlay;
pub mod record;
pub mod report;
pub mod shares;
pub mod source;
pub mod stall;
mod stamped;
pub mod tally;
pub mod turns;
pub mod verdict;
pub mod view;

pub use admission::{Guard, Limit, Refused};
pub use backoff::Backoff;
pub use balance::Load;
pub use breaker::{Breaker, BreakerState};
pub use choose::{Candidate, Unavailable, choose_by};
pub use config::{Config, LISTENER_CONNECTIONS, ListenConfig, ServeConfig, ServeLimits};
pub use mechanisms::{Mechanism, Mechanisms};
pub use outcome::Outcome;
pub use overlay::Overlay;
pub use record::{Attempt, Direction, Record};
pub use report::Reporter;
pub use shares::Shares;
pub use source::{NoSource, speaks_for};
pub use tally::Tally;
pub use turns::Turns;
pub use verdict::{Verdict, admit};
pub use view::{EndpointRecord, Rejected, ServiceView, View};
