//! What a controller knows and decides, without a socket, a file or a clock.
//!
//! - [`mesh`]: who is granted what, who hosts and calls what, what each node must be told
//!   next, and all of it as the API shows it.
//! - [`declared`]: what an operator declared, arranged by node.
//! - [`registration`]: what a node declares, checked once at the edge, all mistakes at once.
//! - [`resources`]: what an operator declares, read and checked whole.
//! - [`tokens`]: the one-use rights to join.
//! - [`weights`]: how much of each caller's traffic each endpoint should get.
//!
//! A registration's way: `Register` (wire) → [`registration::Registration`] (right by construction) →
//! [`mesh::Mesh`] (one revision more, and a mark on every node that it concerns) → each session asks
//! [`mesh::Mesh::poll_turn`] what to do next → snapshot. Nothing is queued: a session that is slow finds
//! the newest state when it asks again.
//!
//! Time is an argument everywhere. Monotonic time is a [`std::time::Duration`] since an epoch of the
//! caller's choosing; wall time is in seconds since 1970.

pub mod declared;
pub mod mesh;
pub mod registration;
pub mod resources;
pub mod tokens;
pub mod weights;

pub use declared::Declared;
pub use mesh::{Answerer, Mesh, Push, SessionEnd, SessionId, Turn};
pub use registration::{Mistake, Registration};
pub use tokens::{Grant, Outcome, SecretHash, Tokens};
pub use weights::Weights;
