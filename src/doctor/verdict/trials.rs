//! What the storm and the destructive trials mean.

use crate::doctor::{
    facts::{DestructiveFacts, Facts, Logout, Reuse, Revocation, StormFacts},
    finding::Finding,
};

/// The findings of the trials that were asked for.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<_> = facts.storm.iter().map(storm).collect();
    if let Some(DestructiveFacts { reuse: reused, logout: logged_out, revocation: revoked }) = &facts.destructive {
        findings.extend([reuse(reused), logout(logged_out), revocation(revoked)]);
    }
    findings
}

fn storm(result: &Result<StormFacts, String>) -> Finding {
    let topic = "renewal storm";
    let advice = "run the doctor again, and report it with this page if it persists";
    let StormFacts { requests, answered, calls, longest_wait } = match result {
        Ok(storm) => storm,
        Err(reason) => return Finding::error(topic, format!("it could not be made: {reason}"), advice),
    };
    let text = format!(
        "{requests} requests at two replicas on an expired token: {calls} {} to the provider, {answered} answered with fresh \
         tokens, longest wait {} ms",
        if *calls == 1 { "call" } else { "calls" },
        longest_wait.as_millis()
    );
    if *calls == 1 && answered == requests { Finding::ok(topic, text) } else { Finding::error(topic, text, advice) }
}

fn reuse(reuse: &Reuse) -> Finding {
    let topic = "reuse of a spent token";
    match reuse {
        Reuse::NotRotated => Finding::ok(topic, "renewals replace no refresh token, so none is ever spent"),
        Reuse::Accepted => Finding::ok(topic, "a spent refresh token is accepted again, at least for a while"),
        Reuse::Refused => Finding::ok(topic, "a spent refresh token is refused, and its successor stays valid"),
        Reuse::EndsGrant => Finding::ok(
            topic,
            "the provider detects reuse and ends the grant; Evergate presents each refresh token once, on all replicas, so this \
             meets thieves alone",
        ),
        Reuse::Unknown(reason) => unknown(topic, reason),
    }
}

fn logout(logout: &Logout) -> Finding {
    let topic = "logout at the provider";
    match logout {
        Logout::NoEndpoint => Finding::warning(
            topic,
            "the provider has no end-session endpoint: after a logout its own session lives on, and the next login asks nothing",
            "none here; a logout at Evergate ends its own session all the same",
        ),
        Logout::Survived => Finding::ok(
            topic,
            "the refresh token survives a visit to the provider's logout page, here without the ID token that Evergate sends along; Evergate revokes it at each logout",
        ),
        Logout::Ended => Finding::ok(topic, "a logout at the provider ends the refresh token"),
        Logout::Unknown(reason) => unknown(topic, reason),
    }
}

fn revocation(revocation: &Revocation) -> Finding {
    let topic = "revocation tried";
    match revocation {
        Revocation::Works => Finding::ok(topic, "a revoked refresh token is refused"),
        Revocation::NoEndpoint => Finding::warning(
            topic,
            "the provider has no revocation endpoint: refresh tokens live on after a logout",
            "let refresh tokens expire soon",
        ),
        Revocation::HasNoEffect => Finding::error(
            topic,
            "the provider confirms the revocation, and accepts the refresh token all the same: a stolen one survives a logout",
            "report it to the provider; until it is mended, end sessions in its console",
        ),
        Revocation::Unknown(reason) => unknown(topic, reason),
    }
}

fn unknown(topic: &'static str, reason: &str) -> Finding {
    Finding::warning(topic, format!("it could not be found out: {reason}"), "run the doctor again")
}
