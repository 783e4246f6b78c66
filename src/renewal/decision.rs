//! Whether a grant is to be renewed, by its state and the time alone.

use std::time::Duration;

use super::Settings;
use crate::{
    clock::Timestamp,
    grant::{EndReason, Grant, Rotation},
    oidc::RotationClass,
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
    /// The same, and it is too early to try again.
    ServeStale,
    /// The provider refused this grant a moment ago, and nothing else serves it.
    Refused,
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

/// A pause that lasts longer than any that we take was noted by a clock that went wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

pub(super) fn decide(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    if let Some(ended) = &grant.ended {
        return match live_out(ended.reason, grant, settings, now) {
            LiveOut::Serve => Decision::Serve,
            LiveOut::UnlessTheProviderAnswers if in_trouble => Decision::ServeStale,
            LiveOut::UnlessTheProviderAnswers | LiveOut::Over => Decision::SignInAgain(ended.reason),
        };
    }
    if grant.unverified_since.is_some() {
        return until_verified(grant, settings, now, in_trouble);
    }
    let alive = now < grant.expires_at;
    if !grant.has_refresh_token {
        return if alive { Decision::Serve } else { Decision::Expired };
    }
    let left = grant.expires_at.since(now);
    // More left than it ever had: a clock was ahead when it was noted, and the figure says nothing.
    let misdated = left > grant.lifetime;
    if left > soft_window(grant, settings) && !misdated {
        return Decision::Serve;
    }
    let paused = pause(grant, now).is_some();
    if paused && alive {
        return Decision::Serve;
    }
    let hard_window = LAST_SECONDS.min(grant.lifetime / 10);
    if left > hard_window {
        return Decision::ServeAndRenew;
    }
    let just_failed = paused || grant.retry_at.is_some_and(|at| at <= now);
    if !in_trouble && !just_failed {
        return Decision::RenewFirst;
    }
    // Somebody has just tried in vain: nobody waits for the next try who can be served without it.
    match without_renewal(grant, settings, now) {
        Fallback::Serve => Decision::ServeAndRenew,
        Fallback::ServeStale if paused => Decision::ServeStale,
        Fallback::ServeStale => Decision::ServeStaleAndRenew,
        Fallback::Refuse if paused && grant.refused.is_some() => Decision::Refused,
        Fallback::Refuse => Decision::RenewFirst,
    }
}

/// For a grant whose newest tokens could not be verified: its access token is good for nothing, so that its life does not
/// count, and the next renewal may bring what can be verified.
fn until_verified(grant: &Grant, settings: &Settings, now: Timestamp, in_trouble: bool) -> Decision {
    match without_renewal(grant, settings, now) {
        Fallback::Serve | Fallback::ServeStale if pause(grant, now).is_some() => Decision::ServeStale,
        Fallback::Serve | Fallback::ServeStale if in_trouble || now < grant.expires_at => Decision::ServeStaleAndRenew,
        Fallback::Serve | Fallback::ServeStale | Fallback::Refuse => Decision::RenewFirst,
    }
}

/// How long this grant is not to be tried again.
pub(super) fn pause(grant: &Grant, now: Timestamp) -> Option<Duration> {
    let pause = grant.retry_at?.since(now);
    (!pause.is_zero() && pause <= LONGEST_PAUSE).then_some(pause)
}

pub(super) fn without_renewal(grant: &Grant, settings: &Settings, now: Timestamp) -> Fallback {
    // The grace counts from when the identity could not be verified any more, or else not be renewed.
    let stale_from = grant.unverified_since.unwrap_or(grant.expires_at);
    if now < stale_from && grant.unverified_since.is_none() {
        Fallback::Serve
    } else if now < stale_from.plus(settings.outage_grace) {
        Fallback::ServeStale
    } else {
        Fallback::Refuse
    }
}

/// What an ended grant is still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveOut {
    /// Its access token lives, and nobody has taken it back.
    Serve,
    /// The grace lasts: the user is to pass the provider, unless that is away.
    UnlessTheProviderAnswers,
    /// Nothing.
    Over,
}

