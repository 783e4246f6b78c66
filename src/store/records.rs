//! What the store is given and gives.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    grant::{AttemptId, Fingerprint, Grant, GrantId, Rotation},
    identity::Identity,
    secret::Secret,
    session::{Session, SessionHash},
};

/// The tokens of one answer of the provider.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For the upstream, and for user info.
    pub access: Secret,
    /// For the next renewal; `None` leaves the stored one in place.
    pub refresh: Option<Secret>,
    /// For RP-initiated logout (`id_token_hint`); `None` leaves the stored one in place.
    pub id: Option<Secret>,
    /// When the access token expires.
    pub expires_at: Timestamp,
    /// How long it is good for.
    pub lifetime: Duration,
    /// How long the refresh token lives if it is not renewed, where that is known.
    pub refresh_life: Option<Duration>,
}

/// A grant as a login makes it.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Its name.
    pub id: GrantId,
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// Who it speaks for.
    pub identity: Identity,
    /// The granted scopes, separated by spaces.
    pub scopes: String,
    /// Of the settings that it was obtained with.
    pub fingerprint: Fingerprint,
    /// The provider's name for the browser's session there (`sid`), for logouts that it announces.
    pub provider_session: Option<String>,
    /// Its tokens.
    pub tokens: Tokens,
}

/// Which session a login is for.
#[derive(Clone, Debug)]
pub enum Seat {
    /// A new one, and the one that this browser had before ends.
    New {
        /// The new one.
        session: Session,
        /// The one before.
        replaces: Option<SessionHash>,
    },
    /// The one that this browser has, which stays as it is: the provider was passed for its grant's sake.
    Kept(SessionHash),
}

/// How many live refresh tokens a provider keeps for one user and client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One for each login.
    Own,
    /// One in all: a login without one joins the user's grant, and a login that brings one takes all sessions over.
    Shared,
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seated {
    /// The session.
    pub session: SessionHash,
    /// The grant that it points to.
    pub grant: GrantId,
    /// Whether that can be renewed.
    pub renewable: bool,
    /// The session that it took the place of, if that was there.
    pub replaced: Option<SessionHash>,
}

/// A session with its grant, as an administrator sees it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The session.
    pub session: Session,
    /// Its grant.
    pub grant: Grant,
}

/// Whose sessions are meant.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// At this provider,
    pub issuer: &'a str,
    /// as this client,
    pub client_id: &'a str,
    /// this person's, or anybody's,
    pub subject: Option<&'a str>,
    /// of this session at the provider, or any.
    pub provider_session: Option<&'a str>,
}

/// What a renewal brought.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The new tokens.
    pub tokens: Tokens,
    /// The scopes that it names, where it names any.
    pub scopes: Option<String>,
    /// What the answer showed of the provider's rotation.
    pub rotation: Rotation,
    /// When it was.
    pub at: Timestamp,
    /// Set where it cannot be told yet that it is the same person's.
    pub unverified: Option<Unverified>,
}

/// What a renewal brought could not be verified when it was saved.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// Since when that is so.
    pub since: Timestamp,
    /// The next renewal, which may bring what can be verified, is not to come before.
    pub retry_at: Timestamp,
}

/// A lapsed attempt that another may follow.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Its name.
    pub attempt: AttemptId,
    /// How long after it presented the token that may be presented again, by the database's clock; `None` for ever.
    pub within: Option<Duration>,
}

/// What renewals have shown of a provider's habits, as far as anything has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Whether a renewal of some grant replaced its refresh token.
    pub rotates: Option<bool>,
    /// Whether a refresh token that is nobody's is refused as it should be.
    pub rejects_dummy: Option<bool>,
}

impl Knowledge {
    /// Adds what was learnt since. That it rotates is never forgotten.
    pub fn add(&mut self, learnt: Self) {
        self.rotates = if self.rotates == Some(true) { self.rotates } else { learnt.rotates.or(self.rotates) };
        self.rejects_dummy = learnt.rejects_dummy.or(self.rejects_dummy);
    }
}

/// Which writer may still end a grant.
#[derive(Clone, Copy, Debug)]
pub enum Fence {
    /// The one that holds this intent.
    Attempt(AttemptId),
    /// The one that saw this generation.
    Generation(i64),
}

/// What is left to do at the provider for a session that ended.
#[derive(Debug)]
pub struct Farewell {
    /// The grant that it pointed to.
    pub grant: GrantId,
    /// The provider that issued it.
    pub issuer: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// Whose it was.
    pub identity: Identity,
    /// For `id_token_hint`.
    pub id_token: Option<Secret>,
}

/// Figures for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions in the store.
    pub sessions: i64,
    /// Those whose grant holds a refresh token.
    pub with_refresh_token: i64,
}

/// What is too old to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Sessions that began before.
    pub created_before: Timestamp,
    /// Sessions that were last seen before.
    pub seen_before: Timestamp,
    /// Events that happened before.
    pub events_before: Timestamp,
    /// The present; login attempts that have returned are remembered until they expire.
    pub now: Timestamp,
}
