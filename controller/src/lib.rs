//! The controller: gives identities, keeps who hosts what, and tells each node what it needs to know.
//!
//! What is true and what follows from it is decided in `sinew-controller-core`; here are the sockets, the
//! files, the clock and the keys around it.
//!
//! - [`config`]: `controller.toml`, all mistakes at once.
//! - [`run()`]: a controller's life, from its state directory to its last farewell.
//! - `authority`: the CA of the trust domain. `ledger`: tokens, grants and resources, on disk before they count.
//!   `declare`: what an operator applies, from the check to the disk.
//! - `accept` → `join` | `control`: what arrives on the UDP socket, and the story of each.
//! - `api`: the HTTP side, for people and programs with the admin token.
//! - [`store`]: what must not be forgotten, as etcd would keep it.
//! - `hub`: what all of these share. `metrics`: what they count.
//!
//! Nothing here is in the way of traffic: agents go on with their last snapshot when this process is gone.

mod accept;
mod api;
mod authority;
pub mod config;
mod control;
mod credential;
mod declare;
mod files;
mod hub;
mod join;
mod ledger;
mod metrics;
mod renew;
mod run;
pub mod store;

pub use api::document as api_document;
pub use authority::{AuthorityError, is_usable_request};
pub use config::Config;
pub use files::StateError;
pub use run::{Ports, Reloads, RunError, run, run_reloading};
