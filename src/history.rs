//! The history of grants: every login, token refresh, logout and revocation is an event, kept for `CODER_EVENT_RETENTION`, so
//! that an administrator can find out later why a user was logged out.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    identity::Identity,
    session::SessionHash,
};

/// One event of a grant's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// The grant.
    pub grant: GrantId,
    /// The session, by its short hash, if the event concerns one session.
    pub session: Option<String>,
    /// The issuer of the user's provider; empty: an older release wrote the event, or it is about everybody.
    pub issuer: String,
    /// The user: the provider's `sub`.
    pub subject: String,
    /// The user name, by which the history is searched also when the session is gone.
    pub username: Option<String>,
    /// The user's display name: the e-mail address, else the user name, else `sub`.
    pub who: String,
    /// The outcome, as an identifier; for a token refresh the outcome class.
    pub outcome: String,
    /// The reason, as an identifier.
    pub reason: String,
    /// The provider's `error` code, if it sent one.
    pub code: Option<String>,
    /// How long the provider took to respond.
    pub duration: Option<Duration>,
    /// Whether the refresh token was replaced.
    pub rotated: Option<bool>,
    /// Details on one line: the provider's `error_description` without secrets, or the groups by which a login was denied.
    pub detail: Option<String>,
    /// The issuer of the administrator who acted, of whom another provider may have a namesake.
    pub actor_issuer: Option<String>,
    /// The administrator who acted, by the provider's `sub`: the name in the details may be one that they have chosen.
    pub actor_subject: Option<String>,
    /// The session that they acted in, by its short hash.
    pub actor_session: Option<String>,
}

/// The kinds of events. Their names are stored and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session began.
    Login,
    /// A refresh token was presented, or could not be presented.
    Renewal,
    /// A session was ended by a person, or by the provider (back-channel logout).
    Logout,
    /// A session reached a configured limit.
    Limit,
    /// A refresh token was revoked at the provider, or could not be.
    Revocation,
    /// An app's job got an access token, or one that was exchanged for it.
    AppToken,
    /// An administrator did something: the reason says what, and the details who.
    Administration,
}

/// The reason of a [`Kind::Logout`] of a session that a later login in its browser has replaced. It is stored and must not change.
pub const ANOTHER_LOGIN: &str = "another_login";
/// The reason of a [`Kind::Logout`] of a session whose user was logged out by others while the login was under way. It is stored and must
/// not change.
pub const DURING_LOGIN: &str = "during_login";
/// The reason of a [`Kind::Logout`] of a session that was ended again after the database had forgotten its end. It is stored and must not
/// change.
pub const ENDED_AGAIN: &str = "ended_again";

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Login, Self::Renewal, Self::Logout, Self::Limit, Self::Revocation, Self::AppToken, Self::Administration];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Renewal => "renewal",
            Self::Logout => "logout",
            Self::Limit => "limit",
            Self::Revocation => "revocation",
            Self::AppToken => "app_token",
            Self::Administration => "administration",
        }
    }

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Event {
    /// Creates an event of the grant of a user of the provider with this issuer.
    pub fn of(kind: Kind, grant: GrantId, issuer: &str, identity: &Identity, at: Timestamp) -> Self {
        Self {
            at,
            kind,
            grant,
            session: None,
            issuer: issuer.to_owned(),
            subject: identity.subject.clone(),
            username: identity.username.clone(),
            who: identity.display().to_owned(),
            outcome: "ok".to_owned(),
            reason: String::new(),
            code: None,
            duration: None,
            rotated: None,
            detail: None,
            actor_issuer: None,
            actor_subject: None,
            actor_session: None,
        }
    }

    /// Creates an event of a token refresh.
    pub fn renewal(grant: &Grant, at: Timestamp, outcome: &str, reason: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::of(Kind::Renewal, grant.id, &grant.issuer, &grant.identity, at) }
            .because(reason)
    }

    /// The provider's code and the details, in one line, if there are any.
    pub fn words(&self) -> Option<String> {
        let words: Vec<_> = self.code.iter().chain(&self.detail).map(String::as_str).collect();
        (!words.is_empty()).then(|| words.join(": "))
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }

    /// Sets the session.
    #[must_use]
    pub fn of_session(self, hash: SessionHash) -> Self {
        Self { session: Some(hash.short()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("other"), None);
    }
}
