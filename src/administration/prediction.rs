//! When a session is likely to end, and by what. Pure.

use crate::{
    clock::Timestamp,
    grant::Grant,
    session::{Limit, Session, Settings},
    store::ListedSession,
};

/// When a session ends, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// If nobody uses it any more.
    pub unused: (Timestamp, EndCause),
    /// If it is used all the time.
    pub used: (Timestamp, EndCause),
}

/// By what a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// `CODER_SESSION_DURATION`.
    Idle,
    /// `CODER_SESSION_MAX_DURATION`.
    Absolute,
    /// `CODER_SESSION_DURATION`, which use does not prolong.
    Duration,
    /// It is a personal access token's, which expires.
    TokenExpiry,
    /// The access token expires, and there is no refresh token.
    NoRefreshToken,
    /// The refresh token expires if it is not used.
    RefreshTokenIdle,
    /// Its grant has ended already.
    GrantEnded,
}

impl EndCause {
    /// The name of the cause, for programs. It must not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle_limit",
            Self::Absolute => "absolute_limit",
            Self::Duration => "duration_limit",
            Self::TokenExpiry => "token_expiry",
            Self::NoRefreshToken => "no_refresh_token",
            Self::RefreshTokenIdle => "refresh_token_idle",
            Self::GrantEnded => "grant_ended",
        }
    }
}

/// What of a grant decides about the end of its sessions.
struct GrantEnds {
    has_ended: bool,
    has_refresh_token: bool,
    expires_at: Timestamp,
    refresh_until: Option<Timestamp>,
}

impl Prediction {
    /// The prediction for a session of this grant. That the provider, the user or an administrator ends it is nobody's to predict.
    pub fn of(session: &Session, grant: &Grant, limits: &Settings, now: Timestamp) -> Self {
        let ends = GrantEnds {
            has_ended: grant.ended.is_some(),
            has_refresh_token: grant.has_refresh_token,
            expires_at: grant.expires_at,
            refresh_until: grant.refresh_until,
        };
        Self::by(session, &ends, limits, now)
    }

    /// The same for a session of a list.
    pub fn of_listed(listed: &ListedSession, limits: &Settings, now: Timestamp) -> Self {
        let grant = &listed.grant;
        let ends = GrantEnds {
            has_ended: grant.ended.is_some(),
            has_refresh_token: grant.has_refresh_token,
            expires_at: grant.expires_at,
            refresh_until: grant.refresh_until,
        };
        Self::by(&listed.session, &ends, limits, now)
    }

    fn by(session: &Session, grant: &GrantEnds, limits: &Settings, now: Timestamp) -> Self {
        if grant.has_ended {
            return Self { unused: (now, EndCause::GrantEnded), used: (now, EndCause::GrantEnded) };
        }
        let limit = |(at, limit): (Timestamp, Limit)| match limit {
            Limit::TokenExpiry => (at, EndCause::TokenExpiry),
            Limit::Absolute => (at, EndCause::Absolute),
            Limit::Duration => (at, EndCause::Duration),
            Limit::Idle => (at, EndCause::Idle),
        };
        let first_of = |one: (Timestamp, EndCause), other: Option<(Timestamp, EndCause)>| {
            other.filter(|other| other.0 < one.0).unwrap_or(one)
        };
        let without_refresh = (!grant.has_refresh_token).then_some((grant.expires_at, EndCause::NoRefreshToken));
        // Use renews it. Until the access token expires it is not needed.
        let refresh_idle = grant.refresh_until.filter(|_| grant.has_refresh_token);
        let refresh_idle = refresh_idle.map(|until| (until.max(grant.expires_at), EndCause::RefreshTokenIdle));
        // As if it were seen last at the end of all time.
        let used = limit(limits.ends(session, if limits.sliding { Timestamp(i64::MAX) } else { session.last_seen }));
        Self {
            unused: first_of(first_of(limit(limits.ends(session, session.last_seen)), without_refresh), refresh_idle),
            used: first_of(used, without_refresh),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        grant::{EndReason, Ended, GrantId},
        session::{PersonalToken, SessionHash, TokenScope},
    };

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_session_ends_by_what_comes_first() {
        let limits = Settings {
            idle: Duration::from_secs(24 * 3600),
            absolute: Duration::from_secs(720 * 3600),
            sliding: true,
            longest_token: Duration::from_secs(720 * 3600),
        };
        let fixed = Settings { sliding: false, ..limits };
        let session = Session {
            hash: SessionHash([0; 32]),
            grant: GrantId([0; 16]),
            created_at: Timestamp(0),
            last_seen: Timestamp(10 * HOUR),
            provider_session: None,
            site: None,
            token: None,
            login: None,
        };
        let scope = TokenScope { name: "x".into(), site: "x".into(), routes: Vec::new() };
        let token = Some(Box::new(PersonalToken { expires_at: Timestamp(50 * HOUR), scope }));
        let of_token = Session { token, ..session.clone() };
        let old = Session { last_seen: Timestamp(710 * HOUR), ..session.clone() };
        let grant = Grant { expires_at: Timestamp(11 * HOUR), ..Grant::sample() };
        let lasting = Grant { has_refresh_token: false, ..grant.clone() };
        let idle = |hours| Grant { refresh_until: Some(Timestamp(hours * HOUR)), ..grant.clone() };
        let ended = Grant { ended: Some(Ended { reason: EndReason::Dead, code: None }), ..grant.clone() };
        for (session, grant, limits, unused, used) in [
            (&session, &grant, &limits, (34, EndCause::Idle), (720, EndCause::Absolute)),
            (&old, &grant, &limits, (720, EndCause::Absolute), (720, EndCause::Absolute)),
            (&session, &grant, &fixed, (24, EndCause::Duration), (24, EndCause::Duration)),
            (&session, &lasting, &limits, (11, EndCause::NoRefreshToken), (11, EndCause::NoRefreshToken)),
            (&session, &idle(20), &limits, (20, EndCause::RefreshTokenIdle), (720, EndCause::Absolute)),
            (&session, &idle(5), &limits, (11, EndCause::RefreshTokenIdle), (720, EndCause::Absolute)),
            (&session, &idle(90), &limits, (34, EndCause::Idle), (720, EndCause::Absolute)),
            (&of_token, &grant, &limits, (50, EndCause::TokenExpiry), (50, EndCause::TokenExpiry)),
            (&session, &ended, &limits, (12, EndCause::GrantEnded), (12, EndCause::GrantEnded)),
        ] {
            let at = |(hours, cause)| (Timestamp(hours * HOUR), cause);
            let predicted = Prediction::of(session, grant, limits, Timestamp(12 * HOUR));
            assert_eq!(predicted, Prediction { unused: at(unused), used: at(used) });
        }
    }
}
