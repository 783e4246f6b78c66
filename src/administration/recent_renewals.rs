//! What the newest token refreshes show of a provider: whether it renews nothing for anybody, or has only failed to renew one grant. Pure.

use crate::{grant::EndReason, history::Event, renewal::FAILURE_THRESHOLD, store::RecentRenewal};

/// How many are read. Among them are enough that the provider had a part in.
pub(super) const MOST_READ: i64 = 32;

/// What one token refresh shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// The provider renews grants: it did, or it has refused this one alone.
    Renewing,
    /// It refuses the client, or cannot be trusted: it renews nobody's grant.
    ClientRefused,
    /// It failed. Once is a chance, as a response that was lost.
    Failing,
    /// The provider's token endpoint had no part in it.
    Nothing,
}

/// Outcomes that introspection and this process found, and the token endpoint did not say.
const NOT_OF_TOKEN_CALLS: [&str; 2] = ["outcome_unknown", "no_introspection"];
const INTROSPECTION: &str = "introspect";
/// The reason of a grant that expired because it had no refresh token.
const NO_REFRESH_TOKEN: &str = "no_refresh_token";

/// The last failure, if by these token refreshes, the newest first, the provider renews nothing: it refuses the client, or has failed as
/// often in a row as opens the circuit breaker.
pub(super) fn failure_for_all(renewals: Vec<RecentRenewal>) -> Option<Event> {
    let (mut last, mut failures) = (None, 0);
    for renewal in renewals {
        let shows = shown_by(&renewal);
        match shows {
            Shows::Nothing => continue,
            Shows::Renewing => return None,
            Shows::ClientRefused | Shows::Failing => {}
        }
        let last = last.get_or_insert(renewal.event);
        failures += 1;
        if shows == Shows::ClientRefused || failures >= FAILURE_THRESHOLD {
            return Some(last.clone());
        }
    }
    None
}

fn shown_by(renewal: &RecentRenewal) -> Shows {
    let RecentRenewal { event, is_unrefused } = renewal;
    let reason = event.reason.as_str();
    match event.outcome.as_str() {
        "config" if *is_unrefused => Shows::ClientRefused,
        "retry" => Shows::Failing,
        "ambiguous" if NOT_OF_TOKEN_CALLS.contains(&reason) || reason.starts_with(INTROSPECTION) => Shows::Nothing,
        "ambiguous" => Shows::Failing,
        "dead" if reason == NO_REFRESH_TOKEN => Shows::Nothing,
        "dead" => match EndReason::parse(reason) {
            Some(EndReason::KeyLost | EndReason::OtherProvider) => Shows::Nothing,
            Some(
                EndReason::Dead
                | EndReason::OutcomeUnknown
                | EndReason::Restored
                | EndReason::IdentityRefused
                | EndReason::Expired,
            )
            | None => Shows::Renewing,
        },
        _ => Shows::Renewing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, grant::Grant};

    fn renewals(of: &[(&str, &str, bool)]) -> Vec<RecentRenewal> {
        let event = |outcome: &str, reason: &str| Event::renewal(&Grant::sample(), Timestamp(0), outcome, reason);
        of.iter()
            .map(|(outcome, reason, is_unrefused)| RecentRenewal { event: event(outcome, reason), is_unrefused: *is_unrefused })
            .collect()
    }

    #[test]
    fn one_grant_s_failure_is_nobody_else_s_and_a_provider_that_fails_everybody_is_told_by_its_last_words() {
        let (late, early) = (("retry", "unreachable", true), ("ambiguous", "timed_out", true));
        for (newest_first, expected) in [
            (&[][..], None),
            (&[("ok", "rotated", true), late, late, late], None),
            (&[("config", "invalid_client", true), ("ok", "kept", true)], Some("invalid_client")),
            (&[("config", "status_401", true)], Some("status_401")),
            (&[("config", "status_401", false), late, late, late], None),
            (&[("config", "invalid_scope", false)], None),
            (&[early, ("ok", "rotated", true)], None),
            (&[early, early], None),
            (&[late, early, early], Some("unreachable")),
            (&[late, early, ("dead", "invalid_grant", true), early], None),
            (&[late, early, ("superseded", "a_lost_race", true), early], None),
            (&[("ambiguous", "introspected_active", true), late, early, early], Some("unreachable")),
            (&[("ambiguous", "outcome_unknown", true), early, ("ambiguous", "no_introspection", true)], None),
            (&[("dead", "key_lost", true), ("dead", "no_refresh_token", true), late, late, late], Some("unreachable")),
            (&[late, ("config", "invalid_client", true), ("ok", "kept", true)], Some("unreachable")),
        ] {
            let failure = failure_for_all(renewals(newest_first)).map(|event| event.reason);
            assert_eq!(failure.as_deref(), expected, "{newest_first:?}");
        }
    }
}
