//! Which endpoint takes a connection: power of two choices among those that may.
//!
//! An endpoint is *eligible* when its peer is up and not suspect, its breaker is closed, and this connection
//! was not there already. Two eligible ones are drawn at random and the one that is cheaper by
//! [`Load::is_cheaper_than`] is taken: nearly as good as the best of all (Mitzenmacher, "The Power of Two
//! Choices in Randomized Load Balancing"), without everybody running to the same one.
//!
//! An endpoint whose breaker is due for a probe takes precedence: somebody has to go there, and the pick that
//! notices it first does. The breaker sees to it that this is exactly one.
//!
//! Nothing is allocated. Up to [`SCAN_MAX`] candidates are all looked at; among more, a bounded number is
//! drawn first, so that a pick costs the same beside 100 endpoints and beside 10,000.

use crate::balance::Load;
use crate::breaker::Breaker;
use crate::mechanisms::Mechanisms;

/// Candidates that are all looked at: below some dozens a scan is cheaper than drawing twice in vain.
pub const SCAN_MAX: usize = 64;

/// Draws among more candidates before all are looked at after all. If half of them are eligible, one pick in
/// a hundred million needs the scan.
const DRAWS_MAX: usize = 32;

/// One endpoint, as it looks to one connection.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its load.
    pub load: &'a Load,
    /// Its breaker.
    pub breaker: &'a Breaker,
    /// Whether the peer is up and not suspect.
    pub usable: bool,
    /// Whether this connection was there already.
    pub tried: bool,
}

/// Why there is nothing to pick. Later ones are nearer to being over: among several reasons the last is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unavailable {
    /// The service has no endpoint.
    #[error("the service has no endpoint")]
    NoEndpoint,
    /// This connection was at every endpoint, and each refused.
    #[error("every endpoint was tried")]
    AllTried,
    /// The peer of every endpoint that was not tried is down or suspect.
    #[error("the node of every endpoint left is down or suspect")]
    NoneUsable,
    /// Endpoints are left whose peers answer, but each has refused lately and waits for its next probe.
    #[error("every endpoint left has refused lately")]
    AllOpen,
}

impl Unavailable {
    /// Whether waiting can help: a snapshot may bring an endpoint, a peer may answer, a back-off ends. Not
    /// when every endpoint refused this connection: its application is told, as if it had called directly.
    #[must_use]
    pub const fn can_wait(self) -> bool {
        match self {
            Self::NoEndpoint | Self::NoneUsable | Self::AllOpen => true,
            Self::AllTried => false,
        }
    }

    /// The name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllTried => "all_tried",
            Self::NoEndpoint => "no_endpoint",
            Self::NoneUsable => "none_usable",
            Self::AllOpen => "all_open",
        }
    }
}

/// Picks one of `candidates`: the position of the one that is to take the connection.
///
/// When its breaker is open, the pick has taken the breaker's probe: the connection must go there.
///
/// # Errors
/// [`Unavailable`] when none is eligible, with the reason that is nearest to being over.
pub fn choose(
    now_us: u64,
    rng: &mut fastrand::Rng,
    candidates: &[Candidate<'_>],
    mechanisms: Mechanisms,
) -> Result<usize, Unavailable> {
    choose_by(now_us, rng, candidates.len(), |index| candidates[index], mechanisms)
}

/// [`choose`] among candidates `0..count` that are made when they are looked at.
///
/// # Errors
/// As [`choose`].
pub fn choose_by<'a>(
    now_us: u64,
    rng: &mut fastrand::Rng,
    count: usize,
    candidate: impl Fn(usize) -> Candidate<'a>,
    mechanisms: Mechanisms,
) -> Result<usize, Unavailable> {
    if count == 0 {
        return Err(Unavailable::NoEndpoint);
    }
    let drawn = if count > SCAN_MAX { draw(now_us, rng, count, &candidate, mechanisms) } else { None };
    let found = match drawn {
        Some(found) => found,
        None => scan(now_us, rng, count, &candidate, mechanisms)?,
    };
    Ok(found.pick(now_us, rng, &candidate, mechanisms))
}

/// What was found among the candidates.
#[derive(Clone, Copy)]
enum Found {
    /// The only one, or one whose probe was taken.
    One(usize),
    /// Two, drawn evenly.
    Two(usize, usize),
}

impl Found {
    fn pick<'a>(
        self,
        now_us: u64,
        rng: &mut fastrand::Rng,
        candidate: impl Fn(usize) -> Candidate<'a>,
        mechanisms: Mechanisms,
    ) -> usize {
        let (one, other) = match self {
            Self::One(index) => return index,
            // Which one stays when they are equal is chance, too.
            Self::Two(one, other) if rng.bool() => (other, one),
            Self::Two(one, other) => (one, other),
        };
        let other_is_cheaper = mechanisms.latency
            && candidate(other).load.is_cheaper_than(candidate(one).load, now_us) == Some(true);
        if other_is_cheaper { other } else { one }
    }
}

/// Draws until two eligible ones are found, or one whose probe is due; gives up after [`DRAWS_MAX`].
fn draw<'a>(
    now_us: u64,
    rng: &mut fastrand::Rng,
    count: usize,
    candidate: impl Fn(usize) -> Candidate<'a>,
    mechanisms: Mechanisms,
) -> Option<Found> {
    let mut first = None;
    for _ in 0..DRAWS_MAX {
        let index = rng.usize(..count);
        match (standing(now_us, candidate(index), mechanisms), first) {
            (Standing::Probe, _) => return Some(Found::One(index)),
            (Standing::Eligible, None) => first = Some(index),
            (Standing::Eligible, Some(first)) if first != index => return Some(Found::Two(first, index)),
            _ => {}
        }
    }
    None
}

/// Looks at all, and draws two of the eligible ones in the same pass (reservoir sampling, Vitter's
/// algorithm R): whether a candidate is eligible may change between two passes.
fn scan<'a>(
    now_us: u64,
    rng: &mut fastrand::Rng,
    count: usize,
    candidate: impl Fn(usize) -> Candidate<'a>,
    mechanisms: Mechanisms,
) -> Result<Found, Unavailable> {
    let mut pair = [0; 2];
    let mut eligible = 0;
    let mut why = Unavailable::AllTried;
    for index in 0..count {
        match standing(now_us, candidate(index), mechanisms) {
            Standing::Probe => return Ok(Found::One(index)),
            Standing::Out(reason) => why = why.max(reason),
            Standing::Eligible => {
                let place = if eligible < 2 { eligible } else { rng.usize(..=eligible) };
                if let Some(place) = pair.get_mut(place) {
                    *place = index;
                }
                eligible += 1;
            }
        }
    }
    match eligible {
        0 => Err(why),
        1 => Ok(Found::One(pair[0])),
        _ => Ok(Found::Two(pair[0], pair[1])),
    }
}

/// What one candidate is to this connection.
enum Standing {
    Eligible,
    /// Its breaker was due, and its probe was taken for this pick.
    Probe,
    Out(Unavailable),
}

fn standing(now_us: u64, candidate: Candidate<'_>, mechanisms: Mechanisms) -> Standing {
    if !mechanisms.failover {
        Standing::Eligible
    } else if candidate.tried {
        Standing::Out(Unavailable::AllTried)
    } else if !candidate.usable {
        Standing::Out(Unavailable::NoneUsable)
    } else if candidate.breaker.is_closed() {
        Standing::Eligible
    } else if mechanisms.probation && candidate.breaker.take_probe(now_us) {
        Standing::Probe
    } else {
        Standing::Out(Unavailable::AllOpen)
    }
}

#[cfg(test)]
mod tests;
