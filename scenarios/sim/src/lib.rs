//! The simulation program: whole meshes in one process, in virtual time.
//!
//! Here lives the world that they run in: [`MemoryWorld`], a network without sockets on tokio's clock. Real
//! controllers, real agents and real quinn run in it unmodified, because all they ask of the world they
//! ask through [`sinew_transport::Runtime`]. With the clock paused (`start_paused`), a minute of the mesh
//! takes as long as its work takes to compute.
//!
//! - [`MemoryWorld`]: packets between hosts, their delay, and cutting a host off.
//! - [`MemoryHost`]: a machine with an address, ports and a disk. All of this outlives its programs.
//! - [`MemoryProgram`]: a running program on a host; this is the [`Runtime`](sinew_transport::Runtime) that a
//!   driver is given. [`MemoryProgram::kill`] is SIGKILL.
//! - [`TaskHost`]: shards, and whatever else runs, as tasks that can be ended from outside.
//!
//! What it does not do yet, and where it will be: seeded entropy (interposed in the program of this crate
//! and nowhere else) makes runs repeatable to the byte; loss, rate and partitions join the delay in
//! `world`; `main` reads scenario files for `sinew bench --mode sim`.

mod files;
mod host;
mod ports;
mod program;
mod tasks;
mod tcp;
mod udp;
mod world;

pub use host::MemoryHost;
pub use program::MemoryProgram;
pub use tasks::TaskHost;
pub use world::{MemoryWorld, Traffic};
