//! Why a session ended, or could not begin, as the history tells it. Pure.

use crate::{
    grant::EndReason,
    history::{ANOTHER_LOGIN, DURING_LOGIN, ENDED_AGAIN, Event, Kind},
    sign_out::LogoutInitiator,
};

/// What an event says of an end, or of what needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A rule denied a login.
    LoginDenied {
        /// The rule.
        rule: String,
        /// The groups by which it was denied.
        detail: Option<String>,
    },
    /// Somebody ended the session.
    LoggedOut(LoggedOutBy),
    /// Nobody used it for the idle limit.
    Idle,
    /// It reached the absolute limit.
    TooOld,
    /// It reached the idle limit, which use did not prolong.
    Duration,
    /// It was a personal access token's, which expired.
    TokenExpired,
    /// Its grant ended, and the provider's words, if it said any.
    Grant(EndReason, Option<String>),
    /// The provider refuses to renew, which a person must mend; its words, or the reason.
    NeedsPerson(String),
}

/// Who ended a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedOutBy {
    /// Whoever a logout is begun by.
    Initiator(LogoutInitiator),
    /// A newer login in the same browser.
    AnotherLogin,
    /// Whoever logged the user out while the login was under way.
    DuringLogin,
    /// Whoever had ended it before the database went back in time.
    EndedBefore,
    /// What a newer release knows.
    Other(String),
}

/// The outcome of a login that a rule denied.
pub(super) const DENIED: &str = "denied";

impl Ending {
    /// What an event says of an end; `None`: nothing.
    pub fn of(event: &Event) -> Option<Self> {
        let words = || event.words();
        match (event.kind, event.outcome.as_str(), event.reason.as_str()) {
            (Kind::Login, DENIED, rule) => Some(Self::LoginDenied { rule: rule.to_owned(), detail: event.detail.clone() }),
            (Kind::Logout, _, by) => Some(Self::LoggedOut(LoggedOutBy::named(by))),
            (Kind::Limit, _, "idle") => Some(Self::Idle),
            (Kind::Limit, _, "token_expired") => Some(Self::TokenExpired),
            (Kind::Limit, _, "duration") => Some(Self::Duration),
            (Kind::Limit, _, _) => Some(Self::TooOld),
            (Kind::Renewal, "dead", "no_refresh_token") => Some(Self::Grant(EndReason::Expired, words())),
            (Kind::Renewal, "dead", "identity_refused") => Some(Self::Grant(EndReason::IdentityRefused, words())),
            (Kind::Renewal, "dead", "other_provider") => Some(Self::Grant(EndReason::OtherProvider, None)),
            (Kind::Renewal, "dead", "key_lost") => Some(Self::Grant(EndReason::KeyLost, None)),
            (Kind::Renewal, "dead", _) => Some(Self::Grant(EndReason::Dead, words())),
            (Kind::Renewal, _, "outcome_unknown") if event.code.as_deref() == Some(EndReason::Restored.as_str()) => {
                Some(Self::Grant(EndReason::Restored, None))
            }
            (Kind::Renewal, _, "outcome_unknown") => Some(Self::Grant(EndReason::OutcomeUnknown, None)),
            (Kind::Renewal, "config", reason) => Some(Self::NeedsPerson(words().unwrap_or_else(|| reason.to_owned()))),
            (Kind::Renewal | Kind::Login | Kind::Revocation | Kind::AppToken | Kind::Administration, _, _) => None,
        }
    }

    /// The name of the reason, for programs. It must not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LoginDenied { .. } => "login_denied",
            Self::LoggedOut(LoggedOutBy::Initiator(initiator)) => initiator.as_str(),
            Self::LoggedOut(LoggedOutBy::AnotherLogin) => ANOTHER_LOGIN,
            Self::LoggedOut(LoggedOutBy::DuringLogin) => DURING_LOGIN,
            Self::LoggedOut(LoggedOutBy::EndedBefore) => ENDED_AGAIN,
            Self::LoggedOut(LoggedOutBy::Other(_)) => "other",
            Self::Idle => "idle_limit",
            Self::TooOld => "absolute_limit",
            Self::Duration => "duration_limit",
            Self::TokenExpired => "token_expired",
            Self::Grant(reason, _) => reason.as_str(),
            Self::NeedsPerson(_) => "config",
        }
    }
}

impl LoggedOutBy {
    fn named(by: &str) -> Self {
        match LogoutInitiator::parse(by) {
            Some(initiator) => Self::Initiator(initiator),
            None if by == ANOTHER_LOGIN => Self::AnotherLogin,
            None if by == DURING_LOGIN => Self::DuringLogin,
            None if by == ENDED_AGAIN => Self::EndedBefore,
            None => Self::Other(by.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{administration::SessionState, clock::Timestamp, grant::GrantId, identity::Identity, session::Limit};

    #[test]
    fn whoever_ended_a_session_is_known_by_the_name_that_the_history_has() {
        let of = |reason: &str| {
            Ending::of(&Event::of(Kind::Logout, GrantId([0; 16]), "", &Identity::default(), Timestamp(0)).because(reason))
                .unwrap()
        };
        let mut codes: Vec<_> = LogoutInitiator::all().map(LogoutInitiator::as_str).collect();
        for (initiator, code) in LogoutInitiator::all().zip(&codes) {
            assert_eq!((of(code), of(code).code()), (Ending::LoggedOut(LoggedOutBy::Initiator(initiator)), *code));
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), LogoutInitiator::all().count(), "each has a name of its own");
        for limit in [Limit::Idle, Limit::Absolute, Limit::Duration, Limit::TokenExpiry] {
            let event = Event::of(Kind::Limit, GrantId([0; 16]), "", &Identity::default(), Timestamp(0)).because(limit.as_str());
            assert_eq!(
                Ending::of(&event).unwrap().code(),
                SessionState::Limit(limit).name(),
                "one name before and after the sweep"
            );
        }
        for reason in [ANOTHER_LOGIN, DURING_LOGIN, ENDED_AGAIN] {
            assert_eq!(of(reason).code(), reason);
        }
        assert_eq!((of("x"), of("x").code()), (Ending::LoggedOut(LoggedOutBy::Other("x".to_owned())), "other"));
    }
}
