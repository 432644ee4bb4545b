//! What stands behind this node: endpoints, where they listen, and whether they answer.
//!
//! - [`table`]: all of them by slot, wherever they were declared, and the version of it all.
//! - [`health`]: one endpoint's checks: when the next is due, and what its results mean.
//!
//! The driver asks [`Table::poll_checks`] when [`Table::poll_timeout`] says so, connects to what it is told,
//! and gives the [`Finding`]s back. Whoever must hear of a change is sent [`Table::changes_since`] the
//! [`Table::version`] that it was told last.

pub mod health;
pub mod table;

pub use health::{Checker, Finding};
pub use sinew_api::admin::Origin;
pub use table::{Hosted, NotHosted, Table, Wanted};
