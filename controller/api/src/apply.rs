//! What the HTTP API takes and answers around resources; versioned JSON.
//!
//! `POST /v1/apply` takes [`Apply`] and answers [`Applied`], or [`Refused`] with every mistake;
//! `GET /v1/resources` answers [`ResourceList`], `DELETE /v1/resources` takes [`Delete`]; `GET /v1/history` answers
//! [`History`]; `GET /v1/rollouts/{revision}` answers [`Rollout`]; `GET /v1/nodes/{node}/effective` answers
//! [`Effective`].

use serde::{Deserialize, Serialize};
use sinew_transport_core::ids::{NodeName, Revision};
use utoipa::ToSchema;

use crate::document::Mistake;
use crate::resource::{Change, Resource, ResourceKey, Resources};
use crate::snapshot::Snapshot;

/// Files to be applied together, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Apply {
    /// The files.
    pub documents: Vec<Document>,
    /// Whether resources that no file names are deleted.
    #[serde(default)]
    pub prune: bool,
    /// Whether to answer what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for the history; at most [`MESSAGE_MAX`] characters.
    #[serde(default)]
    pub message: String,
}

/// The longest message of a change.
pub const MESSAGE_MAX: usize = 500;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Its name, for messages.
    pub name: String,
    /// Its TOML.
    pub text: String,
}

/// What an apply, or a deletion, did or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The revision from which the change is in force, for [`Rollout`]; the newest one when nothing changed.
    pub revision: Revision,
    /// What changed, or would.
    pub change: Change,
    /// Whether nothing was changed because it was only asked what would.
    pub dry_run: bool,
}

/// Resources to be deleted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// Which; all of them must be there.
    pub keys: Vec<ResourceKey>,
    /// As for [`Apply`].
    #[serde(default)]
    pub dry_run: bool,
    /// As for [`Apply`].
    #[serde(default)]
    pub message: String,
}

/// Why nothing was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// What is wrong and what to do, in one text.
    pub error: String,
    /// Every mistake, by file.
    pub documents: Vec<DocumentMistakes>,
}

/// The mistakes in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DocumentMistakes {
    /// Its name.
    pub name: String,
    /// Its mistakes, in its order.
    pub mistakes: Vec<Mistake>,
    /// How many more there are.
    pub more: usize,
}

/// The resources that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceList {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The state of the mesh.
    pub revision: Revision,
    /// The resources, by key.
    #[schema(value_type = Vec<Resource>)]
    pub resources: Resources,
}

/// The changes of the past, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The changes.
    pub changes: Vec<Past>,
}

/// One change of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// The revision that it made.
    pub revision: Revision,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Why, as its author said.
    pub message: String,
    /// What; of very large ones only the keys.
    pub change: Change,
}

/// How far a revision has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The revision.
    pub revision: Revision,
    /// The nodes that it concerns.
    pub concerned: usize,
    /// Those of them that have not acknowledged it, by name.
    pub laggards: Vec<Laggard>,
}

/// A node that has not acknowledged a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Laggard {
    /// The node.
    pub node: NodeName,
    /// Why not.
    pub why: LagReason,
    /// For a person.
    pub detail: String,
}

/// Why a node has not acknowledged a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum LagReason {
    /// It has no session.
    Away,
    /// It was sent the revision and has not answered.
    Busy,
    /// It refused the revision.
    Rejected,
}

/// What one node is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// [`crate::status::API_VERSION`].
    pub api_version: String,
    /// The node.
    pub node: NodeName,
    /// Whether it acknowledged this.
    pub acknowledged: bool,
    /// Its whole configuration.
    pub snapshot: Snapshot,
}
