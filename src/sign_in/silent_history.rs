//! What a browser's cookie tells of silent logins: whether one may be made, and whether the last one ever came back.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    secret::{hex, sha256},
};

/// Whether a browser may be sent to the provider silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SilentState {
    /// It may.
    Allowed,
    /// It was a moment ago, or is under way in another tab: not again so soon.
    NotAgain,
    /// It was, and never came back: the provider shows a page of its own instead of sending it back.
    NeverCameBack,
    /// The same, and that has been noted.
    Off,
}

/// A browser that has come back from a silent attempt is not sent so again for this long, whatever came of it: two replicas
/// with different settings must not keep anybody from their page.
const NOT_AGAIN: Duration = Duration::from_secs(600);
/// A browser that is not back by then does not come back.
const BACK_BY: Duration = Duration::from_secs(10);
/// How long a browser remembers.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// By the cookie, for this provider.
pub(super) fn state(cookie: Option<&str>, issuer: &str, now: Timestamp) -> SilentState {
    let Some(cookie) = cookie else { return SilentState::Allowed };
    let mut parts = cookie.split('.');
    let (what, whose, at) = (parts.next(), parts.next(), parts.next().and_then(|at| at.parse().ok()).map(Timestamp));
    match (what, at) {
        // An older replica sent it there, ten minutes ago at most.
        (Some("1"), None) if whose.is_none() => SilentState::NotAgain,
        _ if whose != Some(name(issuer).as_str()) => SilentState::Allowed,
        (Some("sent"), Some(at)) if now < at.plus(BACK_BY) => SilentState::NotAgain,
        (Some("sent"), Some(_)) => SilentState::NeverCameBack,
        (Some("back"), Some(at)) if now < at.plus(NOT_AGAIN) => SilentState::NotAgain,
        (Some("off"), Some(_)) => SilentState::Off,
        (_, _) => SilentState::Allowed,
    }
}

/// A browser is sent now.
pub(super) fn sent(issuer: &str, now: Timestamp) -> String {
    cookie("sent", issuer, now)
}

/// It has come back.
pub(super) fn back(issuer: &str, now: Timestamp) -> String {
    cookie("back", issuer, now)
}

/// It never did.
pub(super) fn off(issuer: &str, now: Timestamp) -> String {
    cookie("off", issuer, now)
}

fn cookie(what: &str, issuer: &str, now: Timestamp) -> String {
    format!("{what}.{}.{}", name(issuer), now.0)
}

/// A short name for a provider, so that another one is not held to what this one did.
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
            (Some("1"), 0, SilentState::NotAgain),
            (Some(sent.as_str()), 0, SilentState::NotAgain),
            (Some(sent.as_str()), 9, SilentState::NotAgain),
            (Some(sent.as_str()), 10, SilentState::NeverCameBack),
            (Some(sent.as_str()), 90_000, SilentState::NeverCameBack),
            (Some(back.as_str()), 0, SilentState::NotAgain),
            (Some(back.as_str()), 599, SilentState::NotAgain),
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
