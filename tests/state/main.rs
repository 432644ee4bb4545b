//! Stories about state directories that are not what they should be: damaged, incomplete, read-only, full, somebody
//! else's, a newer program's, an older backup's.
//!
//! **The rule:** the program starts safely, or it ends at once and says which file, why, and what to do; and then
//! every file is what it was before. [`node`] and [`controller`] tell it of each; [`place`] makes the
//! directories.

#![allow(clippy::disallowed_methods, reason = "stories about real processes in real time")]
#![allow(clippy::unwrap_used, reason = "a story that unwraps fails there")]

mod controller;
mod full;
mod node;
mod place;
#[path = "../support/mod.rs"]
mod support;
