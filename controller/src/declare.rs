//! What an operator declares: checked against what is there, kept, and only then told to nodes.
//!
//! One at a time, from the check to the disk: whoever holds the ledger is the only one to write. When a step
//! fails, nothing has changed. Several files are read together, so that they may speak of each other.

use sinew_api::apply::{
    Applied, Apply, Delete, Document, DocumentMistakes, Effective, MESSAGE_MAX, Past, Refused,
};
use sinew_api::document::InvalidDocument;
use sinew_api::resource::{Change, ResourceKey, Resources};
use sinew_api::status::API_VERSION;
use sinew_controller_core::Declared;
use sinew_controller_core::resources::{Fault, File, Known, Unnamed, change, check, read};
use sinew_transport_core::ids::{NodeName, Revision};

use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::store::StoreError;

/// Why nothing was declared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDeclared {
    /// There are mistakes in the files.
    #[error("{}", .0.error)]
    Mistakes(Refused),
    /// What is to be deleted is not there.
    #[error("there is no {}; `sinew get` shows what there is", .0.join(", no "))]
    Missing(Vec<String>),
    /// Others need what is to be deleted.
    #[error("{}", .0.iter().map(told).collect::<Vec<_>>().join("\n"))]
    Needed(Vec<Fault>),
    /// The message is too long.
    #[error("the message has more than {MESSAGE_MAX} characters; say it shorter")]
    Message,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn told(fault: &Fault) -> String {
    format!("{}: {} ({})", fault.key, fault.message, fault.help)
}

/// A declaration that is on its way to the disk. Dropped without [`Pending::done`], it is given up.
struct Pending<'a> {
    hub: &'a Hub,
    done: bool,
}

impl Pending<'_> {
    fn done(mut self, declared: Declared) -> Revision {
        self.done = true;
        self.hub.change(|mesh| mesh.declare(declared))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.hub.change(|mesh| mesh.abandon());
        }
    }
}

impl Hub {
    /// Applies files, or says what applying them would change.
    pub(crate) async fn apply(&self, apply: Apply) -> Result<Applied, NotDeclared> {
        let mut ledger = self.ledger().await?;
        let unnamed = if apply.prune { Unnamed::Deleted } else { Unnamed::Kept };
        let known = Known { stored: ledger.resources(), tokens: ledger.grants() };
        let files: Vec<_> =
            apply.documents.iter().map(|Document { name, text }| File { name, text }).collect();
        let resources = read(&files, known, unnamed).map_err(|invalid| refused(&invalid))?;
        self.declare(&mut ledger, resources, apply.message, apply.dry_run).await
    }

    /// Deletes resources, or says what deleting them would change.
    pub(crate) async fn delete(&self, delete: Delete) -> Result<Applied, NotDeclared> {
        let mut ledger = self.ledger().await?;
        let mut resources = ledger.resources().clone();
        let gone = |key: &ResourceKey| resources.remove(key).is_none().then(|| key.to_string());
        let missing: Vec<_> = delete.keys.iter().filter_map(gone).collect();
        if !missing.is_empty() {
            return Err(NotDeclared::Missing(missing));
        }
        let before = check(ledger.resources(), ledger.grants());
        let mut faults = check(&resources, ledger.grants());
        faults.retain(|fault| !before.contains(fault));
        if !faults.is_empty() {
            return Err(NotDeclared::Needed(faults));
        }
        self.declare(&mut ledger, resources, delete.message, delete.dry_run).await
    }

    async fn declare(
        &self,
        ledger: &mut Ledger,
        resources: Resources,
        message: String,
        dry_run: bool,
    ) -> Result<Applied, NotDeclared> {
        if message.chars().count() > MESSAGE_MAX {
            return Err(NotDeclared::Message);
        }
        let change = change(ledger.resources(), &resources);
        let applied =
            |revision, change| Ok(Applied { api_version: API_VERSION.to_owned(), revision, change, dry_run });
        if dry_run || change.is_empty() {
            return applied(self.mesh(|mesh| mesh.revision()), change);
        }
        let declared = Declared::new(&resources);
        let pending = Pending { hub: self, done: false };
        let revision = self.mesh(|mesh| mesh.begin_declaring());
        let past = Past { revision, at: self.wall_now().as_secs(), message, change: change.clone() };
        ledger.declare(resources, past).await?;
        let revision = pending.done(declared);
        let Change { created, updated, deleted, .. } = &change;
        let (created, updated, deleted) = (created.len(), updated.len(), deleted.len());
        tracing::info!(%revision, created, updated, deleted, "declared");
        applied(revision, change)
    }

    /// What a node is told, if it is registered.
    pub(crate) fn effective(&self, node: &NodeName) -> Option<Effective> {
        let (snapshot, acknowledged) =
            self.mesh(|mesh| Some((mesh.snapshot(node)?, mesh.is_up_to_date(node))))?;
        let node = node.clone();
        Some(Effective { api_version: API_VERSION.to_owned(), node, acknowledged, snapshot })
    }
}

/// The mistakes of all files, as a caller is told.
fn refused(invalid: &[InvalidDocument]) -> NotDeclared {
    let texts: Vec<_> = invalid.iter().map(ToString::to_string).collect();
    let mistakes = |invalid: &InvalidDocument| DocumentMistakes {
        name: invalid.file_name().to_owned(),
        mistakes: invalid.mistakes().cloned().collect(),
        more: invalid.more(),
    };
    NotDeclared::Mistakes(Refused {
        api_version: API_VERSION.to_owned(),
        error: format!("nothing was applied:\n{}", texts.join("\n")),
        documents: invalid.iter().map(mistakes).collect(),
    })
}
