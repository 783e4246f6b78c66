//! The state of a session at one moment. Pure.

use crate::{
    clock::Timestamp,
    grant::Ended,
    session::{Limit, Settings},
    store::ListedSession,
};

/// The state of a session at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState<'a> {
    /// It reached a limit.
    Limit(Limit),
    /// Its grant has ended.
    Ended(&'a Ended),
    /// The provider refused the last token refresh with this code, without ending the grant.
    Refused(&'a str),
    /// Its refresh token reached its idle expiry at this time, by the provider's own figure.
    RefreshTokenExpired(Timestamp),
    /// A refresh token was presented, and the outcome is not known yet.
    Unknown,
    /// Its access token has expired, and is refreshed at the next use.
    Renewable,
    /// Its access token has expired, and there is no refresh token.
    Expired,
    /// Its access token is valid.
    Fresh,
}

impl<'a> SessionState<'a> {
    /// The state of a session.
    pub fn of(listed: &'a ListedSession, limits: &Settings, now: Timestamp) -> Self {
        let grant = &listed.grant;
        if let Some(limit) = limits.reached(&listed.session, listed.session.last_seen, now) {
            return Self::Limit(limit);
        }
        if let Some(ended) = &grant.ended {
            return Self::Ended(ended);
        }
        if let Some(code) = &grant.refused {
            return Self::Refused(code);
        }
        if grant.is_outcome_unknown {
            return Self::Unknown;
        }
        let alive = now < grant.expires_at;
        match (grant.has_refresh_token, grant.refresh_until) {
            (true, Some(until)) if until <= now && !alive => Self::RefreshTokenExpired(until),
            _ if alive => Self::Fresh,
            (true, _) => Self::Renewable,
            (false, _) => Self::Expired,
        }
    }

    /// The name of the state, for programs. It must not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit(Limit::Idle) => "idle_limit",
            Self::Limit(Limit::Absolute) => "absolute_limit",
            Self::Ended(_) => "ended",
            Self::Refused(_) => "refused",
            Self::RefreshTokenExpired(_) => "refresh_token_expired",
            Self::Unknown => "outcome_unknown",
            Self::Renewable => "renewable",
            Self::Expired => "expired",
            Self::Fresh => "fresh",
        }
    }

    /// Whether the session's next request is served.
    pub fn is_alive(self) -> bool {
        match self {
            Self::Fresh | Self::Renewable | Self::Unknown | Self::Refused(_) => true,
            Self::Limit(_) | Self::Ended(_) | Self::RefreshTokenExpired(_) | Self::Expired => false,
        }
    }
}
