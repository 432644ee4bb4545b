//! Certificates: there, begun, and not about to end.

use sinew_transport::validity::Validity;

use crate::check::facts::{Certificate, Facts, Program};
use crate::check::finding::{Check, Finding};
use crate::status::span;

const CHECK: Check = Check::CertificateDates;

/// Below this part of its life, one that is renewed at half of it should have been renewed long ago.
const LIFE_LEFT_TOLD: u64 = 4;

/// One that nobody renews is told this long before its end, in seconds: a month to plan it.
const LAST_MONTH_S: u64 = 30 * 86_400;

pub(super) fn judge(program: &Program, facts: &Facts) -> Vec<Finding> {
    program.certificates.iter().map(|certificate| one(certificate, facts)).collect()
}

fn one(certificate: &Certificate, facts: &Facts) -> Finding {
    let Certificate { what, file, found, .. } = certificate;
    match found {
        Ok(Some(validity)) => dates(certificate, *validity, facts.now),
        Ok(None) => missing(certificate, facts.pre),
        Err(error) => CHECK.fail(
            format!("{what} can't be read: {}: {error}", file.display()),
            "as another user, run this as root; a damaged file comes back from a backup, or by joining anew",
        ),
    }
}

fn missing(certificate: &Certificate, pre: bool) -> Finding {
    let Certificate { what, file, token, .. } = certificate;
    match token {
        Some(Ok(token)) => {
            CHECK.pass(format!("{what} is not there yet; the node joins with the token in {}", token.display()))
        }
        Some(Err(error)) => CHECK.fail(
            format!("the node has not joined, and its token can't be used: {error}"),
            "make one at the controller: `sinew token create --node NAME --service SERVICE`",
        ),
        None if pre => CHECK.skip(format!("{what} is not there yet")),
        None => CHECK.fail(
            format!("{what} is not there: {}", file.display()),
            "a node gets it when it joins: `sinew token create` at the controller, then `token_file` or --token-file; \
             a controller makes it when it starts",
        ),
    }
}

fn dates(certificate: &Certificate, validity: Validity, now: u64) -> Finding {
    let what = certificate.what;
    if now < validity.from {
        let what = format!("{what} is not valid before {} from now", span(validity.from - now));
        return CHECK.fail(what, "this machine's clock, or the controller's, is wrong: set both by NTP");
    }
    let Some(left) = validity.until.checked_sub(now).filter(|left| *left > 0) else {
        let since = now - validity.until;
        let ended = format!("{what} ended {} ago", span(since.max(1)));
        return CHECK.fail(
            ended,
            match certificate.grace {
                Some(grace) if since <= grace.as_secs() => {
                    "the node gets another when it reaches a controller; see controller-reachable, and its log"
                }
                Some(_) => {
                    "its grace is over, too: remove its state directory and join with a new token of `sinew token create`"
                }
                None => "see the section: the mesh needs a new authority",
            },
        );
    };
    let life = validity.life().as_secs();
    let (late, remedy) = match certificate.grace {
        Some(_) => (
            left < life / LIFE_LEFT_TOLD,
            "it should have been renewed at half of its life: see controller-reachable, and the node's log",
        ),
        None => (left < LAST_MONTH_S, "plan another authority: nothing renews this one by itself"),
    };
    let text = format!("{what} is valid for another {}", span(left));
    if late { CHECK.warn(text, remedy) } else { CHECK.pass(text) }
}
