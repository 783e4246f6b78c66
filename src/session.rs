//! The session: one browser, identified by a random cookie value, of which only the hash is stored; or a script, by a token.

mod browser_mark;
pub mod cache;
pub mod cookie;
mod end_source;
pub mod ended_users;
mod form_seal;
pub mod live;
mod opener;
mod personal_token;
mod session_hash;
pub mod unrecorded;
mod user_key;

use std::time::Duration;

use crate::{clock::Timestamp, grant::GrantId};

pub use browser_mark::{BrowserMark, UserHash};
pub use end_source::EndSource;
pub use ended_users::{OwnerStanding, TokenOwner};
pub use form_seal::{FormSeals, LIFE as FORM_LIFE, SealedForm};
pub use opener::Opener;
pub use personal_token::{PersonalToken, TokenScope};
pub use session_hash::SessionHash;
pub use user_key::{UserKey, UserName};

/// How long sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_SESSION_DURATION`, the idle limit: a session ends after this long without a request.
    pub idle: Duration,
    /// `CODER_SESSION_MAX_DURATION`, the absolute limit: a session ends this long after login.
    pub absolute: Duration,
    /// Whether requests prolong a session. False with `CODER_DISABLE_SESSION_EXPIRY_REFRESH`.
    pub sliding: bool,
    /// `CODER_MAX_TOKEN_LIFETIME`: a personal access token ends this long after it was made, whatever was promised then.
    pub longest_token: Duration,
}

/// A stored session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The hash that identifies it.
    pub hash: SessionHash,
    /// The session's grant.
    pub grant: GrantId,
    /// The time of the login.
    pub created_at: Timestamp,
    /// The time of the last request, exact to [`Settings::granularity`].
    pub last_seen: Timestamp,
    /// The provider's name for the browser's session there (`sid`), which back-channel logouts may name.
    pub provider_session: Option<Box<str>>,
    /// The site that its login was for, as the browser names it; `None` if an older release made the session.
    pub site: Option<Box<str>>,
    /// What is particular of it if it is a personal access token's, and no browser's.
    pub token: Option<Box<PersonalToken>>,
    /// The session at the login site that it was handed over from, if it was (`CODER_SHARED_LOGIN`).
    pub login: Option<SessionHash>,
}

/// The limit that a session has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The idle limit.
    Idle,
    /// The absolute limit.
    Absolute,
    /// The idle limit, where use does not prolong it (`CODER_DISABLE_SESSION_EXPIRY_REFRESH`).
    Duration,
    /// The expiry of a personal access token.
    TokenExpiry,
}

impl Limit {
    /// The name in the history, which must not change.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Absolute => "absolute",
            Self::Duration => "duration",
            Self::TokenExpiry => "token_expired",
        }
    }
}

impl Settings {
    /// The granularity of last-seen times: fine enough for the idle limit, coarse enough that few requests cause a write. The
    /// idle limit is extended by it, so that no user is logged out early.
    pub fn granularity(&self) -> Duration {
        (self.idle / 20).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Returns when a personal access token ends.
    pub fn token_end(&self, session: &Session, token: &PersonalToken) -> Timestamp {
        token.expires_at.min(session.created_at.plus(self.longest_token))
    }

    /// Returns when a session ends if it is not used any more, and by which limit.
    pub fn ends(&self, session: &Session, last_seen: Timestamp) -> (Timestamp, Limit) {
        if let Some(token) = &session.token {
            return (self.token_end(session, token), Limit::TokenExpiry);
        }
        let absolute = session.created_at.plus(self.absolute);
        let idle = if self.sliding { last_seen } else { session.created_at }.plus(self.idle);
        if idle < absolute { (idle, self.unused()) } else { (absolute, Limit::Absolute) }
    }

    /// Returns the limit that a session has reached at `now`, if any.
    pub fn reached(&self, session: &Session, last_seen: Timestamp, now: Timestamp) -> Option<Limit> {
        if let Some(token) = &session.token {
            return (now >= self.token_end(session, token)).then_some(Limit::TokenExpiry);
        }
        if now >= session.created_at.plus(self.absolute) {
            return Some(Limit::Absolute);
        }
        let (from, slack) = if self.sliding { (last_seen, self.granularity()) } else { (session.created_at, Duration::ZERO) };
        (now >= from.plus(self.idle + slack)).then_some(self.unused())
    }

    /// The limit that `CODER_SESSION_DURATION` is.
    fn unused(&self) -> Limit {
        if self.sliding { Limit::Idle } else { Limit::Duration }
    }

    /// The age at which sessions end however they are used, and by which limit.
    pub fn oldest(&self) -> (Duration, Limit) {
        if !self.sliding && self.idle < self.absolute { (self.idle, Limit::Duration) } else { (self.absolute, Limit::Absolute) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn reached(sliding: bool, created: Duration, seen: Duration) -> Option<Limit> {
        let settings = Settings { idle: 24 * HOUR, absolute: 720 * HOUR, sliding, longest_token: 24 * HOUR };
        let now = Timestamp(10_000_000_000);
        let session = Session {
            hash: SessionHash([0; 32]),
            grant: GrantId([0; 16]),
            created_at: now.minus(created),
            last_seen: now,
            provider_session: None,
            site: None,
            token: None,
            login: None,
        };
        settings.reached(&session, now.minus(seen), now)
    }

    #[test]
    fn a_token_ends_when_it_was_promised_to_or_earlier_by_what_is_allowed_now() {
        let settings = Settings { idle: HOUR, absolute: HOUR, sliding: true, longest_token: 24 * HOUR };
        let made = Timestamp(10_000_000_000);
        for (promised, ends) in [(2 * HOUR, 2 * HOUR), (24 * HOUR, 24 * HOUR), (90 * 24 * HOUR, 24 * HOUR)] {
            let scope = TokenScope { name: "a".into(), site: "b".into(), routes: Vec::new() };
            let session = Session {
                hash: SessionHash([0; 32]),
                grant: GrantId([0; 16]),
                created_at: made,
                last_seen: made,
                provider_session: None,
                site: None,
                token: Some(Box::new(PersonalToken { expires_at: made.plus(promised), scope })),
                login: None,
            };
            let end = made.plus(ends);
            assert_eq!(settings.ends(&session, made), (end, Limit::TokenExpiry));
            assert_eq!(settings.reached(&session, made, end.minus(Duration::from_millis(1))), None);
            assert_eq!(settings.reached(&session, made, end), Some(Limit::TokenExpiry));
        }
    }

    #[test]
    fn a_session_ends_at_its_idle_and_absolute_limits_and_never_early() {
        assert_eq!(reached(true, 100 * HOUR, HOUR), None);
        assert_eq!(reached(true, 100 * HOUR, 24 * HOUR), None, "within the granularity of last-seen times");
        assert_eq!(reached(true, 100 * HOUR, 24 * HOUR + Duration::from_secs(60)), Some(Limit::Idle));
        assert_eq!(reached(true, 720 * HOUR, Duration::ZERO), Some(Limit::Absolute));
        assert_eq!(reached(false, 23 * HOUR, Duration::ZERO), None);
        assert_eq!(reached(false, 24 * HOUR, Duration::ZERO), Some(Limit::Duration), "however it was used");
    }
}
