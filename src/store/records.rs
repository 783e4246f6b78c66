//! What the store takes and returns.

use std::time::Duration;

use crate::{
    client_registration::ClientRegistration,
    clock::{Stopwatch, Timestamp},
    grant::{AttemptId, Fingerprint, GrantId, Rotation},
    history::{Event, Kind},
    identity::Identity,
    seal::KeyId,
    secret::Secret,
    session::{Limit, Opener, PersonalToken, Session, SessionHash},
};

/// The tokens of one token response.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// The refresh token; `None` leaves the stored one in place.
    pub refresh: Option<Secret>,
    /// The ID token, for RP-initiated logout (`id_token_hint`); `None` leaves the stored one in place.
    pub id: Option<Secret>,
    /// When the access token expires.
    pub expires_at: Timestamp,
    /// How long the access token is valid from its issue.
    pub lifetime: Duration,
    /// How long the refresh token lives if it is not used (idle expiry), where that is known.
    pub refresh_life: Option<Duration>,
}

/// A grant as a login makes it.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// The grant's id.
    pub id: GrantId,
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The client that the grant was issued to.
    pub client_id: String,
    /// The clients that Evergate was at the provider before, from which the user's personal access tokens come along.
    pub former_clients: Vec<String>,
    /// The user.
    pub identity: Identity,
    /// The granted scopes, separated by spaces.
    pub scopes: String,
    /// The fingerprint of the settings that the grant was obtained with.
    pub fingerprint: Fingerprint,
    /// The browser's session at the provider (`sid`), for back-channel logouts.
    pub provider_session: Option<String>,
    /// The tokens.
    pub tokens: Tokens,
    /// What the session of the login is opened by, if that is a new one.
    pub opener: Opener,
}

impl NewGrant {
    /// The client registration that it was given to.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

/// Which session a login is for.
#[derive(Clone, Debug)]
pub enum LoginTarget {
    /// A new session.
    New {
        /// The new session.
        session: Session,
        /// The session that this browser had before, which ends.
        replaces: Option<SessionHash>,
    },
    /// The session that this browser has, which goes on: the login (`prompt=none`) renews its grant.
    Existing(SessionHash),
}

/// A session that is handed over to another site.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// The new session.
    pub session: SessionHash,
    /// Its site.
    pub site: String,
    /// The session that the browser had there before, which ends.
    pub replaces: Option<SessionHash>,
    /// When that is.
    pub at: Timestamp,
}

/// How many live refresh tokens a provider keeps for one user and client.
#[derive(Clone, Copy, Debug)]
pub enum Sharing {
    /// One for each login.
    Own,
    /// One for all logins. A login without a refresh token joins the user's grant, and one with it moves all the user's sessions to its own.
    Shared {
        /// Runs since the login's code was presented, with which the provider may have ended the user's other grants.
        since_code: Stopwatch,
    },
}

/// What a login was saved as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSaved {
    /// The session.
    pub session: SessionHash,
    /// The grant that the session points to.
    pub grant: GrantId,
    /// Whether the grant has a refresh token.
    pub renewable: bool,
    /// The sessions that have ended by it: the browser's one before, and of another user also those that were handed over from it.
    pub replaced: Vec<ReplacedSession>,
}

/// A session that has ended because its browser has another one now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedSession {
    /// The session.
    pub session: Session,
    /// The issuer of its user's provider.
    pub issuer: String,
    /// Its user, who need not be the one who has logged in; `None` if that cannot be read.
    pub identity: Option<Identity>,
}

/// What a hand-over was saved as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The new session.
    pub session: Session,
    /// The sessions that have ended by it.
    pub replaced: Vec<ReplacedSession>,
}

/// A personal access token that is to be saved.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// The token's hash.
    pub hash: SessionHash,
    /// The session of the browser in which it is made.
    pub made_from: SessionHash,
    /// What is particular of it.
    pub token: &'a PersonalToken,
    /// How many a user may have, of those that are not older than this.
    pub most: (usize, Duration),
    /// The present time.
    pub at: Timestamp,
    /// What it is made for, by hash, which is done once, and how long this is remembered.
    pub once: ([u8; 32], Timestamp),
}

/// What became of a personal access token that was to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSaved {
    /// It is saved, and has this grant.
    Saved(GrantId),
    /// The session that it was to be made from has ended, or its grant has.
    SessionEnded,
    /// The grant has no refresh token: it ends with its access token, and a token would too.
    NotRenewable,
    /// The user has as many as they may have.
    TooMany,
    /// What it is made for was done before.
    Repeated,
}

/// Selects sessions by the user or by the session at the provider. Sessions match all of what is given.
#[derive(Clone, Copy, Debug)]
pub struct SessionFilter<'a> {
    /// The provider.
    pub registration: ClientRegistration<'a>,
    /// The user (`sub`); `None` matches any.
    pub subject: Option<&'a str>,
    /// The session at the provider (`sid`); `None` matches any.
    pub provider_session: Option<&'a str>,
}

/// The result of a renewal.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The new tokens.
    pub tokens: Tokens,
    /// The scopes, where the token response names any.
    pub scopes: Option<String>,
    /// What the token response showed of the provider's rotation.
    pub rotation: Rotation,
    /// When the grant was renewed.
    pub at: Timestamp,
    /// Set where it cannot be verified yet that the new tokens are the same user's.
    pub unverified: Option<Unverified>,
}

/// A renewal whose ID token could not be verified when it was saved.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// When this was first so.
    pub since: Timestamp,
    /// The next renewal, which may bring an ID token that can be verified, is not tried before.
    pub retry_at: Timestamp,
}

