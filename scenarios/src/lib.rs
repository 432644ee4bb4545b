//! The scenario engine: topology, load, faults and expectations from one file, on real processes.
//!
//! A scenario is a rehearsal: it starts a mesh, lets applications talk through it, lets things go wrong
//! on time, and says whether what was expected held. The engine is a user of the mesh like any other: it
//! writes configuration files, starts the `sinew` program, talks through localhost ports, and reads what
//! nodes say about themselves. It decides nothing that a test would like to vary: facts are recorded
//! first and judged afterwards, by pure functions.
//!
//! A run, in the order of its modules:
//! - [`file`](mod@file): TOML in, a [`scenario::Scenario`] or every mistake out.
//! - [`mesh`], [`process`], [`demo`]: the processes: controller, nodes, demo services.
//! - [`load`]: requests at a fixed rate, each checked byte for byte.
//! - [`engine`]: the story of a run. Its result is a [`record::Recording`], joined with the mesh's own
//!   account in [`access`].
//! - [`judge`]: each expectation against the recording.
//! - [`report`], [`progress`]: what people and scripts get to see.

#![allow(
    clippy::disallowed_methods,
    reason = "the engine runs beside the mesh, on real time and real sockets; only the mesh is simulated"
)]

pub mod access;
pub mod demo;
pub mod engine;
pub mod file;
pub mod judge;
pub mod load;
pub mod mesh;
pub mod process;
pub mod progress;
pub mod record;
pub mod report;
pub mod scenario;
