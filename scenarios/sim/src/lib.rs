//! The simulation program: whole meshes in one process, in virtual time.
