//! The node agent: carries the traffic of a machine's services through the mesh.
//!
//! A byte's way: an application's socket → [`outbound`] accepts and hands the connection to a shard → an
//! endpoint is picked (sinew-node-core) → a stream on a link (sinew-transport) with a preamble → [`inbound`]
//! on the other node → verdict and local socket ([`local`], found by [`hosting`]) → the service. Payload is touched by [`copy`]
//! only. One `Record` per connection, ended exactly once, feeds metrics and access log; the balancer is
//! fed by [`turns`] when things happen.
//!
//! [`tells`] carries between nodes what comes and goes behind each.
//!
//! [`control`] keeps the session with a controller and swaps the view; it runs beside the traffic, never
//! in its way; [`saved`] keeps the last snapshot for the next start;
//! [`reload`] takes a configuration that was read again; [`drain`] ends the node when nothing runs any more.
//! [`run()`] is the story of the whole node.

mod access;
mod addresses;
mod admin;
mod app;
mod control;
mod copy;
mod drain;
mod hosting;
mod identity;
mod inbound;
mod listeners;
mod local;
mod metrics;
mod outbound;
mod plane;
mod reach;
mod reload;
mod renewal;
mod run;
mod saved;
mod stalls;
mod state;
mod tasks;
mod tells;
mod turns;

pub use drain::Stop;
pub use identity::IdentityError;
pub use reload::Reloads;
pub use run::{RunError, default_shards, run, run_reloading};
pub use state::StateError;