/// Of a refresh token whose fate is unknown the user is not to blame.
pub(super) fn live_out(reason: EndReason, grant: &Grant, settings: &Settings, now: Timestamp) -> LiveOut {
    match reason {
        EndReason::OutcomeUnknown => match without_renewal(grant, settings, now) {
            Fallback::Serve => LiveOut::Serve,
            Fallback::ServeStale => LiveOut::UnlessTheProviderAnswers,
            Fallback::Refuse => LiveOut::Over,
        },
        EndReason::Dead | EndReason::IdentityRefused | EndReason::Expired | EndReason::OtherProvider | EndReason::KeyLost => {
            LiveOut::Over
        }
    }
}

/// What to do about a refresh token that was presented, and of which nobody knows what became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Present it again; where a reuse interval allows that, for so long after it was first presented.
    Reuse(Option<Duration>),
    /// Ask by introspection whether it is still good.
    Introspect,
    /// Ask so after this long: the request that presented it may still be under way.
    Settle(Duration),
    /// Nothing: presenting it again may look like theft.
    GiveUp,
}

/// A provider has done what it was asked, or never will, this long after it was asked by somebody who is gone.
pub(super) const SETTLED: Duration = Duration::from_secs(5);

/// What becomes of the refresh token of a grant whose intent has lapsed.
pub(super) fn recover(class: RotationClass, grant: &Grant, introspects: bool) -> Recovery {
    let ago = grant.presented_ago.unwrap_or_default();
    if may_reuse_token(class, grant) {
        return Recovery::Reuse(class.grace().filter(|_| grant.rotation != Rotation::Reusable));
    }
    match (introspects, SETTLED.saturating_sub(ago)) {
        (false, _) => Recovery::GiveUp,
        (true, Duration::ZERO) => Recovery::Introspect,
        (true, wait) => Recovery::Settle(wait),
    }
}

/// Whether a refresh token may be presented again after an attempt of unknown outcome: by what is known of the provider,
/// and where its settings decide, by what renewals have shown. Where nothing is known, it may not.
fn may_reuse_token(class: RotationClass, grant: &Grant) -> bool {
    match (class, grant.rotation) {
        (RotationClass::Reusable | RotationClass::Single | RotationClass::Unpunished, _)
        | (RotationClass::Grace(_) | RotationClass::Learnt, Rotation::Reusable) => true,
        (RotationClass::Grace(grace), Rotation::Rotating | Rotation::Unknown) => {
            grant.presented_ago.is_some_and(|ago| ago < grace)
        }
        (RotationClass::Strict, _) | (RotationClass::Learnt, Rotation::Rotating | Rotation::Unknown) => false,
    }
}

/// What is known of a provider's rotation: where its settings decide, what any of its renewals has shown, this grant's own
/// among them. One that has ever replaced a token is taken for strict.
pub(super) fn known_rotation(class: RotationClass, rotates: Option<bool>, own: Rotation) -> RotationClass {
    match (class, rotates, own) {
        (RotationClass::Learnt, Some(true), _) | (RotationClass::Learnt, _, Rotation::Rotating) => RotationClass::Strict,
        (RotationClass::Learnt, Some(false), Rotation::Reusable | Rotation::Unknown) => RotationClass::Reusable,
        (class, _, _) => class,
    }
}

/// Whether a refusal tells that a token is dead. That of one that was presented before may only say that it was used then.
pub(super) fn refusal_is_conclusive(class: RotationClass, is_repeated: bool) -> bool {
    !is_repeated || matches!(class, RotationClass::Reusable | RotationClass::Single)
}

/// How long a pause may be before a token is presented again: it must end within the window in which that is allowed.
pub(super) fn bounded_by_window(pause: Duration, window: Option<Duration>) -> Duration {
    window.map_or(pause, |window| pause.min(window / 2))
}

/// How much is left of the time in which a token that was presented `ago` may be presented again; `None`: no end is known.
pub(super) fn window_left(class: RotationClass, ago: Duration) -> Option<Duration> {
    class.grace().map(|grace| grace.saturating_sub(ago))
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
