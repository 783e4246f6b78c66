//! What administrators read, in English.

use super::actor;
use crate::{
    administration::{Action, EndCause, Ending, LoggedOutBy, SessionState},
    grant::EndReason,
    history::{Event, Kind},
    session::{EndSource, Limit},
    sign_out::LogoutInitiator,
};

pub(super) fn state(state: SessionState<'_>) -> String {
    match state {
        SessionState::Limit(Limit::Idle) => "idle limit reached".to_owned(),
        SessionState::Limit(Limit::Absolute) => "absolute limit reached".to_owned(),
        SessionState::Limit(Limit::Duration) => "limit of its age reached".to_owned(),
        SessionState::Limit(Limit::TokenExpiry) => "personal access token expired".to_owned(),
        SessionState::Ended(ended) => format!("grant ended: {}", grant(ended.reason, ended.code.as_deref())),
        SessionState::Refused(code) => format!("renewal refused: {code}"),
        SessionState::RefreshTokenExpired(_) => "refresh token expired unused".to_owned(),
        SessionState::Unknown => "renewal outcome unknown".to_owned(),
        SessionState::Restored => "restored from a backup, refresh token possibly used since".to_owned(),
        SessionState::Unserved(words) => format!("not served until the provider renews it: {words}"),
        SessionState::Fresh => "ok".to_owned(),
        SessionState::Renewable => "ok, to be renewed when used".to_owned(),
        SessionState::Expired => "token expired, not renewable".to_owned(),
    }
}

pub(super) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::LoginDenied { rule, detail } => {
            let detail = detail.as_deref().map(|detail| format!("; {detail}")).unwrap_or_default();
            format!("a login was denied: {}{detail}", denied(rule))
        }
        Ending::LoggedOut(by) => logged_out(by),
        Ending::Idle => "the session ended: nobody used it for CODER_SESSION_DURATION".to_owned(),
        Ending::TooOld => "the session ended: it reached CODER_SESSION_MAX_DURATION".to_owned(),
        Ending::Duration => {
            "the session ended: CODER_SESSION_DURATION had passed since its login, which use does not prolong".to_owned()
        }
        Ending::TokenExpired => "the personal access token expired".to_owned(),
        Ending::Grant(reason, words) => grant(*reason, words.as_deref()),
        Ending::NeedsPerson(words) => format!("the provider refused to renew, which a person must mend ({words})"),
    }
}

fn logged_out(by: &LoggedOutBy) -> String {
    let by = match by {
        LoggedOutBy::Initiator(initiator) => *initiator,
        LoggedOutBy::AnotherLogin => return "its browser logged in again, and has another session".to_owned(),
        LoggedOutBy::DuringLogin => {
            return "the user was logged out at the provider, or by a security tool, while the login was under way".to_owned();
        }
        LoggedOutBy::EndedBefore => {
            return "the session was ended again: it had ended before the database went back in time".to_owned();
        }
        LoggedOutBy::Other(other) => return format!("the session was ended ({other})"),
    };
    let text = match by {
        LogoutInitiator::User => "the user logged out",
        LogoutInitiator::UserElsewhere => "the user ended the session from another browser",
        LogoutInitiator::TokenOwner => "the user ended the personal access token",
        LogoutInitiator::UserEverywhere => "the user logged out of all browsers",
        LogoutInitiator::Administrator => "an administrator ended the session",
        LogoutInitiator::Other(EndSource::BackChannelLogout) => "the user logged out at the provider, which said so",
        LogoutInitiator::Other(EndSource::FrontChannelLogout) => {
            "the user logged out at the provider, whose page said so (front-channel logout)"
        }
        LogoutInitiator::Other(EndSource::GlobalTokenRevocation) => {
            "the provider or a security tool had everything of the user revoked (Global Token Revocation)"
        }
        LogoutInitiator::Other(EndSource::Scim) => "a directory deactivated or deleted the user (SCIM)",
        LogoutInitiator::Other(EndSource::SecurityEvent) => {
            "the provider or another transmitter told of a security event of the user's"
        }
    };
    text.to_owned()
}

fn grant(reason: EndReason, words: Option<&str>) -> String {
    let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
    match reason {
        EndReason::Dead => format!("the provider refused its refresh token{words}"),
        EndReason::OutcomeUnknown => "the outcome of a renewal is unknown, and its refresh token may be used up".to_owned(),
        EndReason::Restored => {
            "the database was restored from a backup, and its refresh token may have been used since".to_owned()
        }
        EndReason::IdentityRefused => "a renewal brought an identity that is not this user's".to_owned(),
        EndReason::Expired => "its access token expired, and the provider gave no refresh token".to_owned(),
        EndReason::KeyLost => "its tokens cannot be decrypted: their key is not there any more, or they were altered".to_owned(),
        EndReason::OtherProvider => "it belongs to another provider or client than are configured now".to_owned(),
    }
}

