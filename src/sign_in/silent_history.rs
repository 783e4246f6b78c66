//! The cookie that records a browser's silent re-authentication: whether it may be tried, and whether the last attempt came back.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    secret::{hex, sha256},
};

/// Whether silent re-authentication may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SilentState {
    /// It may be tried.
    Allowed,
    /// It was tried recently, or is under way in another tab.
    Paused,
    /// The last attempt never came back: the provider shows a page of its own instead of redirecting.
    NeverCameBack,
    /// The last attempt never came back, and that is recorded.
    Off,
}

/// The minimum time between silent attempts, whatever their result: two replicas with different settings must not redirect a
/// browser forever.
const SILENT_INTERVAL: Duration = Duration::from_secs(600);
/// How long after the redirect a browser counts as lost.
const RETURN_TIMEOUT: Duration = Duration::from_secs(10);
/// The `Max-Age` of the cookie that records that a browser has come back: the browser forgets it when it says nothing more, also
/// if this machine's clock was wrong when it was set.
pub(super) const BACK_MAX_AGE: Duration = SILENT_INTERVAL;
/// The `Max-Age` of the other cookies.
pub(super) const COOKIE_MAX_AGE: Duration = Duration::from_secs(30 * 86_400);

/// Returns the state for this provider, by the cookie.
pub(super) fn state(cookie: Option<&str>, issuer: &str, now: Timestamp) -> SilentState {
    let Some(cookie) = cookie else { return SilentState::Allowed };
    let mut parts = cookie.split('.');
    let (event, provider, at) = (parts.next(), parts.next(), parts.next().and_then(|at| at.parse().ok()).map(Timestamp));
    match (event, at) {
        // The cookie of an older release, at most ten minutes old.
        (Some("1"), None) if provider.is_none() => SilentState::Paused,
        _ if provider != Some(name(issuer).as_str()) => SilentState::Allowed,
        (Some("sent"), Some(at)) if now < at.plus(RETURN_TIMEOUT) => SilentState::Paused,
        (Some("sent"), Some(_)) => SilentState::NeverCameBack,
        (Some("back"), Some(at)) if now < at.plus(SILENT_INTERVAL) => SilentState::Paused,
        (Some("off"), Some(_)) => SilentState::Off,
        (_, _) => SilentState::Allowed,
    }
}

/// Returns the cookie's value when a browser is redirected.
pub(super) fn sent(issuer: &str, now: Timestamp) -> String {
    cookie("sent", issuer, now)
}

/// Returns the cookie's value when the browser has come back.
pub(super) fn back(issuer: &str, now: Timestamp) -> String {
    cookie("back", issuer, now)
}

/// Returns the cookie's value when the browser never came back.
pub(super) fn off(issuer: &str, now: Timestamp) -> String {
    cookie("off", issuer, now)
}

fn cookie(event: &str, issuer: &str, now: Timestamp) -> String {
    format!("{event}.{}.{}", name(issuer), now.0)
}

/// Returns a short name of a provider, so that the record does not apply to another one.
fn name(issuer: &str) -> String {
    hex(sha256(issuer.as_bytes()).first_chunk::<4>().unwrap_or(&[0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_never_came_back_is_not_made_again_at_that_provider() {
        const ISSUER: &str = "https://idp.example";
        let at = Timestamp(1_000_000_000);
        let later = |seconds: u64| at.plus(Duration::from_secs(seconds));
        let (sent, back, off) = (sent(ISSUER, at), back(ISSUER, at), off(ISSUER, at));
        let malformed = format!("sent.{}.x", name(ISSUER));
        for (cookie, seconds, expected) in [
            (None, 0, SilentState::Allowed),
            (Some("1"), 0, SilentState::Paused),
            (Some(sent.as_str()), 0, SilentState::Paused),
            (Some(sent.as_str()), 9, SilentState::Paused),
            (Some(sent.as_str()), 10, SilentState::NeverCameBack),
            (Some(sent.as_str()), 90_000, SilentState::NeverCameBack),
            (Some(back.as_str()), 0, SilentState::Paused),
            (Some(back.as_str()), 599, SilentState::Paused),
            (Some(back.as_str()), 600, SilentState::Allowed),
            (Some(off.as_str()), 0, SilentState::Off),
            (Some(off.as_str()), 90_000, SilentState::Off),
            (Some(""), 0, SilentState::Allowed),
            (Some("nonsense"), 0, SilentState::Allowed),
            (Some("sent"), 0, SilentState::Allowed),
            (Some(malformed.as_str()), 0, SilentState::Allowed),
        ] {
            assert_eq!(state(cookie, ISSUER, later(seconds)), expected, "{cookie:?} after {seconds} s");
        }
        for cookie in [&sent, &back, &off] {
            assert_eq!(state(Some(cookie), "https://other.example", later(20)), SilentState::Allowed, "{cookie}");
        }
    }
}
