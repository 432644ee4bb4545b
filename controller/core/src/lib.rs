//! Mesh state, snapshots and tokens of a controller; pure.
