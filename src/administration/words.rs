//! What administrators read, in every language.

mod actor;
mod english;
mod german;

use super::{EndCause, Ending, SessionState};
use crate::{clock::Timestamp, history::Event, language::Language};

/// What ended a session, or kept it from beginning, as part of a sentence.
pub fn ending(ending: &Ending, language: Language) -> String {
    match language {
        Language::English => english::ending(ending),
        Language::German => german::ending(ending),
    }
}

/// The state of a session in a few words.
pub fn state(state: SessionState<'_>, language: Language) -> String {
    match language {
        Language::English => english::state(state),
        Language::German => german::state(state),
    }
}

/// By what a session ends.
pub fn end_cause(cause: EndCause, language: Language) -> &'static str {
    match language {
        Language::English => english::end_cause(cause),
        Language::German => german::end_cause(cause),
    }
}

/// What happened, in a few words.
pub fn event(event: &Event, language: Language) -> String {
    match language {
        Language::English => english::event(event),
        Language::German => german::event(event),
    }
}

/// Why a renewal that an administrator asked for did not happen, by the name of its outcome.
pub fn not_renewed(outcome: &str, language: Language) -> String {
    match language {
        Language::English => english::not_done(outcome),
        Language::German => german::not_done(outcome),
    }
}

/// A time, in UTC.
pub fn time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        administration::{Action, LoggedOutBy},
        grant::{EndReason, Ended, GrantId},
        history::Kind,
        identity::Identity,
        session::Limit,
        sign_out::LogoutInitiator,
    };

    #[test]
    fn everything_is_said_in_both_languages_and_differently() {
        let differs = |english: &str, german: &str| assert!(!english.is_empty() && english != german, "{english}");
        let ended = Ended { reason: EndReason::Dead, code: None };
        for state in [
            SessionState::Limit(Limit::Idle),
            SessionState::Limit(Limit::Absolute),
            SessionState::Limit(Limit::Duration),
            SessionState::Limit(Limit::TokenExpiry),
            SessionState::Ended(&ended),
            SessionState::Refused("x"),
            SessionState::RefreshTokenExpired(Timestamp(0)),
            SessionState::Unknown,
            SessionState::Renewable,
            SessionState::Expired,
        ] {
            differs(&super::state(state, Language::English), &super::state(state, Language::German));
        }
        for end in [
            Ending::LoginDenied { rule: "group".into(), detail: None },
            Ending::LoggedOut(LoggedOutBy::AnotherLogin),
            Ending::LoggedOut(LoggedOutBy::DuringLogin),
            Ending::LoggedOut(LoggedOutBy::EndedBefore),
            Ending::LoggedOut(LoggedOutBy::Other("x".into())),
            Ending::Idle,
            Ending::TooOld,
            Ending::Duration,
            Ending::TokenExpired,
            Ending::Grant(EndReason::Dead, Some("invalid_grant".into())),
            Ending::NeedsPerson("invalid_client".into()),
        ] {
            differs(&ending(&end, Language::English), &ending(&end, Language::German));
        }
        let mut said = std::collections::HashSet::new();
        for initiator in LogoutInitiator::all() {
            let end = Ending::LoggedOut(LoggedOutBy::Initiator(initiator));
            differs(&ending(&end, Language::English), &ending(&end, Language::German));
            assert!(said.insert(ending(&end, Language::English)), "{initiator:?} is told as another");
        }
        for cause in [
            EndCause::Idle,
            EndCause::Absolute,
            EndCause::Duration,
            EndCause::TokenExpiry,
            EndCause::NoRefreshToken,
            EndCause::RefreshTokenIdle,
            EndCause::Refused,
            EndCause::GrantEnded,
        ] {
            differs(end_cause(cause, Language::English), end_cause(cause, Language::German));
        }
        for kind in Kind::ALL {
            let of = |reason: &str| Event::of(kind, GrantId([0; 16]), "", &Identity::default(), Timestamp(0)).because(reason);
            for reason in Action::ALL.map(Action::as_str) {
                differs(&event(&of(reason), Language::English), &event(&of(reason), Language::German));
            }
        }
    }
}
