//! The difference between two sets of resources, as people and programs read it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ResourceKey;

/// What makes one set of resources another.
///
/// As text, a line for each resource that differs: `+ service/orders`, `~ node/n1 zone: "a" → "b"`,
/// `- listener/n1/127.0.0.1:5001`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What only the second set has.
    pub created: Vec<ResourceKey>,
    /// What both have, in different form.
    pub updated: Vec<Update>,
    /// What only the first set has.
    pub deleted: Vec<ResourceKey>,
    /// How many resources are the same in both.
    pub unchanged: usize,
}

/// What differs in one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The resource.
    pub key: ResourceKey,
    /// Each field that differs, as it is called in a file; at least one.
    pub fields: Vec<FieldChange>,
}

/// What differs in one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its name in a file: `zone`, `labels.version`, `health.interval`.
    pub field: String,
    /// What it was; none: not written.
    pub before: Option<Value>,
    /// What it is; none: not written.
    pub after: Option<Value>,
}

impl Change {
    /// Whether both sets are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }

    /// Every resource that differs.
    pub fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        self.created.iter().chain(self.updated.iter().map(|update| &update.key)).chain(&self.deleted)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let created = self.created.iter().map(|key| (key, format!("+ {key}")));
        let updated = self.updated.iter().map(|update| (&update.key, format!("~ {update}")));
        let deleted = self.deleted.iter().map(|key| (key, format!("- {key}")));
        let mut lines: Vec<_> = created.chain(updated).chain(deleted).collect();
        lines.sort();
        for (_, line) in lines {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        for (index, change) in self.fields.iter().enumerate() {
            write!(f, "{} {change}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or("(none)".to_owned(), Value::to_string);
        write!(f, "{}: {} → {}", self.field, shown(&self.before), shown(&self.after))
    }
}
