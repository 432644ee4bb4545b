//! What the mesh calls things and how they look on the wire: ids, identities, frames, codes, and the
//! estimator that judges a link.
//!
//! Everything here is pure. Time and facts come in as arguments; bytes, verdicts and deadlines go out.
//! Text and bytes from outside are parsed once, here, into types that are right by construction, so
//! that no other crate checks a name or a length again.
//!
//! - [`ids`]: names and numbers, each its own type.
//! - [`identity`]: who a certificate vouches for.
//! - [`wire`]: frames, and the only calls of bincode in the project.
//! - [`code`]: the numbers on RESET_STREAM and STOP_SENDING, and what each proves.
//! - [`runs`]: which run of a node's program is the newest.
//! - [`refusals`]: what is refused and counted, by name, and what to do.
//! - [`link`]: round trips, silence, and the verdicts *suspect* and *dead*.

pub mod code;
pub mod identity;
pub mod ids;
pub mod link;
pub mod refusals;
pub mod runs;
mod schema;
pub mod wire;

pub use code::Code;
pub use identity::Identity;
pub use ids::{EndpointId, Namespace, NodeName, Revision, ServiceName, TrustDomain, Zone};
