//! Tokens, grants and revisions: what must be on disk before it counts.
//!
//! Each change is made on a copy, written as a whole file, and only then becomes the truth; when the
//! write fails, nothing changed. So a token that gave a certificate is used up after any crash, and
//! a revision that a node may have seen is never handed out again for something else.
//!
//! Files: `tokens.json`, `grants.json`, `revision.json`. They are small and change when machines join.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sinew_controller_core::tokens::{TokenError, TokenRecord};
use sinew_controller_core::{Grant, Outcome, SecretHash, Tokens};
use sinew_transport::runtime::Access;
use sinew_transport_core::ids::{NodeName, Revision, ServiceName};

use crate::files::{StateDir, StateError, VERSION};

const TOKENS: &str = "tokens.json";
const GRANTS: &str = "grants.json";
const REVISION: &str = "revision.json";

/// How many revisions one write reserves: a restart skips what is left of them.
const REVISIONS_RESERVED: u64 = 1000;
/// How many of them are left when the next are reserved: nobody waits for that write, so there must be
/// more of them than changes during it.
const REVISIONS_LEFT: u64 = 500;

/// Who is granted what.
pub(crate) type Grants = BTreeMap<NodeName, BTreeSet<ServiceName>>;

/// What the controller must not forget, beside its keys.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: StateDir,
    tokens: Tokens,
    grants: Grants,
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
    State(#[from] StateError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    version: u32,
    tokens: Vec<TokenRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsFile {
    version: u32,
    nodes: Grants,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevisionFile {
    version: u32,
    reserved: Revision,
}

impl Ledger {
    /// Reads what earlier runs left.
    pub(crate) fn open(state: &StateDir) -> Result<Self, StateError> {
        const TOKENS_REMEDY: &str = "delete it: tokens that were not used are lost, nothing else";
        const GRANTS_REMEDY: &str = "delete it: every node must join again with a new token";
        const REVISION_REMEDY: &str = "delete it and restart every node after the controller";
        let tokens = state.read_json::<TokensFile>(TOKENS, TOKENS_REMEDY)?;
        let tokens = Tokens::from_records(tokens.into_iter().flat_map(|file| file.tokens))
            .map_err(|e| state.damaged(TOKENS, e.to_string(), TOKENS_REMEDY))?;
        let grants = state.read_json::<GrantsFile>(GRANTS, GRANTS_REMEDY)?;
        let revision = state.read_json::<RevisionFile>(REVISION, REVISION_REMEDY)?;
        let last_revision = revision.map(|file| file.reserved).unwrap_or_default();
        let mut this = Self {
            state: state.clone(),
            tokens,
            grants: grants.map(|file| file.nodes).unwrap_or_default(),
            last_revision,
            reserved: last_revision,
        };
        this.reserve(last_revision)?;
        Ok(this)
    }

    /// What was granted to whom.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
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
    pub(crate) fn create_token(
        &mut self,
        now: u64,
        hash: SecretHash,
        grant: Grant,
        ttl: Duration,
    ) -> Result<u64, CreateError> {
        let mut tokens = self.tokens.clone();
        let expires = tokens.create(now, hash, grant, ttl)?;
        self.keep_tokens(tokens)?;
        Ok(expires)
    }

    /// What redeeming would give; changes nothing.
    pub(crate) fn look(&self, now: u64, hash: &SecretHash) -> Outcome {
        self.tokens.look(now, hash)
    }

    /// Uses a token up, if it is good, and grants what it says in place of what the node had.
    pub(crate) fn redeem(&mut self, now: u64, hash: &SecretHash) -> Result<Outcome, StateError> {
        let mut tokens = self.tokens.clone();
        let outcome = tokens.redeem(now, hash);
        if let Outcome::Granted(grant) = &outcome {
            let mut grants = self.grants.clone();
            grants.insert(grant.node.clone(), grant.services.clone());
            // Used up first: after a crash between the two, the operator makes another token.
            self.keep_tokens(tokens)?;
            self.state.write_json(
                GRANTS,
                &GrantsFile { version: VERSION, nodes: grants.clone() },
                Access::Private,
            )?;
            self.grants = grants;
        }
        Ok(outcome)
    }

    /// Makes sure that no later run hands out this revision again, nor those that follow soon.
    pub(crate) fn reserve(&mut self, revision: Revision) -> Result<(), StateError> {
        if revision.0 + REVISIONS_LEFT <= self.reserved.0 {
            return Ok(());
        }
        let reserved = Revision(revision.0 + REVISIONS_RESERVED);
        self.state.write_json(REVISION, &RevisionFile { version: VERSION, reserved }, Access::Private)?;
        self.reserved = reserved;
        Ok(())
    }

    fn keep_tokens(&mut self, tokens: Tokens) -> Result<(), StateError> {
        let file = TokensFile { version: VERSION, tokens: tokens.records().collect() };
        self.state.write_json(TOKENS, &file, Access::Private)?;
        self.tokens = tokens;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
