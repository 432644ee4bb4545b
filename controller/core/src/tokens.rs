//! The one-use rights to join.
//!
//! A token's secret is 32 random bytes; only its SHA-256 is known here, and looking that up *is* the
//! comparison: how long it takes tells nothing about the secret. A token is good once, until it expires.
//! What became of it is remembered for a while, so that the log can tell a reused token from a made-up
//! one; the joining side is told neither.
//!
//! Times are wall times, in seconds since 1970.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sinew_api::join::{from_hex32, to_hex};
use sinew_transport_core::ids::{NodeName, ServiceName};

/// The most tokens that may wait to be used: one for every node of the largest mesh.
pub const MAX_OUTSTANDING: usize = 10_000;
/// The most used or expired tokens that are remembered; the oldest go first.
pub const MAX_SPENT: usize = 1000;
/// The longest that a token can be used. It is carried by hand or by a provisioning run, and whoever
/// finds it later should find nothing.
pub const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// SHA-256 of a token's secret, as the token's text spells it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The beginning of the hash: enough to find a token in a log, useless for joining.
    #[must_use]
    pub fn short(&self) -> String {
        to_hex(&self.0[..4])
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({}…)", self.short())
    }
}

/// What a token gives: the name of a node, and the services that it may host and speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The node.
    pub node: NodeName,
    /// Its services.
    pub services: BTreeSet<ServiceName>,
}

/// What became of an attempt to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The token is good.
    Granted(Grant),
    /// No such token was made, or so long ago that it is forgotten.
    Unknown,
    /// The token was used before, by whoever joined as this node.
    Used(NodeName),
    /// The token's time is over.
    Expired(NodeName),
}

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// [`MAX_OUTSTANDING`].
    #[error(
        "{MAX_OUTSTANDING} tokens wait to be used already; wait until some expire, and give tokens a \
         shorter --ttl"
    )]
    TooMany,
    /// 0, or more than [`MAX_TTL`].
    #[error("a token can be valid for 1 second to 7 days, not {} s; give another --ttl", .0.as_secs())]
    Ttl(Duration),
    /// A node that may host and speak for nothing can't do anything.
    #[error("a token needs at least one service; name what the node hosts or speaks for with --service")]
    NoServices,
}

/// All tokens that are remembered. A value like any other: change a clone, keep it, then swap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    entries: BTreeMap<SecretHash, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    grant: Grant,
    expires: u64,
    used: bool,
}

/// One token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The [`SecretHash`] in hex.
    pub sha256: String,
    /// The node.
    pub node: NodeName,
    /// Its services.
    pub services: BTreeSet<ServiceName>,
    /// The end of its time.
    pub expires: u64,
    /// Whether someone joined with it.
    pub used: bool,
}

/// A kept hash that is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token of node `{0}`: its sha256 is not 64 hex digits")]
pub struct BadHash(pub NodeName);

impl Tokens {
    /// Makes a token, good for `ttl` from `now`; says when it expires.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn create(
        &mut self,
        now: u64,
        hash: SecretHash,
        grant: Grant,
        ttl: Duration,
    ) -> Result<u64, TokenError> {
        if ttl.as_secs() == 0 || ttl > MAX_TTL {
            return Err(TokenError::Ttl(ttl));
        }
        if grant.services.is_empty() {
            return Err(TokenError::NoServices);
        }
        if self.outstanding(now) >= MAX_OUTSTANDING {
            return Err(TokenError::TooMany);
        }
        let expires = now.saturating_add(ttl.as_secs());
        self.entries.insert(hash, Entry { grant, expires, used: false });
        self.forget_spent(now);
        Ok(expires)
    }

    /// What redeeming would give; changes nothing.
    #[must_use]
    pub fn look(&self, now: u64, hash: &SecretHash) -> Outcome {
        match self.entries.get(hash) {
            None => Outcome::Unknown,
            Some(Entry { grant, used: true, .. }) => Outcome::Used(grant.node.clone()),
            Some(entry) if entry.expires <= now => Outcome::Expired(entry.grant.node.clone()),
            Some(entry) => Outcome::Granted(entry.grant.clone()),
        }
    }

    /// Uses a token up, if it is good.
    pub fn redeem(&mut self, now: u64, hash: &SecretHash) -> Outcome {
        let outcome = self.look(now, hash);
        if let (Outcome::Granted(_), Some(entry)) = (&outcome, self.entries.get_mut(hash)) {
            entry.used = true;
        }
        outcome
    }

    /// How many tokens can be used now.
    #[must_use]
    pub fn outstanding(&self, now: u64) -> usize {
        self.entries.values().filter(|entry| entry.is_good(now)).count()
    }

    /// Every token, to be kept.
    pub fn records(&self) -> impl Iterator<Item = TokenRecord> {
        self.entries.iter().map(|(hash, entry)| TokenRecord {
            sha256: to_hex(&hash.0),
            node: entry.grant.node.clone(),
            services: entry.grant.services.clone(),
            expires: entry.expires,
            used: entry.used,
        })
    }

    /// The tokens that were kept.
    ///
    /// # Errors
    /// [`BadHash`] when a record was damaged.
    pub fn from_records(records: impl IntoIterator<Item = TokenRecord>) -> Result<Self, BadHash> {
        let entry = |record: TokenRecord| {
            let hash = from_hex32(&record.sha256).ok_or_else(|| BadHash(record.node.clone()))?;
            let grant = Grant { node: record.node, services: record.services };
            Ok((SecretHash(hash), Entry { grant, expires: record.expires, used: record.used }))
        };
        Ok(Self { entries: records.into_iter().map(entry).collect::<Result<_, _>>()? })
    }

    fn forget_spent(&mut self, now: u64) {
        let mut spent: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is_good(now))
            .map(|(hash, entry)| (entry.expires, *hash))
            .collect();
        spent.sort_unstable();
        for (_, hash) in spent.iter().take(spent.len().saturating_sub(MAX_SPENT)) {
            self.entries.remove(hash);
        }
    }
}

impl Entry {
    fn is_good(&self, now: u64) -> bool {
        !self.used && self.expires > now
    }
}

#[cfg(test)]
mod tests;
