//! Who is who while time passes: certificates that end, are renewed, are copied, and controllers that move.
//!
//! - [`rotation`]: certificates of ten seconds under load.
//! - [`expiry`]: certificates that end while no controller lives, and nodes that come back after that.
//! - [`copies`]: one state directory used twice.
//! - [`controllers`]: several addresses of controllers, some of them dead.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod connections;
mod controllers;
mod copies;
mod expiry;
mod rotation;
#[path = "../support/mod.rs"]
mod support;
