//! Which endpoint takes a connection: two draws among those that may, by weight, and of the two the better one.
//!
//! An endpoint is *eligible* when its peer is up and not suspect, its breaker is closed, and this connection
//! was not there already. Two eligible ones are drawn at random, by the weights that the controller gave them
//! ([`Shares`]), and the one that is cheaper by [`Load::is_cheaper_than`] is taken: nearly as good as the best of
//! all (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"), without everybody running to
//! the same one.
//!
//! Between two of different weight the weight has a say in the comparison, too: the second draw with the lower
//! weight must be cheaper by as many times as its weight is lower. So where nothing speaks for either, the first
//! draw stands, and shares are what weights say, also between two endpoints, which are both drawn every time;
//! and the own view overrides a weight by as much evidence as the weight stands for.
//!
//! An endpoint of weight 0 is taken only when no other is eligible.
//!
//! An endpoint whose breaker is due for a probe takes precedence: somebody has to go there, and the pick that
//! notices it first does. The breaker sees to it that this is exactly one.
//!
//! Nothing is allocated. Up to [`SCAN_MAX`] candidates are all looked at; among more, a bounded number is
//! drawn first, so that a pick costs about the same beside 100 endpoints and beside 10,000.

use crate::balance::Load;
use crate::breaker::Breaker;
use crate::mechanisms::Mechanisms;
use crate::shares::{Draw, Shares};

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

/// Picks one of the candidates `0..count`, which are made when they are looked at: the position of the one that
/// is to take the connection. `shares`: their weights, in the same order.
///
/// When its breaker is open, the pick has taken the breaker's probe: the connection must go there.
///
/// # Errors
/// [`Unavailable`] when none is eligible, with the reason that is nearest to being over.
pub fn choose_by<'a>(
    now_us: u64,
    rng: &mut fastrand::Rng,
    count: usize,
    shares: &Shares,
    candidate: impl Fn(usize) -> Candidate<'a>,
    mechanisms: Mechanisms,
) -> Result<usize, Unavailable> {
    if count == 0 {
        return Err(Unavailable::NoEndpoint);
    }
    let draw = shares.draw(count, mechanisms.weights);
    let look = |index| standing(now_us, candidate(index), mechanisms);
    let drawn = if count > SCAN_MAX { draw_two(rng, draw, look) } else { None };
    let found = match drawn {
        Some(found) => found,
        None => scan(rng, count, draw, look)?,
    };
    let Found::Two(first, second) = found else { return Ok(found.first()) };
    let (one, other) = (candidate(first).load, candidate(second).load);
    let second_is_better = mechanisms.latency
        && match (draw.weight(first), draw.weight(second)) {
            (_, 0) => false,
            (mine, theirs) if theirs >= mine => other.is_cheaper_than(one, now_us) == Some(true),
            (mine, theirs) => other.is_cheaper_at(f64::from(mine) / f64::from(theirs), one, now_us),
        };
    Ok(if second_is_better { second } else { first })
}

/// What was found among the candidates.
#[derive(Clone, Copy)]
enum Found {
    /// The only one, or one whose probe was taken.
    One(usize),
    /// Two, drawn by weight.
    Two(usize, usize),
}

impl Found {
    fn first(self) -> usize {
        match self {
            Self::One(index) | Self::Two(index, _) => index,
        }
    }
}

/// Draws until two eligible ones are found, or one whose probe is due. After [`DRAWS_MAX`] it makes do with one;
/// none when there is not even that.
fn draw_two(rng: &mut fastrand::Rng, draw: Draw<'_>, look: impl Fn(usize) -> Standing) -> Option<Found> {
    let mut first = None;
    for _ in 0..DRAWS_MAX {
        let index = match first {
            None => draw.any(rng),
            Some(first) => match draw.other(rng, first) {
                Some(index) => index,
                None => break,
            },
        };
        match (look(index), first) {
            (Standing::Probe, _) => return Some(Found::One(index)),
            (Standing::Eligible, None) => first = Some(index),
            (Standing::Eligible, Some(first)) => return Some(Found::Two(first, index)),
            (Standing::Out(_), _) => {}
        }
    }
    first.map(Found::One)
}

/// Looks at all, each once, since whether a candidate is eligible may change between two looks, and draws two of
/// the eligible ones. Among more than [`SCAN_MAX`] eligible ones, of the first so many from a random one on.
fn scan(
    rng: &mut fastrand::Rng,
    count: usize,
    draw: Draw<'_>,
    look: impl Fn(usize) -> Standing,
) -> Result<Found, Unavailable> {
    let mut eligible = [0_u32; SCAN_MAX];
    let mut found = 0;
    let mut why = Unavailable::AllTried;
    let start = if count > SCAN_MAX { rng.usize(..count) } else { 0 };
    for index in (start..count).chain(0..start) {
        match look(index) {
            Standing::Probe => return Ok(Found::One(index)),
            Standing::Out(reason) => why = why.max(reason),
            Standing::Eligible => {
                eligible[found] = u32::try_from(index).unwrap_or(u32::MAX);
                found += 1;
                if found == SCAN_MAX {
                    break;
                }
            }
        }
    }
    match eligible[..found] {
        [] => Err(why),
        [only] => Ok(Found::One(only as usize)),
        ref eligible => Ok(two_of(rng, eligible, draw)),
    }
}

/// Two of at least two eligible ones, by weight. Where only one has any, that one; where none has, all are alike.
#[inline]
fn two_of(rng: &mut fastrand::Rng, eligible: &[u32], draw: Draw<'_>) -> Found {
    let given: u32 = eligible.iter().map(|index| draw.weight(*index as usize)).sum();
    let weight = |index: u32| if given == 0 { 1 } else { draw.weight(index as usize) };
    let at = |number: u32, without: Option<u32>| {
        let mut left = number;
        eligible.iter().copied().filter(|index| Some(*index) != without).find(|index| {
            let weight = weight(*index);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    };
    let all = if given == 0 { u32::try_from(eligible.len()).unwrap_or(u32::MAX) } else { given };
    let first = at(rng.u32(..all), None).unwrap_or(eligible[0]);
    let rest = all - weight(first);
    let second = if rest == 0 { None } else { at(rng.u32(..rest), Some(first)) };
    match second {
        Some(second) => Found::Two(first as usize, second as usize),
        None => Found::One(first as usize),
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
