//! Decides whether a refresh token is presented, above all one that was presented before with an unknown outcome. Pure.

use std::time::Duration;

use crate::{
    grant::{AttemptId, Grant, Rotation},
    oidc::RefreshTokenRotation,
};

/// The next step of an attempt at a token refresh, by the grant's row alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: the grant has ended.
    Ended,
    /// Nothing: this replica does not have the key that the tokens are encrypted under.
    KeyMissing,
    /// Nothing: the grant has been refreshed meanwhile.
    Renewed,
    /// Wait for this attempt, which holds the intent.
    WaitFor(AttemptId),
    /// Retry after this attempt, whose lease has expired, if [`decide`] allows it.
    RetryAfter(AttemptId),
    /// Present the token; no other attempt is under way.
    Present,
}

/// Plans an attempt that was requested when the grant had this `generation`.
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
        Some(intent) if intent.lease_expired => Plan::RetryAfter(intent.attempt),
        Some(intent) => Plan::WaitFor(intent.attempt),
    }
}

/// What to do about a refresh token that was presented with an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Present it again; with a reuse interval, only in this window.
    Reuse(Option<ReuseWindow>),
    /// Introspect it. It is [settled](SETTLED).
    Introspect,
    /// Introspect it when it is settled, after so long.
    Settle(Duration),
    /// End the grant: presenting the token again may look like theft.
    GiveUp,
}

/// When a token may be presented again within a reuse interval. What is left of the interval is for the way to the provider: a call that
/// it handles after the interval is theft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReuseWindow {
    /// How long after the first presentation another intent may be written.
    pub(super) within: Duration,
    /// How long after its intent the token may be presented, and how long after that there must be a connection.
    pub(super) latest: Duration,
}

impl ReuseWindow {
    pub(super) fn of(interval: Duration) -> Self {
        let margin = (interval / 4).max(MIN_REUSE_MARGIN);
        Self { within: interval.saturating_sub(margin), latest: (margin / 3).min(MAX_INTENT_AGE) }
    }
}

/// A quarter of a reuse interval is left for the way to the provider, and no less than this.
const MIN_REUSE_MARGIN: Duration = Duration::from_secs(1);

/// How long after a token call whose client is gone the provider has processed it, or never will. A token that is introspected and
/// active is presented again, and so must not be under way: the lease of an attempt expires no earlier. Whoever made the call dates
/// this from its end. Of a replica that is gone nobody knows when that was, because a provider finishes what it has received: there it
/// counts from the latest end that the call can have had.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
/// A token is presented at most this long after its intent: well before other replicas can consider this one dead.
pub(super) const MAX_INTENT_AGE: Duration = Duration::from_secs(3);
/// Time for introspection before, and for saving after, the longest token call. The lease covers all three.
pub(super) const SAVING: Duration = Duration::from_secs(15);
/// What is left of a lease when its token call is settled, however late it began and however long it took.
const LEFT_WHEN_SETTLED: Duration = SAVING.saturating_sub(MAX_INTENT_AGE).saturating_sub(SETTLED);

/// Decides on the refresh token of a grant whose attempt's lease has expired.
pub(super) fn decide(class: RefreshTokenRotation, grant: &Grant, introspects: bool, token_timeout: Duration) -> Recovery {
    if may_reuse_token(class, grant) {
        return Recovery::Reuse(class.reuse_interval().map(ReuseWindow::of));
    }
    match unsettled(class, grant, token_timeout) {
        _ if !introspects => Recovery::GiveUp,
        Some(wait) => Recovery::Settle(wait),
        None => Recovery::Introspect,
    }
}

/// How long a token that could be presented again within a reuse interval, and no longer can, may still be under way. Within the
/// interval leases expire early, so that it can be used: each presentation began in it and took no longer than a token call.
fn unsettled(class: RefreshTokenRotation, grant: &Grant, token_timeout: Duration) -> Option<Duration> {
    let interval = class.reuse_interval()?;
    let settled_after = interval.saturating_add(token_timeout).saturating_add(MAX_INTENT_AGE).saturating_add(SETTLED);
    settled_after.checked_sub(grant.presented_ago?).filter(|left| !left.is_zero())
}

