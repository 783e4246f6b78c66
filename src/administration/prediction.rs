//! When a session is likely to end, and by what. Pure.

use super::Limits;
use crate::{
    clock::Timestamp,
    grant::{EndReason, Grant},
    session::{Limit, Session},
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
    /// The provider refuses to renew its grant, without ending it, and the time is over for which it is served without.
    Refused,
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
            Self::Refused => "refused",
            Self::GrantEnded => "grant_ended",
        }
    }
}

/// What of a grant decides about the end of its sessions.
struct GrantEnds {
    ended: Option<EndReason>,
    is_refused: bool,
    unverified_since: Option<Timestamp>,
    has_refresh_token: bool,
    expires_at: Timestamp,
    refresh_until: Option<Timestamp>,
}

impl Prediction {
    /// The prediction for a session of this grant. That the provider, the user or an administrator ends it is nobody's to predict.
    pub fn of(session: &Session, grant: &Grant, limits: &Limits, now: Timestamp) -> Self {
        let ends = GrantEnds {
            ended: grant.ended.as_ref().map(|ended| ended.reason),
            is_refused: grant.refused.is_some(),
            unverified_since: grant.unverified_since,
            has_refresh_token: grant.has_refresh_token,
            expires_at: grant.expires_at,
            refresh_until: grant.refresh_until,
        };
        Self::by(session, &ends, limits, now)
    }

    /// The same for a session of a list.
    pub fn of_listed(listed: &ListedSession, limits: &Limits, now: Timestamp) -> Self {
        let grant = &listed.grant;
        let ends = GrantEnds {
            ended: grant.ended.as_ref().map(|ended| ended.reason),
            is_refused: grant.refused.is_some(),
            unverified_since: grant.unverified_since,
            has_refresh_token: grant.has_refresh_token,
            expires_at: grant.expires_at,
            refresh_until: grant.refresh_until,
        };
        Self::by(&listed.session, &ends, limits, now)
    }

    fn by(session: &Session, grant: &GrantEnds, limits: &Limits, now: Timestamp) -> Self {
        let grant_ended = grant.ended.map(|reason| {
            // Its access token is used up first.
            let is_used_up = reason.leaves_remaining_use() && grant.unverified_since.is_none();
            (if is_used_up { now.max(grant.expires_at) } else { now }, EndCause::GrantEnded)
        });
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
        let is_refused = grant.is_refused && grant.has_refresh_token;
        let stale_from = grant.unverified_since.unwrap_or(grant.expires_at);
        let refused = is_refused.then(|| (stale_from.plus(limits.outage_grace), EndCause::Refused));
        let of_grant = |one| first_of(first_of(first_of(one, without_refresh), refused), grant_ended);
        let limits = &limits.sessions;
        // As if it were seen last at the end of all time.
        let used = limit(limits.ends(session, if limits.sliding { Timestamp(i64::MAX) } else { session.last_seen }));
        let unused = limit(limits.ends(session, session.last_seen));
        Self { unused: of_grant(first_of(unused, refresh_idle)), used: of_grant(used) }
    }

    /// Whether the session's next request is not served.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.unused.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        grant::{EndReason, Ended, GrantId},
        session::{PersonalToken, SessionHash, Settings, TokenScope},
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
        let [limits, fixed] = [limits, fixed].map(|sessions| Limits { sessions, outage_grace: Duration::from_secs(2 * 3600) });
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
        let ended = |reason, expires| Grant {
            ended: Some(Ended { reason, code: None }),
            expires_at: Timestamp(expires * HOUR),
            ..grant.clone()
        };
        let unverified = |grant: Grant, hours| Grant { unverified_since: Some(Timestamp(hours * HOUR)), ..grant };
        let refused =
            |expires| Grant { refused: Some("access_denied".to_owned()), expires_at: Timestamp(expires * HOUR), ..grant.clone() };
        for (session, grant, limits, unused, used) in [
            (&session, &grant, &limits, (34, EndCause::Idle), (720, EndCause::Absolute)),
            (&old, &grant, &limits, (720, EndCause::Absolute), (720, EndCause::Absolute)),
            (&session, &grant, &fixed, (24, EndCause::Duration), (24, EndCause::Duration)),
            (&session, &lasting, &limits, (11, EndCause::NoRefreshToken), (11, EndCause::NoRefreshToken)),
            (&session, &idle(20), &limits, (20, EndCause::RefreshTokenIdle), (720, EndCause::Absolute)),
            (&session, &idle(5), &limits, (11, EndCause::RefreshTokenIdle), (720, EndCause::Absolute)),
            (&session, &idle(90), &limits, (34, EndCause::Idle), (720, EndCause::Absolute)),
            (&of_token, &grant, &limits, (50, EndCause::TokenExpiry), (50, EndCause::TokenExpiry)),
            (&session, &ended(EndReason::Dead, 13), &limits, (12, EndCause::GrantEnded), (12, EndCause::GrantEnded)),
            (&session, &ended(EndReason::OutcomeUnknown, 11), &limits, (12, EndCause::GrantEnded), (12, EndCause::GrantEnded)),
            (&session, &ended(EndReason::OutcomeUnknown, 13), &limits, (13, EndCause::GrantEnded), (13, EndCause::GrantEnded)),
            (&session, &ended(EndReason::OutcomeUnknown, 90), &limits, (34, EndCause::Idle), (90, EndCause::GrantEnded)),
            (
                &session,
                &unverified(ended(EndReason::OutcomeUnknown, 13), 11),
                &limits,
                (12, EndCause::GrantEnded),
                (12, EndCause::GrantEnded),
            ),
            (&session, &refused(9), &limits, (11, EndCause::Refused), (11, EndCause::Refused)),
            (&session, &refused(11), &limits, (13, EndCause::Refused), (13, EndCause::Refused)),
            (&session, &refused(90), &limits, (34, EndCause::Idle), (92, EndCause::Refused)),
            (&session, &unverified(refused(90), 11), &limits, (13, EndCause::Refused), (13, EndCause::Refused)),
        ] {
            let at = |(hours, cause)| (Timestamp(hours * HOUR), cause);
            let predicted = Prediction::of(session, grant, limits, Timestamp(12 * HOUR));
            assert_eq!(predicted, Prediction { unused: at(unused), used: at(used) });
            assert_eq!(predicted.is_over(Timestamp(12 * HOUR)), unused.0 <= 12);
        }
    }
}
