//! The state of a session at one moment. Pure.

use super::Limits;
use crate::{
    clock::Timestamp,
    grant::{Ended, Grant},
    session::Limit,
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
    /// Its refresh token is of a database that was restored from a backup, and may have been presented since.
    Restored,
    /// Its access token and the grace after it are over, and the provider, which said this when it was last asked, renews nothing now.
    Unserved(&'a str),
    /// Its access token has expired, and is refreshed at the next use.
    Renewable,
    /// Its access token has expired, and there is no refresh token.
    Expired,
    /// Its access token is valid.
    Fresh,
}

impl<'a> SessionState<'a> {
    /// The state of a session.
    pub fn of(listed: &'a ListedSession, limits: &Limits, now: Timestamp) -> Self {
        if let Some(limit) = limits.sessions.reached(&listed.session, listed.session.last_seen, now) {
            return Self::Limit(limit);
        }
        let grant = &listed.grant;
        let of_grant = GrantState {
            ended: grant.ended.as_ref(),
            refused: grant.refused.as_deref(),
            is_outcome_unknown: grant.is_outcome_unknown,
            is_restored: grant.is_restored,
            unserved: grant.unserved.as_deref(),
            expires_at: grant.expires_at,
            has_refresh_token: grant.has_refresh_token,
            refresh_until: grant.refresh_until,
        };
        of_grant.state(now)
    }

    /// The state of a grant, which is that of its sessions but for those that reached a limit of their own.
    pub fn of_grant(grant: &'a Grant, now: Timestamp) -> Self {
        let of_grant = GrantState {
            ended: grant.ended.as_ref(),
            refused: grant.refused.as_deref(),
            is_outcome_unknown: grant.intent.as_ref().is_some_and(|intent| intent.lease_expired),
            is_restored: grant.intent.as_ref().is_some_and(|intent| intent.attempt.is_of_restored(grant.id)),
            unserved: None,
            expires_at: grant.expires_at,
            has_refresh_token: grant.has_refresh_token,
            refresh_until: grant.refresh_until,
        };
        of_grant.state(now)
    }

    /// The name of the state, for programs. It must not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit(Limit::Idle) => "idle_limit",
            Self::Limit(Limit::Absolute) => "absolute_limit",
            Self::Limit(Limit::Duration) => "duration_limit",
            Self::Limit(Limit::TokenExpiry) => "token_expired",
            Self::Ended(_) => "ended",
            Self::Refused(_) => "refused",
            Self::RefreshTokenExpired(_) => "refresh_token_expired",
            Self::Unknown => "outcome_unknown",
            Self::Restored => "restored",
            Self::Unserved(_) => "unserved",
            Self::Renewable => "renewable",
            Self::Expired => "expired",
            Self::Fresh => "fresh",
        }
    }
}

/// What of a grant decides about its state.
struct GrantState<'a> {
    ended: Option<&'a Ended>,
    refused: Option<&'a str>,
    is_outcome_unknown: bool,
    is_restored: bool,
    unserved: Option<&'a str>,
    expires_at: Timestamp,
    has_refresh_token: bool,
    refresh_until: Option<Timestamp>,
}

impl<'a> GrantState<'a> {
    fn state(self, now: Timestamp) -> SessionState<'a> {
        if let Some(ended) = self.ended {
            return SessionState::Ended(ended);
        }
        if let Some(code) = self.refused {
            return SessionState::Refused(code);
        }
        if self.is_outcome_unknown {
            return if self.is_restored { SessionState::Restored } else { SessionState::Unknown };
        }
        let alive = now < self.expires_at;
        match (self.has_refresh_token, self.refresh_until) {
            (true, Some(until)) if until <= now && !alive => SessionState::RefreshTokenExpired(until),
            _ if alive => SessionState::Fresh,
            (true, _) => self.unserved.map_or(SessionState::Renewable, SessionState::Unserved),
            (false, _) => SessionState::Expired,
        }
    }
}
