//! What an operator declares: checked against what is there, kept, and only then told to nodes.
//!
//! One at a time, from the check to the disk: whoever holds the ledger is the only one to write. When a step
//! fails, nothing has changed. Several files are read as one, so that they may speak of each other.

use std::ops::Range;

use sinew_api::apply::{Applied, Apply, Delete, DocumentMistakes, Effective, MESSAGE_MAX, Past, Refused};
use sinew_api::document::{InvalidDocument, Mistake};
use sinew_api::resource::{Change, ResourceKey, Resources};
use sinew_api::status::API_VERSION;
use sinew_controller_core::Declared;
use sinew_controller_core::resources::{Fault, Known, Unnamed, change, check, read};
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
        let joined = Joined::new(&apply);
        let known = Known { stored: ledger.resources(), tokens: ledger.grants() };
        let resources = read("", &joined.text, known, unnamed).map_err(|invalid| joined.refused(&invalid))?;
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

/// Several files as one text.
struct Joined<'a> {
    apply: &'a Apply,
    text: String,
    /// Where each begins and ends in the text.
    places: Vec<Range<usize>>,
}

impl<'a> Joined<'a> {
    fn new(apply: &'a Apply) -> Self {
        let (mut text, mut places) = (String::new(), Vec::new());
        for document in &apply.documents {
            let start = text.len();
            text.push_str(&document.text);
            places.push(start..text.len());
            text.push('\n');
        }
        Self { apply, text, places }
    }

    /// The mistakes in the joined text, each in its own file.
    fn refused(&self, invalid: &InvalidDocument) -> NotDeclared {
        let mut documents: Vec<_> = self
            .apply
            .documents
            .iter()
            .map(|document| DocumentMistakes { name: document.name.clone(), mistakes: Vec::new(), more: 0 })
            .collect();
        let mut texts = Vec::new();
        for mistake in invalid.mistakes() {
            // What belongs to no place is told at the beginning of the first.
            let index = self.places.iter().rposition(|place| place.start <= mistake.span.start).unwrap_or(0);
            let mistake = self.placed(index, mistake);
            if let Some(document) = documents.get_mut(index) {
                let Mistake { line, column, message, help, .. } = &mistake;
                texts.push(format!("{}:{line}:{column}: {message} ({help})", document.name));
                document.mistakes.push(mistake);
            }
        }
        if invalid.more() > 0 {
            texts.push(format!("and {} more", invalid.more()));
        }
        if let Some(last) = documents.last_mut() {
            last.more = invalid.more();
        }
        documents.retain(|document| !document.mistakes.is_empty() || document.more > 0);
        NotDeclared::Mistakes(Refused {
            api_version: API_VERSION.to_owned(),
            error: format!("nothing was applied:\n{}", texts.join("\n")),
            documents,
        })
    }

    /// A mistake, placed in the file of that index.
    fn placed(&self, index: usize, mistake: &Mistake) -> Mistake {
        let Some(place) = self.places.get(index) else { return mistake.clone() };
        let lines_before = self.text[..place.start].matches('\n').count();
        let within = |at: usize| at.clamp(place.start, place.end) - place.start;
        Mistake {
            line: mistake.line - lines_before,
            span: within(mistake.span.start)..within(mistake.span.end),
            ..mistake.clone()
        }
    }
}
