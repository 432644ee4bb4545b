//! What stands behind this node: endpoints, where they listen, and whether they answer.
//!
//! - [`table`]: all of them by slot, wherever they were declared, and the version of it all.
//! - [`health`]: one endpoint's checks: when the next is due, and what its results mean.
//!
//! The driver asks [`Table::poll_checks`] when [`Table::poll_timeout`] says so, connects to what it is told,
//! and gives the [`Finding`]s back. Whoever must hear of a change compares the [`Table::version`] that it told
//! last, and sends [`changes`].

pub mod health;
pub mod table;

use std::collections::BTreeMap;

use sinew_api::hosting::Serve;

pub use health::{Checker, Finding};
pub use table::{Hosted, NotHosted, Origin, Table, Wanted};

/// What leads from one state of a node's endpoints to a later one, by slot; none: it is gone.
#[must_use]
pub fn changes(before: &BTreeMap<u16, Serve>, after: &BTreeMap<u16, Serve>) -> Vec<(u16, Option<Serve>)> {
    let gone = before.keys().filter(|slot| !after.contains_key(slot)).map(|slot| (*slot, None));
    let changed = after.iter().filter(|(slot, serve)| before.get(slot) != Some(serve));
    gone.chain(changed.map(|(slot, serve)| (*slot, Some(serve.clone())))).collect()
}
