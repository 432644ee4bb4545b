//! What the stories in memory are told with: a mesh, and applications beside it.

#![allow(dead_code, reason = "each test program uses its part of this")]

pub(crate) mod apps;
pub(crate) mod mesh;
