//! What lists show, and their places.

use crate::{
    clock::Timestamp,
    grant::{Ended, GrantId, Rotation},
    history::Event,
    identity::Identity,
    session::{Opener, Session, SessionHash},
};

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
    /// Until when the refresh token lives if it is not renewed, where that is known.
    pub refresh_until: Option<Timestamp>,
    /// Whether a refresh token was presented by an attempt whose lease has expired.
    pub is_outcome_unknown: bool,
    /// The provider refused the last renewal with this code, without ending the grant.
    pub refused: Option<String>,
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

/// A part of the list of what administrators did, each event with the replica that wrote it.
#[derive(Clone, Debug)]
pub struct AuditPart {
    /// The events, the newest first.
    pub events: Vec<(Event, String)>,
    /// Where the next part begins, if there is one.
    pub next: Option<EventPlace>,
}
