//! The history of grants: every login, renewal, logout and revocation is an event, kept for
//! `CODER_EVENT_RETENTION`, so that "why was this user logged out" has an answer after the fact.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    identity::Identity,
    session::SessionHash,
};

/// One line of a grant's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// To which grant.
    pub grant: GrantId,
    /// To which of its sessions, by its short name, where it was one session's.
    pub session: Option<String>,
    /// Whose it is: the provider's `sub`.
    pub subject: String,
    /// The same person as people call them: e-mail address, else user name, else `sub`.
    pub who: String,
    /// How it came out, in a word: for a renewal the outcome class.
    pub outcome: String,
    /// Why, in a word.
    pub reason: String,
    /// The provider's `error` code, where it sent one.
    pub code: Option<String>,
    /// How long the provider took.
    pub duration: Option<Duration>,
    /// Whether the refresh token was replaced.
    pub rotated: Option<bool>,
    /// More words: the provider's own on an error, without secrets, or the groups by which a login was denied. On one line.
    pub detail: Option<String>,
}

/// What kinds of events there are. Recorded in the store, so the names are not to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session began.
    Login,
    /// A refresh token was presented, or could not be.
    Renewal,
    /// A session was ended by a person, or by the provider for them.
    Logout,
    /// A session reached a configured limit.
    Limit,
    /// The provider was asked to forget a refresh token.
    Revocation,
}

impl Kind {
    /// Its stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Renewal => "renewal",
            Self::Logout => "logout",
            Self::Limit => "limit",
            Self::Revocation => "revocation",
        }
    }

    /// The kind with this stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Login, Self::Renewal, Self::Logout, Self::Limit, Self::Revocation].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Event {
    /// An event of somebody's grant.
    pub fn of(kind: Kind, grant: GrantId, identity: &Identity, at: Timestamp) -> Self {
        Self {
            at,
            kind,
            grant,
            session: None,
            subject: identity.subject.clone(),
            who: identity.display().to_owned(),
            outcome: "ok".to_owned(),
            reason: String::new(),
            code: None,
            duration: None,
            rotated: None,
            detail: None,
        }
    }

    /// An event of a renewal.
    pub fn renewal(grant: &Grant, at: Timestamp, outcome: &str, reason: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::of(Kind::Renewal, grant.id, &grant.identity, at) }.because(reason)
    }

    /// With its reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }

    /// Of one session.
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
        for kind in [Kind::Login, Kind::Renewal, Kind::Logout, Kind::Limit, Kind::Revocation] {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("other"), None);
    }
}
