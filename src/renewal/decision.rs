//! Whether a grant is to be renewed, by its state and the time alone.

use std::time::Duration;

use super::Settings;
use crate::{
    clock::Timestamp,
    grant::{EndReason, Grant, Rotation},
};

/// What to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Serve it.
    Serve,
    /// Serve it, and renew in the background.
    ServeAndRenew,
    /// Renew before it is served.
    RenewFirst,
    /// The provider is in trouble: serve it with the last verified identity, and try in the background.
    ServeStaleAndRenew,
    /// The access token expired and nothing can renew it.
    Expired,
    /// The grant has ended.
    SignInAgain(EndReason),
}

/// What to do when a renewal did not come about in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The access token still lives.
    Serve,
    /// It does not, but the grace does.
    ServeStale,
    /// Neither does.
    Refuse,
}

/// Tokens may be in flight while they expire, so the last seconds of a life are as good as none.
const LAST_SECONDS: Duration = Duration::from_secs(5);

pub(super) fn decide(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    if let Some(ended) = &grant.ended {
        return if may_live_out(ended.reason, grant, now) { Decision::Serve } else { Decision::SignInAgain(ended.reason) };
    }
    let alive = now < grant.expires_at;
    if !grant.has_refresh_token {
        return if alive { Decision::Serve } else { Decision::Expired };
    }
    let left = grant.expires_at.since(now);
    if left > soft_window(grant, settings) {
        return Decision::Serve;
    }
    if grant.retry_at.is_some_and(|at| now < at) && alive {
        return Decision::Serve;
    }
    let hard_window = LAST_SECONDS.min(grant.lifetime / 10);
    if left > hard_window {
        return Decision::ServeAndRenew;
    }
    if !in_trouble && grant.retry_at.is_none() {
        return Decision::RenewFirst;
    }
    // Somebody has just tried in vain: nobody waits for the next try who can be served without it.
    match without_renewal(grant, settings, now) {
        Fallback::Serve => Decision::ServeAndRenew,
        Fallback::ServeStale => Decision::ServeStaleAndRenew,
        Fallback::Refuse => Decision::RenewFirst,
    }
}

pub(super) fn without_renewal(grant: &Grant, settings: &Settings, now: Timestamp) -> Fallback {
    if now < grant.expires_at {
        Fallback::Serve
    } else if now < grant.expires_at.plus(settings.outage_grace) {
        Fallback::ServeStale
    } else {
        Fallback::Refuse
    }
}

/// Whether an ended grant's access token may still be used. Of a refresh token whose fate is unknown the user
/// is not to blame, and nobody has taken the access token back.
pub(super) fn may_live_out(reason: EndReason, grant: &Grant, now: Timestamp) -> bool {
    match reason {
        EndReason::OutcomeUnknown => now < grant.expires_at,
        EndReason::Dead | EndReason::IdentityRefused | EndReason::Expired => false,
    }
}

/// Whether a refresh token may be presented again after an attempt of unknown outcome. Where none has been
/// seen to rotate, once: if it had been consumed the login is due anyway, and else nobody notices.
pub(super) fn may_follow(rotation: Rotation, presented: i64) -> bool {
    match rotation {
        Rotation::Reusable => true,
        Rotation::Unknown => presented <= 1,
        Rotation::Rotating => false,
    }
}

/// How long before expiry the renewal begins: the setting or a third of the token's life, less up to a
/// quarter that differs from grant to grant, so that those that were issued together do not all come at once.
fn soft_window(grant: &Grant, settings: &Settings) -> Duration {
    let window = settings.renew_before.min(grant.lifetime / 3);
    let spread = grant.id.0.first().copied().unwrap_or(0);
    window - window / 4 * u32::from(spread) / 255
}

#[cfg(test)]
mod tests;
