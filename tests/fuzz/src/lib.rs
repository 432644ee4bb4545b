//! What must hold for any bytes from outside: one function for each parser.
//!
//! A function takes any bytes and panics when a promise is broken: what is read reads back as it is written, limits
//! hold, a mistake has its place in the text, a refused message changes nothing. It answers whether the bytes were
//! taken, so that a corpus can be held to contain both kinds.
//!
//! libFuzzer searches (`just fuzz TARGET`, one program for each function in `targets/`), `cargo test` replays what
//! it found (`corpus/`, a folder for each function). What a function finds gets a test beside the parser.
//!
//! - [`wire`]: frames, greeting, preamble. [`control`]: the messages of control sessions and joins.
//! - [`session`]: a whole history of control messages at a controller.
//! - [`snapshots`]: snapshots, deltas, and what peers tell.
//! - [`files`]: what people write. [`texts`]: tokens, the bodies and heads of HTTP, names.
//! - [`certificates`]: what a stranger shows.

pub mod certificates;
pub mod control;
pub mod files;
pub mod session;
pub mod snapshots;
pub mod texts;
pub mod wire;

/// A parser under test: whether it took the bytes.
pub type Target = fn(&[u8]) -> bool;

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 17] = [
    ("frames", wire::frames),
    ("hello", wire::hello),
    ("preamble", wire::preamble),
    ("control", control::control),
    ("join", control::join),
    ("session", session::session),
    ("snapshot", snapshots::snapshot),
    ("delta", snapshots::delta),
    ("tell", snapshots::tell),
    ("node_config", files::node_config),
    ("controller_config", files::controller_config),
    ("scenario", files::scenario),
    ("resources", files::resources),
    ("token", texts::token),
    ("api", texts::api),
    ("http", texts::http),
    ("certificate", certificates::certificate),
];
