//! The contract between node and controller: what they say, and nothing of how either works.
//!
//! - [`join`]: the token that an operator carries, and the one exchange that turns it into a certificate.
//! - [`control`]: the messages of a control session.
//! - [`hosting`]: what stands behind a node, and whether it answers.
//! - [`snapshot`]: one node's whole configuration; [`delta`]: the difference between two.
//! - [`admin`]: what a node's admin listener shows and takes.
//! - [`status`]: what the controller's HTTP API shows; versioned JSON.
//! - [`apply`]: what the API takes and answers around resources.
//! - [`document`]: the reader of every TOML file that people write.
//! - [`resource`]: what an operator declares, and the difference between two states of it.
//! - [`weights`]: how much each endpoint should get of each caller's traffic, and why.
//! - [`secret`]: a text that never shows itself; [`sockets`]: which addresses exclude each other.
//!
//! Pure: no socket, no clock. Messages are frames ([`sinew_transport_core::wire`]); kinds 32 to 63 are
//! control, 64 to 95 join. Shipped payloads are frozen; a change is a new kind.

pub mod admin;
pub mod apply;
pub mod control;
pub mod delta;
pub mod document;
pub mod hosting;
pub mod join;
pub mod resource;
mod schema;
pub mod secret;
pub mod snapshot;
pub mod sockets;
pub mod status;
pub mod weights;

pub use delta::Delta;
pub use secret::Secret;
pub use snapshot::Snapshot;