/// For how long a token whose call has just ended with an unknown outcome must not be introspected, if that comes next: it was first
/// presented `presented_ago`.
pub(super) fn settling(class: RefreshTokenRotation, introspects: bool, presented_ago: Duration) -> Duration {
    let is_over = |interval| presented_ago >= ReuseWindow::of(interval).within;
    let is_asked_about = class.reuse_interval().map_or(class.may_detect_reuse(), is_over);
    if introspects && is_asked_about { SETTLED } else { Duration::ZERO }
}

/// Returns how much may be left of a dead replica's lease when it is made to expire, if that matters: a token that is then introspected
/// may still be under way until [`LEFT_WHEN_SETTLED`] is left.
pub(super) fn expirable_lease(recovery: Recovery) -> Option<Duration> {
    match recovery {
        Recovery::Introspect | Recovery::Settle(_) => Some(LEFT_WHEN_SETTLED),
        Recovery::Reuse(_) | Recovery::GiveUp => None,
    }
}

/// Whether a refresh token may be presented again after an attempt of unknown outcome: by the provider's rotation, and where that
/// depends on its settings, by what token refreshes have shown. If nothing is known, it may not. That the last one kept its token does
/// not show that a provider with a reuse interval never rotates: some do so once in a while, or from some day on.
fn may_reuse_token(class: RefreshTokenRotation, grant: &Grant) -> bool {
    match (class, grant.rotation) {
        (RefreshTokenRotation::Reusable | RefreshTokenRotation::NonRotating | RefreshTokenRotation::SingleUse, _)
        | (RefreshTokenRotation::Observed, Rotation::Reusable) => true,
        (RefreshTokenRotation::ReuseInterval(interval), _) => {
            grant.presented_ago.is_some_and(|ago| ago < ReuseWindow::of(interval).within)
        }
        (RefreshTokenRotation::ReuseDetection, _) | (RefreshTokenRotation::Observed, Rotation::Rotating | Rotation::Unknown) => {
            false
        }
    }
}

/// Returns a provider's rotation; if it depends on the provider's settings, by what all token refreshes, this grant's included,
/// have shown. A provider that has ever rotated a token is assumed to detect reuse.
pub(super) fn known_rotation(class: RefreshTokenRotation, rotates: Option<bool>, own: Rotation) -> RefreshTokenRotation {
    match (class, rotates, own) {
        (RefreshTokenRotation::Observed, Some(true), _) | (RefreshTokenRotation::Observed, _, Rotation::Rotating) => {
            RefreshTokenRotation::ReuseDetection
        }
        (RefreshTokenRotation::Observed, Some(false), Rotation::Reusable | Rotation::Unknown) => RefreshTokenRotation::Reusable,
        (class, _, _) => class,
    }
}

/// Whether a refusal proves that a grant is dead. For a token that was presented before, it may only say that the token has been
/// used.
pub(super) fn refusal_is_conclusive(class: RefreshTokenRotation, is_repeated: bool) -> bool {
    !is_repeated || matches!(class, RefreshTokenRotation::Reusable | RefreshTokenRotation::NonRotating)
}

/// Shortens a pause so that it ends within the window in which a token may be presented again.
pub(super) fn bounded_by_window(pause: Duration, window: Option<Duration>) -> Duration {
    window.map_or(pause, |window| pause.min(window / 2))
}

/// Returns what is left of the window in which a token that was presented `ago` may be presented again; `None` if there is no
/// limit.
pub(super) fn window_left(class: RefreshTokenRotation, ago: Duration) -> Option<Duration> {
    class.reuse_interval().map(|interval| ReuseWindow::of(interval).within.saturating_sub(ago))
}

#[cfg(test)]
mod tests;