/// An intent to present a grant's refresh token. It is written only if the row is still as the decision to present it found it.
#[derive(Clone, Copy, Debug)]
pub struct NewIntent {
    /// The attempt.
    pub attempt: AttemptId,
    /// The grant's generation.
    pub generation: i64,
    /// The grant's pause, which is over: a later attempt may have made another one.
    pub retry_at: Option<Timestamp>,
    /// How long the intent holds others back, by the database's clock.
    pub lease: Duration,
    /// An attempt whose place this one may take.
    pub expired: Option<ExpiredAttempt>,
}

impl NewIntent {
    /// The intent of a first attempt, of a grant without a pause.
    pub fn first(attempt: AttemptId, generation: i64, lease: Duration) -> Self {
        Self { attempt, generation, retry_at: None, lease, expired: None }
    }
}

/// An attempt whose lease has expired, and whose refresh token may be presented again.
#[derive(Clone, Copy, Debug)]
pub struct ExpiredAttempt {
    /// The attempt's id.
    pub attempt: AttemptId,
    /// How long after its first use the refresh token may be presented again, by the database's clock; `None` for ever.
    pub within: Option<Duration>,
}

/// What renewals by any replica have shown of a provider. `None`: nothing has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Whether a renewal of some grant replaced its refresh token.
    pub rotates: Option<bool>,
    /// Whether the provider rejects a dummy refresh token as it should.
    pub rejects_dummy: Option<bool>,
}

impl Knowledge {
    /// Adds what was observed since. That a provider rotates is never forgotten.
    pub fn add(&mut self, observed: Self) {
        self.rotates = if self.rotates == Some(true) { self.rotates } else { observed.rotates.or(self.rotates) };
        self.rejects_dummy = observed.rejects_dummy.or(self.rejects_dummy);
    }
}

/// Which writer may still end a grant: a fencing token.
#[derive(Clone, Copy, Debug)]
pub enum Fence {
    /// The writer that holds this attempt's intent.
    Attempt(AttemptId),
    /// The writer that read this generation.
    Generation(i64),
}

/// A session that has ended, with what a logout at the provider needs.
#[derive(Debug)]
pub struct EndedSession {
    /// The grant that the session pointed to.
    pub grant: GrantId,
    /// The provider that issued the grant.
    pub issuer: String,
    /// The client that the grant was issued to.
    pub client_id: String,
    /// The user.
    pub identity: Identity,
    /// The ID token, for `id_token_hint`.
    pub id_token: Option<Secret>,
    /// The other sessions of its login, at other sites, which have ended too, each with its grant.
    pub others: Vec<(SessionHash, GrantId)>,
}

impl EndedSession {
    /// The events of its end, and of those that ended with it. `own` is its hash.
    pub fn events(&self, own: SessionHash, reason: &str, at: Timestamp) -> impl Iterator<Item = Event> {
        self.others.iter().copied().chain([(own, self.grant)]).map(move |(hash, grant)| {
            Event::of(Kind::Logout, grant, &self.issuer, &self.identity, at).of_session(hash).because(reason)
        })
    }
}

impl EndedSession {
    /// The client registration that its grant was given to.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

/// A form that met the end of its session, as it is stored.
#[derive(Clone, Debug)]
pub struct KeptPostRow {
    /// Names it.
    pub name: [u8; 32],
    /// A hash of whose it is.
    pub owner: [u8; 32],
    /// The form, encrypted.
    pub sealed: Vec<u8>,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// How many forms are kept.
#[derive(Clone, Copy, Debug)]
pub struct MostKept {
    /// Of one owner.
    pub of_owner: i64,
    /// In all.
    pub rows: i64,
    /// Their bytes in all.
    pub bytes: i64,
}

/// Grants in a sample that have the same settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSample {
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// The fingerprint of the settings that they were obtained with.
    pub fingerprint: String,
    /// Whether they have a refresh token.
    pub is_renewable: bool,
    /// How many there are.
    pub grants: i64,
}

impl GrantSample {
    /// The client registration that they were given to.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

/// What is old enough to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Sessions that began before.
    pub created_before: Timestamp,
    /// The limit that these have reached.
    pub limit: Limit,
    /// Sessions that were last seen before; `None`: use does not prolong sessions.
    pub seen_before: Option<Timestamp>,
    /// Personal access tokens that were made before, whatever they were promised.
    pub tokens_made_before: Timestamp,
    /// Events that happened before.
    pub events_before: Timestamp,
    /// The present time; login attempts and return addresses have their own expiry.
    pub now: Timestamp,
}

/// What one batch of the sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many rows were deleted.
    pub removed: u64,
    /// Whether nothing is left, apart from what another replica is deleting.
    pub is_done: bool,
}

/// One batch of the search for refresh tokens that soon expire for want of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleExpiry {
    /// The grants that are in use.
    pub due: Vec<GrantId>,
    /// Whether nothing is left to be looked at now.
    pub is_done: bool,
}

/// How much is encrypted with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key: KeyId,
    /// The number of grants that have such a token.
    pub grants: i64,
    /// The number of such refresh tokens that wait for their revocation.
    pub revocations: i64,
    /// Whether this replica has the key.
    pub is_known: bool,
}

/// The result of encrypting some rows with the newest key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Rows that were encrypted anew.
    pub done: u64,
    /// Grants that were renewed or ended meanwhile, and are to be read again: a renewal may leave a token as it was.
    pub changed: u64,
    /// Rows with a token that cannot be decrypted.
    pub unreadable: u64,
    /// The last grant that was read; `None` at the end.
    pub last: Option<GrantId>,
}
