//! Decides what to do for a request by its grant's state and the time alone. Pure.
//!
//! Before the background refresh window a grant is served as it is. Within it, it is served and refreshed in the background. Within
//! the blocking window, and after expiry, the request waits for the refresh.

use std::time::Duration;

use super::settings::Settings;
use crate::{
    clock::Timestamp,
    grant::{EndReason, Grant},
};

/// What to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Serve it with the grant as it is.
    Serve {
        /// Whether the access token has expired, so that the last verified identity is used.
        stale: bool,
        /// Whether to refresh in the background as well.
        refresh: bool,
    },
    /// Refresh before the request is served.
    RefreshFirst,
    /// The provider has just refused this grant, and the request cannot be served without a refresh.
    Refused,
    /// The access token has expired, and there is no refresh token.
    Expired,
    /// The claims were read by other settings, and refreshes do not bring them as they are read now. The grant lives, and nothing is
    /// recorded of it: after a rollback it is as good as it was.
    ReadOtherwise,
    /// The grant has ended: a login brings another, unless the provider is away and the grace runs.
    SignInAgain(EndReason),
}

/// What a grant is still good for without a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemainingUse {
    /// The access token is valid.
    Live,
    /// The access token has expired, but the outage grace has not.
    Grace,
    /// Both have expired.
    None,
}

/// When a grant is refreshed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRefresh {
    /// At the first use from this time on.
    From(Timestamp),
    /// At the next use, because it is due, or because the last one is to be verified.
    AtNextUse,
    /// At the first use after a pause, which ends then: the last one failed.
    AfterPause(Timestamp),
    /// Never: the grant has ended, or there is no refresh token that can be read.
    Never,
}

/// A token may expire on its way, so the last seconds of its lifetime do not count.
const LAST_SECONDS: Duration = Duration::from_secs(5);

/// For how long a refresh that another replica has made is not repeated because of its dates.
const JUST_REFRESHED: Duration = Duration::from_secs(60);

/// How much the clocks of replicas may differ without one of them taking what another has dated for the work of a wrong clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// A longer recorded pause than this comes from a clock that was wrong. The longest is that of a provider's `Retry-After`, ten minutes.
const MAX_PAUSE: Duration = Duration::from_secs(600).saturating_add(CLOCK_TOLERANCE);

