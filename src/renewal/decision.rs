//! What to do for a request, by its grant's state and the time alone. Pure.
//!
//! Before the background refresh window a grant is served as it is. Within it, it is served and refreshed in the background. Within
//! the blocking window, and after expiry, the request waits for the refresh.

use std::time::Duration;

use super::Settings;
use crate::{
    clock::Timestamp,
    grant::{EndReason, Grant},
};

/// What to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Serve it with what the grant has.
    Serve {
        /// With the last verified identity, after the access token has expired.
        stale: bool,
        /// And refresh in the background.
        refresh: bool,
    },
    /// Refresh before it is served.
    RefreshFirst,
    /// The provider refused this grant a moment ago, and nothing else serves it.
    Refused,
    /// The access token expired and nothing can renew it.
    Expired,
    /// The grant has ended.
    SignInAgain(EndReason),
}

/// What a grant is still good for without a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemainingUse {
    /// The access token lives.
    Live,
    /// It does not, but the grace does.
    Grace,
    /// Neither does.
    None,
}

/// Tokens may be in flight while they expire, so the last seconds of a life are as good as none.
const LAST_SECONDS: Duration = Duration::from_secs(5);

/// A pause that lasts longer than any that we take was recorded by a clock that went wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Decides; `in_trouble`: the last refreshes at the provider failed.
pub(super) fn decide(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    if let Some(ended) = &grant.ended {
        return match remaining_use_after_end(ended.reason, grant, settings, now) {
            RemainingUse::Live => serve(false, false),
            // Nobody is sent to a provider that is away.
            RemainingUse::Grace if in_trouble => serve(true, false),
            RemainingUse::Grace | RemainingUse::None => Decision::SignInAgain(ended.reason),
        };
    }
    if grant.unverified_since.is_some() {
        return until_verified(grant, settings, now, in_trouble);
    }
    let alive = now < grant.expires_at;
    if !grant.has_refresh_token {
        return if alive { serve(false, false) } else { Decision::Expired };
    }
    let left = grant.expires_at.since(now);
    // More left than it ever had: a clock was ahead when it was recorded, and the figure says nothing.
    let misdated = left > grant.lifetime;
    if left > background_window(grant, settings) && !misdated {
        return serve(false, false);
    }
    let paused = pause(grant, now).is_some();
    if paused && alive {
        return serve(false, false);
    }
    let blocking_window = LAST_SECONDS.min(grant.lifetime / 10);
    if left > blocking_window {
        return serve(false, true);
    }
    let just_failed = paused || grant.retry_at.is_some_and(|at| at <= now);
    if !in_trouble && !just_failed {
        return Decision::RefreshFirst;
    }
    // Somebody has just tried in vain: nobody waits for the next try who can be served without it.
    match remaining_use(grant, settings, now) {
        RemainingUse::Live => serve(false, true),
        RemainingUse::Grace => serve(true, !paused),
        RemainingUse::None if paused && grant.refused.is_some() => Decision::Refused,
        RemainingUse::None => Decision::RefreshFirst,
    }
}

/// For a grant whose newest tokens could not be verified: its access token is good for nothing, so that its life does not
/// count, and the next renewal may bring what can be verified.
fn until_verified(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    match remaining_use(grant, settings, now) {
        RemainingUse::Live | RemainingUse::Grace if pause(grant, now).is_some() => serve(true, false),
        RemainingUse::Live | RemainingUse::Grace if in_trouble || now < grant.expires_at => serve(true, true),
        RemainingUse::Live | RemainingUse::Grace | RemainingUse::None => Decision::RefreshFirst,
    }
}

/// How long this grant is not to be tried again.
pub(super) fn pause(grant: &Grant, now: Timestamp) -> Option<Duration> {
    let pause = grant.retry_at?.since(now);
    (!pause.is_zero() && pause <= LONGEST_PAUSE).then_some(pause)
}

/// What a grant is good for without a refresh. The grace counts from when the identity could not be verified any more, or else from
/// the access token's expiry.
pub(super) fn remaining_use(grant: &Grant, settings: &Settings, now: Timestamp) -> RemainingUse {
    let stale_from = grant.unverified_since.unwrap_or(grant.expires_at);
    if now < stale_from && grant.unverified_since.is_none() {
        RemainingUse::Live
    } else if now < stale_from.plus(settings.outage_grace) {
        RemainingUse::Grace
    } else {
        RemainingUse::None
    }
}

/// What a grant that has ended is good for. Of a refresh token whose fate is unknown the user is not to blame.
pub(super) fn remaining_use_after_end(reason: EndReason, grant: &Grant, settings: &Settings, now: Timestamp) -> RemainingUse {
    match reason {
        EndReason::OutcomeUnknown => remaining_use(grant, settings, now),
        EndReason::Dead | EndReason::IdentityRefused | EndReason::Expired | EndReason::OtherProvider | EndReason::KeyLost => {
            RemainingUse::None
        }
    }
}

fn serve(stale: bool, refresh: bool) -> Decision {
    Decision::Serve { stale, refresh }
}

/// How long before expiry the background refresh begins: the setting or a third of the token's life, less up to a
/// quarter that differs from grant to grant, so that those that were issued together do not all come at once.
fn background_window(grant: &Grant, settings: &Settings) -> Duration {
    let window = settings.renew_before.min(grant.lifetime / 3);
    let spread = grant.id.0.first().copied().unwrap_or(0);
    window - window / 4 * u32::from(spread) / 255
}

#[cfg(test)]
pub(super) mod tests;
