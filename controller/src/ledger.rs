//! What must be on disk before it counts: tokens, grants, resources, their history, and revisions; and, as it was
//! a moment ago, who is registered with what.
//!
//! Each change is made on a copy, committed to the [`Store`] as one transaction, and only then becomes the truth;
//! when the commit fails, nothing changed. So a token that gave a certificate is used up after any crash, an
//! apply that was answered is there, and a revision that a node may have seen is never handed out again for
//! something else.
//!
//! One writer at a time: whoever changes it holds it while the disk writes. Keys: `token/…`, `grant/…`,
//! `resource/…`, `history/…`, `registration/…`, `revisions` and `head`, which every transaction changes and expects unchanged, so that
//! two controllers on one store can't overwrite each other.

mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sinew_api::apply::Past;
use sinew_api::resource::Resources;
use sinew_controller_core::tokens::TokenError;
use sinew_controller_core::{Grant, Outcome, Registration, SecretHash, Tokens};
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};

use crate::store::{Expect, Op, Store, StoreError, Txn};
use records::{
    Records, changes, grant_op, history_key, history_op, registration_op, reserved_op, resource_ops,
    token_ops,
};

/// How many revisions one write reserves: a restart skips what is left of them.
const REVISIONS_RESERVED: u64 = 100_000;
/// How many of them are left when the next are reserved: nobody waits for that write, so there must be
/// more of them than changes during it.
const REVISIONS_LEFT: u64 = 50_000;

/// The changes that the history keeps; the oldest go first.
pub(crate) const HISTORY_MAX: usize = 1000;

/// The entry that every transaction changes.
const HEAD: &str = "head";

/// Who is granted what by its token.
pub(crate) type Grants = BTreeMap<NodeName, BTreeSet<ServiceName>>;

/// What the controller must not forget, beside its keys.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<dyn Store>,
    /// The store's revision of [`HEAD`].
    head: Expect,
    /// Whether a transaction failed, or whoever waited for it left: it may have been made all the same.
    unsure: bool,
    tokens: Tokens,
    grants: Grants,
    resources: Resources,
    /// Registrations as they were when the controller started.
    registrations: BTreeMap<NodeName, Registration>,
    /// The newest last.
    history: VecDeque<Past>,
    /// No earlier run handed out a revision above this one.
    last_revision: Revision,
    /// No later run will hand out a revision up to this one.
    reserved: Revision,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error(transparent)]
    Refused(#[from] TokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Ledger {
    /// Takes the place of earlier runs: the revisions that they may have handed out are not handed out again.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.reserve(self.reserved).await.map(drop)
    }

    /// Whether no run began with it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.head == Expect::Absent
    }

    /// Whether it knows nothing of any node: no token was made, nothing declared.
    pub(crate) fn is_bare(&self) -> bool {
        self.tokens.records().next().is_none()
            && self.grants.is_empty()
            && self.resources.is_empty()
            && self.registrations.is_empty()
    }

    /// Reads what earlier runs left, and changes nothing.
    pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let contents = store.load().await?;
        let head = contents.entries.get(HEAD).map_or(Expect::Absent, |e| Expect::ChangedIn(e.changed_in));
        let Records { tokens, grants, resources, registrations, history, reserved } =
            Records::read(contents)?;
        let last_revision = reserved;
        Ok(Self {
            store,
            head,
            unsure: false,
            tokens,
            grants,
            resources,
            registrations,
            history,
            last_revision,
            reserved,
        })
    }

    /// Looks into the store again when it is not sure what a transaction did, or another controller was there.
    /// True when it did: what is declared or granted may be another.
    pub(crate) async fn make_sure(&mut self) -> Result<bool, StoreError> {
        let unsure = self.unsure;
        if unsure {
            let last_revision = self.last_revision;
            *self = Self { last_revision, ..Self::load(Arc::clone(&self.store)).await? };
        }
        Ok(unsure)
    }

    /// What was granted to whom by tokens.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What was declared.
    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The changes of the past, the newest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = &Past> {
        self.history.iter().rev()
    }

    /// The registrations that earlier runs saved; once.
    pub(crate) fn take_registrations(&mut self) -> BTreeMap<NodeName, Registration> {
        std::mem::take(&mut self.registrations)
    }

    /// Saves registrations; none: the node is gone.
    pub(crate) async fn save(
        &mut self,
        registrations: &BTreeMap<NodeName, Option<Registration>>,
    ) -> Result<(), StoreError> {
        self.keep(registrations.iter().map(registration_op).collect()).await
    }

    /// The highest revision that an earlier run may have handed out.
    pub(crate) fn last_revision(&self) -> Revision {
        self.last_revision
    }

    /// How many tokens can be used now.
    pub(crate) fn outstanding(&self, now: u64) -> usize {
        self.tokens.outstanding(now)
    }

    /// Makes a token; says when it expires.
    pub(crate) async fn create_token(
        &mut self,
        now: u64,
        hash: SecretHash,
        grant: Grant,
        ttl: Duration,
    ) -> Result<u64, CreateError> {
        let mut tokens = self.tokens.clone();
        let expires = tokens.create(now, hash, grant, ttl)?;
        self.keep(token_ops(&self.tokens, &tokens)).await?;
        self.tokens = tokens;
        Ok(expires)
    }

    /// What redeeming would give; changes nothing.
    pub(crate) fn look(&self, now: u64, hash: &SecretHash) -> Outcome {
        self.tokens.look(now, hash)
    }

    /// Uses a token up, if it is good, and grants what it says in place of what the node had.
    pub(crate) async fn redeem(&mut self, now: u64, hash: &SecretHash) -> Result<Outcome, StoreError> {
        let mut tokens = self.tokens.clone();
        let outcome = tokens.redeem(now, hash);
        if let Outcome::Granted(grant) = &outcome {
            let mut ops = token_ops(&self.tokens, &tokens);
            ops.push(grant_op(grant));
            self.keep(ops).await?;
            self.tokens = tokens;
            self.grants.insert(grant.node.clone(), grant.services.clone());
        }
        Ok(outcome)
    }

    /// Keeps another set of resources, and the change that led to it.
    pub(crate) async fn declare(&mut self, resources: Resources, past: Past) -> Result<(), StoreError> {
        let mut ops = resource_ops(&self.resources, &resources);
        ops.push(history_op(&past));
        let forgotten = self.history.front().filter(|_| self.history.len() >= HISTORY_MAX);
        ops.extend(forgotten.map(|oldest| Op::Delete(history_key(oldest.revision))));
        self.keep(ops).await?;
        self.resources = resources;
        self.history.push_back(past);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        Ok(())
    }

    /// Makes sure that no later run hands out this revision again, nor those that follow soon. Answers up to which
    /// revision nobody needs to ask again.
    pub(crate) async fn reserve(&mut self, revision: Revision) -> Result<Revision, StoreError> {
        if revision.0 + REVISIONS_LEFT > self.reserved.0 {
            let reserved = Revision(revision.0 + REVISIONS_RESERVED);
            self.keep(vec![reserved_op(reserved)]).await?;
            self.reserved = reserved;
        }
        Ok(Revision(self.reserved.0 - REVISIONS_LEFT))
    }

    /// Commits a transaction, unless another controller was here meanwhile.
    async fn keep(&mut self, mut ops: Vec<Op>) -> Result<(), StoreError> {
        ops.push(Op::Put(HEAD.to_owned(), changes(&ops)));
        let expects = vec![(HEAD.to_owned(), self.head)];
        self.unsure = true;
        let revision = self.store.commit(Txn { expects, ops }).await?;
        self.head = Expect::ChangedIn(revision);
        self.unsure = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