/// Decides; `in_trouble` says whether the last token refreshes failed.
pub(super) fn decide(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    if let Some(ended) = &grant.ended {
        return match remaining_use_after_end(ended.reason, grant, settings, now) {
            RemainingUse::Live => serve(false, false),
            RemainingUse::Grace | RemainingUse::None => Decision::SignInAgain(ended.reason),
        };
    }
    let alive = now < grant.expires_at;
    // Without a refresh token nothing more will be verified.
    if grant.unverified_since.is_some() && (alive || grant.has_refresh_token) {
        return decide_unverified(grant, settings, now, in_trouble);
    }
    if !grant.has_refresh_token {
        return if alive { serve(false, false) } else { Decision::Expired };
    }
    // A browser is not sent to a provider that is unavailable.
    if !in_trouble && settings.is_read_too_long_ago(grant, now) {
        return Decision::ReadOtherwise;
    }
    if alive && settings.is_outdated(grant, now) && pause(grant, now).is_none() {
        return decide_outdated(grant, now, in_trouble);
    }
    let left = grant.expires_at.since(now);
    if left > background_window(grant, settings) && !is_misdated(grant, now) {
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
    // An attempt has just failed: a request that can be served without the next one does not wait for it.
    match remaining_use(grant, settings, now) {
        RemainingUse::Live => serve(false, true),
        RemainingUse::Grace => serve(true, !paused),
        RemainingUse::None if paused && grant.refused.is_some() => Decision::Refused,
        RemainingUse::None => Decision::RefreshFirst,
    }
}

/// Whether more than the token's whole lifetime is left: a clock was wrong when the expiry was recorded.
pub(super) fn is_misdated(grant: &Grant, now: Timestamp) -> bool {
    grant.expires_at.since(now) > grant.lifetime.saturating_add(CLOCK_TOLERANCE)
}

/// Whether a grant that has just been read, and that is misdated by this replica's clock, was refreshed a moment ago by the database's.
/// Of two replicas whose clocks are so far apart each would date it in a way that has the other refresh it at every request.
pub(super) fn is_misdated_by_another(grant: &Grant, now: Timestamp) -> bool {
    let is_new = grant.generation > 0 && grant.presented_ago.is_some_and(|ago| ago < JUST_REFRESHED);
    is_new && is_misdated(grant, now)
}

/// Decides for somebody who needs the access token to live for `lasting` from now, or for half of its lifetime if that is less: more
/// than that would be a refresh for every request. Where refreshes fail, nobody waits for one, and what is left of the token has to do.
pub(super) fn decide_lasting(
    grant: &Grant,
    settings: &Settings,
    now: Timestamp,
    in_trouble: bool,
    lasting: Duration,
) -> Decision {
    let decision = decide(grant, settings, now, in_trouble);
    let is_short = grant.expires_at.since(now) < lasting.min(grant.lifetime / 2);
    let can_refresh = grant.has_refresh_token && grant.ended.is_none() && pause(grant, now).is_none();
    if decision != serve(false, false) && decision != serve(false, true) || !is_short || !can_refresh {
        return decision;
    }
    let just_failed = in_trouble || grant.retry_at.is_some_and(|at| at <= now);
    if just_failed { serve(false, true) } else { Decision::RefreshFirst }
}

/// Decides on a grant whose user was never asked for a claim that some route needs since its settings changed, or whose claims were
/// read by other settings. The request waits, because a rule may depend on it; whatever comes of the refresh, a grant that is alive
/// is served.
fn decide_outdated(grant: &Grant, now: Timestamp, in_trouble: bool) -> Decision {
    let just_failed = grant.retry_at.is_some_and(|at| at <= now);
    if in_trouble || just_failed { serve(false, true) } else { Decision::RefreshFirst }
}

/// Decides on a grant whose newest tokens could not be verified: its access token is not used, so its lifetime does not count,
/// and the next refresh may bring tokens that can be verified.
fn decide_unverified(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    match remaining_use(grant, settings, now) {
        RemainingUse::Live | RemainingUse::Grace if pause(grant, now).is_some() => serve(true, false),
        RemainingUse::Live | RemainingUse::Grace if in_trouble || now < grant.expires_at => serve(true, true),
        RemainingUse::Live | RemainingUse::Grace | RemainingUse::None => Decision::RefreshFirst,
    }
}

/// Returns when a grant is refreshed next, by the same windows as requests are decided by.
pub(super) fn next_refresh(grant: &Grant, settings: &Settings, now: Timestamp) -> NextRefresh {
    if grant.ended.is_some() || !grant.has_refresh_token || grant.missing_key.is_some() {
        return NextRefresh::Never;
    }
    if let Some(pause) = pause(grant, now) {
        return NextRefresh::AfterPause(now.plus(pause));
    }
    let from = grant.expires_at.minus(background_window(grant, settings));
    let is_due = from <= now || grant.unverified_since.is_some() || settings.is_outdated(grant, now);
    if is_due { NextRefresh::AtNextUse } else { NextRefresh::From(from) }
}

/// Returns how long this grant is backing off.
pub(super) fn pause(grant: &Grant, now: Timestamp) -> Option<Duration> {
    now.pause_until(grant.retry_at?, MAX_PAUSE)
}

/// Returns what a grant is good for without a refresh. The grace counts from when the identity could no longer be verified, or
/// else from the access token's expiry.
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

/// Returns what an ended grant is good for.
pub(super) fn remaining_use_after_end(reason: EndReason, grant: &Grant, settings: &Settings, now: Timestamp) -> RemainingUse {
    if reason.leaves_remaining_use() { remaining_use(grant, settings, now) } else { RemainingUse::None }
}

/// Returns what a grant, as it was last known, is good for while it cannot be refreshed: the store cannot be asked, or its tokens cannot
/// be read.
pub(super) fn remaining_use_without_refresh(grant: &Grant, settings: &Settings, now: Timestamp) -> RemainingUse {
    let left = match &grant.ended {
        Some(ended) => remaining_use_after_end(ended.reason, grant, settings, now),
        None => remaining_use(grant, settings, now),
    };
    // No outage keeps a grant from being refreshed that has no refresh token.
    if left == RemainingUse::Grace && !grant.has_refresh_token { RemainingUse::None } else { left }
}

fn serve(stale: bool, refresh: bool) -> Decision {
    Decision::Serve { stale, refresh }
}

/// How long before expiry the background refresh begins: the setting or a third of the token's lifetime, less up to a quarter
/// that differs from grant to grant, so that grants that were issued together are not all refreshed together.
fn background_window(grant: &Grant, settings: &Settings) -> Duration {
    let window = settings.renew_before.min(grant.lifetime / 3);
    let spread = grant.id.0.first().copied().unwrap_or(0);
    window - window / 4 * u32::from(spread) / 255
}

#[cfg(test)]
pub(super) mod tests;
