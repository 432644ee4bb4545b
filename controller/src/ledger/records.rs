//! How the ledger's contents are written: one JSON value for each thing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sinew_api::apply::Past;
use sinew_api::resource::{Change, Resource, Resources};
use sinew_controller_core::tokens::TokenRecord;
use sinew_controller_core::{Grant, Registration, Tokens};
use sinew_transport_core::ids::{NodeName, Revision};

use super::Grants;
use crate::store::{Contents, Op, StoreError, VALUE_MAX};

const TOKEN: &str = "token/";
const GRANT: &str = "grant/";
const RESOURCE: &str = "resource/";
const REGISTRATION: &str = "registration/";
const HISTORY: &str = "history/";
const REVISIONS: &str = "revisions";

/// Everything that a ledger holds.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) tokens: Tokens,
    pub(super) grants: Grants,
    pub(super) resources: Resources,
    pub(super) registrations: BTreeMap<NodeName, Registration>,
    pub(super) history: VecDeque<Past>,
    pub(super) reserved: Revision,
}

impl Records {
    /// Reads a store's contents. What is not known here is from a newer program, which would have raised the
    /// store's version if it mattered.
    pub(super) fn read(contents: Contents) -> Result<Self, StoreError> {
        let mut this = Self::default();
        let mut tokens = Vec::new();
        for (key, entry) in contents.entries {
            if key.starts_with(TOKEN) {
                tokens.push(parse::<TokenRecord>(&key, &entry.value)?);
            } else if let Some(node) = key.strip_prefix(GRANT) {
                let node = NodeName::new(node).map_err(|e| damaged(&key, &e))?;
                this.grants.insert(node, parse(&key, &entry.value)?);
            } else if key.starts_with(RESOURCE) {
                this.resources.insert(parse::<Resource>(&key, &entry.value)?);
            } else if let Some(node) = key.strip_prefix(REGISTRATION) {
                let node = NodeName::new(node).map_err(|e| damaged(&key, &e))?;
                this.registrations.insert(node, parse(&key, &entry.value)?);
            } else if key.starts_with(HISTORY) {
                this.history.push_back(parse(&key, &entry.value)?);
            } else if key == REVISIONS {
                this.reserved = parse(&key, &entry.value)?;
            }
        }
        this.tokens = Tokens::from_records(tokens).map_err(|e| damaged(TOKEN, &e))?;
        Ok(this)
    }
}

/// What makes one set of tokens another.
pub(super) fn token_ops(before: &Tokens, after: &Tokens) -> Vec<Op> {
    let by_hash = |tokens: &Tokens| -> BTreeMap<String, TokenRecord> {
        tokens.records().map(|record| (record.sha256.clone(), record)).collect()
    };
    let (before, after) = (by_hash(before), by_hash(after));
    let puts = after.iter().filter(|(hash, record)| before.get(*hash) != Some(record));
    let puts = puts.map(|(hash, record)| Op::Put(format!("{TOKEN}{hash}"), json(record)));
    let gone = before.keys().filter(|hash| !after.contains_key(*hash));
    puts.chain(gone.map(|hash| Op::Delete(format!("{TOKEN}{hash}")))).collect()
}

pub(super) fn grant_op(grant: &Grant) -> Op {
    Op::Put(format!("{GRANT}{}", grant.node), json(&grant.services))
}

/// What makes one set of resources another.
pub(super) fn resource_ops(before: &Resources, after: &Resources) -> Vec<Op> {
    let puts = after.iter().filter(|(key, resource)| before.get(key) != Some(resource));
    let puts = puts.map(|(key, resource)| Op::Put(format!("{RESOURCE}{key}"), json(resource)));
    let gone = before.iter().filter(|(key, _)| !after.contains(key));
    puts.chain(gone.map(|(key, _)| Op::Delete(format!("{RESOURCE}{key}")))).collect()
}

/// A registration; none: the node is gone.
pub(super) fn registration_op((node, registration): (&NodeName, &Option<Registration>)) -> Op {
    let key = format!("{REGISTRATION}{node}");
    match registration {
        Some(registration) => Op::Put(key, json(registration)),
        None => Op::Delete(key),
    }
}

/// The history sorts by revision.
pub(super) fn history_key(revision: Revision) -> String {
    format!("{HISTORY}{:020}", revision.0)
}

/// A change of the past; of one that is too large for an entry only how much there was.
pub(super) fn history_op(past: &Past) -> Op {
    let mut value = json(past);
    if value.len() > VALUE_MAX {
        let change = Change { unchanged: past.change.unchanged, ..Change::default() };
        let much = format!("{} (the change itself was too large to keep)", past.message);
        value = json(&Past { change, message: much, ..past.clone() });
    }
    Op::Put(history_key(past.revision), value)
}

pub(super) fn reserved_op(reserved: Revision) -> Op {
    Op::Put(REVISIONS.to_owned(), json(&reserved))
}

/// What the head says of a transaction, for whoever looks into the store.
pub(super) fn changes(ops: &[Op]) -> Vec<u8> {
    json(&serde_json::json!({ "changes": ops.len() }))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "strings, numbers and lists always serialize")]
    serde_json::to_vec(value).expect("plain data")
}

fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|e| damaged(key, &e))
}

fn damaged(key: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: PathBuf::from("the store"), reason: format!("`{key}`: {error}") }
}
