//! What makes one set of resources another.

use std::collections::BTreeMap;

use sinew_api::resource::{Change, FieldChange, Resource, Resources, Update};

use super::fields::fields;

/// The difference between two sets. Of a set and itself it is empty.
#[must_use]
pub fn change(before: &Resources, after: &Resources) -> Change {
    let mut change = Change::default();
    for (key, resource) in after.iter() {
        match before.get(key) {
            None => change.created.push(key.clone()),
            Some(old) if old == resource => change.unchanged += 1,
            Some(old) => change.updated.push(Update { key: key.clone(), fields: differing(old, resource) }),
        }
    }
    change.deleted = before.iter().map(|(key, _)| key).filter(|key| !after.contains(key)).cloned().collect();
    change
}

fn differing(before: &Resource, after: &Resource) -> Vec<FieldChange> {
    let mut was: BTreeMap<_, _> = fields(before).into_iter().collect();
    let mut changes = Vec::new();
    for (field, value) in fields(after) {
        let before = was.remove(&field);
        if before.as_ref() != Some(&value) {
            changes.push(FieldChange { field, before, after: Some(value) });
        }
    }
    changes.extend(was.into_iter().map(|(field, value)| FieldChange {
        field,
        before: Some(value),
        after: None,
    }));
    changes
}