pub(super) fn end_cause(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Idle => "the idle limit (CODER_SESSION_DURATION)",
        EndCause::Absolute => "the absolute limit (CODER_SESSION_MAX_DURATION)",
        EndCause::Duration => "the limit of its age (CODER_SESSION_DURATION), which use does not prolong",
        EndCause::TokenExpiry => "the expiry of the personal access token",
        EndCause::NoRefreshToken => "the expiry of the access token, because there is no refresh token",
        EndCause::RefreshTokenIdle => "the expiry of the refresh token at the provider, if it is not used",
        EndCause::Refused => "the provider's refusal to renew it, when CODER_OIDC_OUTAGE_GRACE is over after the access token",
        EndCause::GrantEnded => "the end of its grant: the next page passes the provider",
    }
}

pub(super) fn event(event: &Event) -> String {
    let words = event.words().map(|words| format!(" ({words})")).unwrap_or_default();
    let more = event.words().map(|words| format!("; {words}")).unwrap_or_default();
    if let Some(end) = Ending::of(event) {
        return ending(&end);
    }
    match (event.kind, event.outcome.as_str()) {
        (Kind::Login, _) if event.reason == "personal_token" => "a personal access token was made".to_owned(),
        (Kind::Login, _) => "login".to_owned(),
        (Kind::Renewal, "ok") if event.rotated == Some(true) => "renewed, with a new refresh token".to_owned(),
        (Kind::Renewal, "ok") => "renewed".to_owned(),
        (Kind::Renewal, "retry") => format!("not renewed yet, to be tried again ({}{more})", event.reason),
        (Kind::Renewal, "ambiguous") => format!("the outcome of a renewal was not known ({}{more})", event.reason),
        (Kind::Renewal, "superseded") => "not renewed, because a newer login or renewal had taken its place".to_owned(),
        (Kind::Renewal, _) => format!("not renewed ({}{more})", event.reason),
        (Kind::Revocation, "ok") => "the refresh token was revoked at the provider".to_owned(),
        (Kind::Revocation, _) => format!("the refresh token was not revoked at the provider{words}"),
        (Kind::AppToken, _) => format!("a job got the access token{words}"),
        (Kind::Administration, outcome) => {
            let who = event.detail.as_deref().unwrap_or("an administrator");
            let of = actor::of(event);
            let what = match Action::parse(&event.reason) {
                Some(Action::EndSession) => "ended the session".to_owned(),
                Some(Action::EndUser) => "ended all sessions of the user".to_owned(),
                Some(Action::EndEveryone) if event.issuer.is_empty() => "ended everyone's sessions".to_owned(),
                Some(Action::EndEveryone) => format!("ended the sessions of all users of {}", event.issuer),
                Some(Action::Renew) => "had the grant renewed".to_owned(),
                Some(Action::Restored) => {
                    "marked all refresh tokens as possibly used, after the database was restored from a backup".to_owned()
                }
                Some(Action::Reseal) => "had all tokens encrypted with the newest key".to_owned(),
                None => event.reason.clone(),
            };
            format!("{who}{of} {what}{}", outcome_of_action(outcome))
        }
        (Kind::Logout | Kind::Limit, _) => format!("ended{words}"),
    }
}

/// What became of an action, after the words that say what it was.
fn outcome_of_action(outcome: &str) -> String {
    match outcome {
        "ok" | "renewed" => String::new(),
        "begun" => ", which has begun".to_owned(),
        "failed" => ", but not all of it has succeeded".to_owned(),
        other => format!(": {}", not_done(other)),
    }
}

/// Why something was not done, by its name.
pub(super) fn not_done(why: &str) -> String {
    match why {
        "ended" => "it has ended",
        "not_renewable" => "there is no refresh token",
        "other_provider" => "it belongs to another provider or client than are configured now",
        "key_missing" => "its tokens are encrypted under a key that is not there",
        "refused" => "the provider refuses it, which a person must mend",
        "unavailable" => "the provider cannot be asked now",
        "under_way" => "it is under way and takes longer than one waits for it",
        other => other,
    }
    .to_owned()
}

/// By which rule a login was denied; what a newer release knows has its name.
fn denied(rule: &str) -> String {
    match rule {
        "email_not_verified" => "the provider has not verified the e-mail address",
        "email_domain" => "the e-mail address is none of the allowed",
        "foreign_address" => "the address is at a domain of another provider",
        "provider" => "the route is for users of other providers",
        "groups_unknown" => "the provider did not tell the groups",
        "group" => "the user is in none of the groups that it takes",
        "claim" => "a claim has another value than it takes",
        "deprovisioned" => "a directory or the provider has locked the user out",
        "network" => "the address is in none of the allowed networks",
        other => return format!("by the rule {other}"),
    }
    .to_owned()
}
