//! What lists show, and their places.

use std::cmp::Reverse;

use crate::{
    clock::Timestamp,
    grant::{Ended, GrantId, Rotation},
    history::Event,
    identity::Identity,
    seal::KeyId,
    session::{Opener, Session, SessionHash},
};

/// A personal access token, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnToken {
    /// Its session.
    pub session: Session,
    /// Whether the grant that it has is dead, so that it is refused whatever its own end is.
    pub is_over: bool,
}

/// A session with its grant, as an administrator sees it: without tokens, which are not read.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// The grant that the session points to.
    pub grant: ListedGrant,
    /// What the session was opened by.
    pub opener: Opener,
}

/// What a list shows of a grant.
#[derive(Clone, Debug)]
pub struct ListedGrant {
    /// The grant's id.
    pub id: GrantId,
    /// The issuer identifier of the provider.
    pub issuer: String,
    /// The client that the grant was issued to.
    pub client_id: String,
    /// The user.
    pub identity: Identity,
    /// When the access token expires.
    pub expires_at: Timestamp,
    /// When the grant was last renewed, or obtained.
    pub renewed_at: Timestamp,
    /// How many renewals were saved.
    pub generation: i64,
    /// What renewals have shown of the provider's rotation.
    pub rotation: Rotation,
    /// Whether it has a refresh token.
    pub has_refresh_token: bool,
    /// The key that the refresh token is encrypted under.
    pub refresh_key: Option<KeyId>,
    /// Until when the refresh token lives if it is not renewed, where that is known.
    pub refresh_until: Option<Timestamp>,
    /// Whether a refresh token was presented by an attempt whose lease has expired.
    pub is_outcome_unknown: bool,
    /// Whether that attempt stands for whatever was presented since the backup that the database was restored from.
    pub is_restored: bool,
    /// What the provider said when it was last asked for a renewal, if it makes none for anybody and the session is not served until it
    /// makes one. The row does not tell it.
    pub unserved: Option<String>,
    /// The provider refused the last renewal with this code, without ending the grant.
    pub refused: Option<String>,
    /// Since when the newest tokens could not be verified, if they could not.
    pub unverified_since: Option<Timestamp>,
    /// Why the grant has ended, if it has.
    pub ended: Option<Ended>,
}

/// A place in the list of all sessions, the last login first. A page begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPosition {
    /// When the session began.
    pub created_at: Timestamp,
    /// The session.
    pub hash: SessionHash,
}

impl ListPosition {
    /// Before all sessions.
    pub const START: Self = Self { created_at: Timestamp(i64::MAX), hash: SessionHash([0xff; 32]) };
}

/// A place in the list of one user's sessions, those that were used last first. A part begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenPosition {
    /// When the session was last used.
    pub last_seen: Timestamp,
    /// The session.
    pub hash: SessionHash,
}

impl SeenPosition {
    /// Before all sessions.
    pub const START: Self = Self { last_seen: Timestamp(i64::MAX), hash: SessionHash([0xff; 32]) };
}

/// By which name users are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// The e-mail address.
    Email,
    /// The user name.
    Username,
}

/// Which of a user's sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// All.
    All,
    /// Those of browsers.
    Browser,
    /// Personal access tokens.
    Token,
}

/// A place in the list of events, the newest first. A part begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// When the event happened.
    pub at: Timestamp,
    /// Its number, which tells events of the same time apart.
    pub id: i64,
}

impl EventPlace {
    /// Before all events.
    pub const START: Self = Self { at: Timestamp(i64::MAX), id: i64::MAX };
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number, which tells events of the same time apart.
    pub id: i64,
    /// The event.
    pub event: Event,
    /// The replica that wrote it.
    pub replica: String,
}

impl StoredEvent {
    /// Its place in the list of events.
    pub fn place(&self) -> EventPlace {
        EventPlace { at: self.event.at, id: self.id }
    }
}

/// A token refresh, as the history tells it, and its grant as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRenewal {
    /// The event.
    pub event: Event,
    /// Whether its grant is there, and the provider has not refused to renew that one without ending it.
    pub is_unrefused: bool,
}

/// A part of a list of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPart {
    /// The events, the newest first.
    pub events: Vec<StoredEvent>,
    /// Where the next part begins, if there is one.
    pub next: Option<EventPlace>,
}

impl EventPart {
    /// The first `most` of these events, of which one more tells that there is another part. They come in any order, and some twice.
    pub fn of(mut events: Vec<StoredEvent>, most: usize) -> Self {
        events.sort_by_key(|stored| Reverse((stored.event.at, stored.id)));
        events.dedup_by_key(|stored| stored.id);
        let is_cut = events.len() > most;
        events.truncate(most);
        let next = events.last().filter(|_| is_cut).map(StoredEvent::place);
        Self { events, next }
    }
}

/// Whose events are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventsOf {
    /// Those of a user. Of which provider's is not known of events that an older release wrote: those are read too.
    User {
        /// The issuer of the user's provider; empty: of whichever.
        issuer: String,
        /// The provider's `sub`.
        subject: String,
    },
    /// Those of a grant.
    Grant(GrantId),
    /// Those of a session, by its short hash.
    Session(String),
}

/// Which events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// All.
    All,
    /// Those that tell of an end, of a login that was denied, of what needs a person, and of what administrators did. There is an index
    /// of these alone.
    Ends,
    /// Logins.
    Logins,
}
