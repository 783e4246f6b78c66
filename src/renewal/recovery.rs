//! How a refresh token comes to be presented, above all one that was presented before and whose fate nobody knows. Pure.

use std::time::Duration;

use crate::{
    grant::{AttemptId, Grant, Rotation},
    oidc::RefreshTokenRotation,
};

/// What an attempt at a token refresh does next, by the grant's row alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: the grant has ended.
    Ended,
    /// Nothing: its tokens cannot be read without a key that this replica does not have.
    KeyMissing,
    /// Nothing: it has been renewed meanwhile.
    Renewed,
    /// Waits for this attempt, which holds the intent.
    WaitFor(AttemptId),
    /// Retries after this attempt, whose lease expired, as far as [`recover`] allows it.
    RetryAfter(AttemptId),
    /// Presents the token, which nobody else does.
    Present,
}

/// Plans an attempt that was asked for when the grant had this `generation`.
pub(super) fn plan(grant: &Grant, generation: i64) -> Plan {
    if grant.ended.is_some() {
        return Plan::Ended;
    }
    if grant.missing_key.is_some() {
        return Plan::KeyMissing;
    }
    if grant.generation > generation {
        return Plan::Renewed;
    }
    match grant.intent {
        None => Plan::Present,
        Some(intent) if intent.lapsed => Plan::RetryAfter(intent.attempt),
        Some(intent) => Plan::WaitFor(intent.attempt),
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
/// A token is presented no later than this after its intent: well before the replica can be taken for dead.
pub(super) const MAX_INTENT_AGE: Duration = Duration::from_secs(3);

/// What becomes of the refresh token of a grant whose attempt's lease expired.
pub(super) fn recover(class: RefreshTokenRotation, grant: &Grant, introspects: bool) -> Recovery {
    let ago = grant.presented_ago.unwrap_or_default();
    if may_reuse_token(class, grant) {
        return Recovery::Reuse(class.reuse_interval().filter(|_| grant.rotation != Rotation::Reusable));
    }
    // The intent is dated, and the token may have been presented as late as it allows.
    match (introspects, (MAX_INTENT_AGE + SETTLED).saturating_sub(ago)) {
        (false, _) => Recovery::GiveUp,
        (true, Duration::ZERO) => Recovery::Introspect,
        (true, wait) => Recovery::Settle(wait),
    }
}

/// Whether a refresh token may be presented again after an attempt of unknown outcome: by what is known of the provider,
/// and where its settings decide, by what renewals have shown. Where nothing is known, it may not.
fn may_reuse_token(class: RefreshTokenRotation, grant: &Grant) -> bool {
    match (class, grant.rotation) {
        (RefreshTokenRotation::Reusable | RefreshTokenRotation::NonRotating | RefreshTokenRotation::SingleUse, _)
        | (RefreshTokenRotation::ReuseInterval(_) | RefreshTokenRotation::Observed, Rotation::Reusable) => true,
        (RefreshTokenRotation::ReuseInterval(grace), Rotation::Rotating | Rotation::Unknown) => {
            grant.presented_ago.is_some_and(|ago| ago < grace)
        }
        (RefreshTokenRotation::ReuseDetection, _) | (RefreshTokenRotation::Observed, Rotation::Rotating | Rotation::Unknown) => {
            false
        }
    }
}

/// What is known of a provider's rotation: where its settings decide, what any of its renewals has shown, this grant's own
/// among them. One that has ever replaced a token is taken for strict.
pub(super) fn known_rotation(class: RefreshTokenRotation, rotates: Option<bool>, own: Rotation) -> RefreshTokenRotation {
    match (class, rotates, own) {
        (RefreshTokenRotation::Observed, Some(true), _) | (RefreshTokenRotation::Observed, _, Rotation::Rotating) => {
            RefreshTokenRotation::ReuseDetection
        }
        (RefreshTokenRotation::Observed, Some(false), Rotation::Reusable | Rotation::Unknown) => RefreshTokenRotation::Reusable,
        (class, _, _) => class,
    }
}

/// Whether a refusal tells that a token is dead. That of one that was presented before may only say that it was used then.
pub(super) fn refusal_is_conclusive(class: RefreshTokenRotation, is_repeated: bool) -> bool {
    !is_repeated || matches!(class, RefreshTokenRotation::Reusable | RefreshTokenRotation::NonRotating)
}

/// How long a pause may be before a token is presented again: it must end within the window in which that is allowed.
pub(super) fn bounded_by_window(pause: Duration, window: Option<Duration>) -> Duration {
    window.map_or(pause, |window| pause.min(window / 2))
}

/// How much is left of the time in which a token that was presented `ago` may be presented again; `None`: no end is known.
pub(super) fn window_left(class: RefreshTokenRotation, ago: Duration) -> Option<Duration> {
    class.reuse_interval().map(|grace| grace.saturating_sub(ago))
}

#[cfg(test)]
mod tests;
