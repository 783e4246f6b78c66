//! Rows as they are stored, and their conversion to and from records.

use std::time::Duration;

use super::{ReplacedSession, StoreError, connection::Row, sealing};
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Ended, ExchangedTokens, Fingerprint, Grant, GrantId, Intent, Rotation},
    identity::{Identity, RenderedHeaders, SignedAssertions},
    seal::{KeyRing, SealError},
    secret::{Secret, hex},
    session::{PersonalToken, Session, SessionHash, TokenScope, UserName},
};

/// A session that has ended, with its grant as it was.
#[derive(Debug)]
pub(super) struct EndedSessionRow {
    pub(super) grant: GrantId,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) identity: String,
    pub(super) id_token: Option<Vec<u8>>,
    /// The other sessions of its login, which have ended too, with their grants.
    pub(super) others: Vec<(SessionHash, GrantId)>,
}

/// Reads the hash of a user's name.
pub(super) fn user_name_from(bytes: &[u8]) -> Result<UserName, StoreError> {
    bytes.try_into().map(UserName).map_err(|_| StoreError::Malformed("user name"))
}

/// A row of `grants` as a request reads it.
#[derive(Debug)]
pub(super) struct GrantRow {
    pub(super) id: GrantId,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) identity: String,
    pub(super) scopes: String,
    pub(super) fingerprint: String,
    pub(super) access_token: Vec<u8>,
    /// The refresh token's version and key id, if there is one; the token itself is not read.
    pub(super) refresh_token_head: Option<Vec<u8>>,
    pub(super) expires_at: i64,
    pub(super) lifetime: i64,
    pub(super) created_at: i64,
    pub(super) renewed_at: i64,
    pub(super) generation: i64,
    pub(super) rotation: String,
    pub(super) presented: i64,
    pub(super) presented_ago: Option<i64>,
    pub(super) refresh_until: Option<i64>,
    pub(super) attempt: Option<Vec<u8>>,
    pub(super) lapsed: bool,
    pub(super) retry_at: Option<i64>,
    pub(super) refused_code: Option<String>,
    pub(super) unverified_since: Option<i64>,
    pub(super) provider_session: Option<String>,
    pub(super) ended_reason: Option<String>,
    pub(super) ended_code: Option<String>,
}

impl GrantRow {
    /// Whether the row takes the tokens of its generation's renewal: it has not ended, or only because an outcome was unknown.
    pub(super) fn takes_renewals(&self) -> bool {
        self.ended_reason.as_deref().is_none_or(|reason| reason == "outcome_unknown")
    }

    /// Reads `GRANT_COLUMNS` of a row.
    pub(super) fn read(id: GrantId, row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id,
            issuer: row.get("issuer")?,
            client_id: row.get("client_id")?,
            identity: row.get("identity")?,
            scopes: row.get("scopes")?,
            fingerprint: row.get("fingerprint")?,
            access_token: row.get("access_token")?,
            refresh_token_head: row.get("refresh_token_head")?,
            expires_at: row.get("expires_at")?,
            lifetime: row.get("lifetime")?,
            created_at: row.get("granted_at")?,
            renewed_at: row.get("renewed_at")?,
            generation: row.get("generation")?,
            rotation: row.get("rotation")?,
            presented: row.get("presented")?,
            presented_ago: row.get("presented_ago")?,
            refresh_until: row.get("refresh_until")?,
            attempt: row.get("attempt")?,
            lapsed: row.get("lapsed")?,
            retry_at: row.get("retry_at")?,
            refused_code: row.get("refused_code")?,
            unverified_since: row.get("unverified_since")?,
            provider_session: row.get("granted_session")?,
            ended_reason: row.get("ended_reason")?,
            ended_code: row.get("ended_code")?,
        })
    }

    pub(super) fn open(self, keys: &KeyRing) -> Result<Grant, StoreError> {
        let identity = identity_from(&self.identity);
        let is_whole = identity.is_ok();
        if !is_whole {
            tracing::error!(grant.id = %self.id, "the identity of a grant cannot be read: its user logs in again");
        }
        let lease_expired = self.lapsed;
        let intent = self
            .attempt
            .map(|bytes| Ok::<_, StoreError>(Intent { attempt: attempt_from(&bytes)?, lease_expired }))
            .transpose()?;
        let (code, attempt) = (self.ended_code, intent.as_ref().map(|intent| intent.attempt));
        let ended = self.ended_reason.as_deref().map(|text| end_reason_from(text).with_attempt(self.id, attempt));
        // Whose nobody knows any more is served to nobody.
        let ended = if is_whole { ended } else { Some(EndReason::Dead) };
        // A renewal that brings no new refresh token leaves the old one as it was sealed.
        let refresh_key = self.refresh_token_head.as_deref().and_then(KeyRing::key_of);
        let missing_key = refresh_key.filter(|key| !keys.has(*key));
        let (mut expires_at, mut unverified_since) = (self.expires_at, self.unverified_since);
        let (access_token, missing_key) = match sealing::open(keys, "access_token", self.id, &self.access_token) {
            Ok(token) => (token, missing_key),
            Err(StoreError::Sealed(SealError::UnknownKey(key))) => (Secret::new(""), Some(key)),
            // The refresh token beside it brings another one. Until then there is none to forward, and the identity is the last one.
            Err(StoreError::Sealed(error @ (SealError::Altered | SealError::Malformed))) => {
                tracing::warn!(grant.id = %self.id, %error, "the access token of a grant cannot be opened: it is refreshed");
                expires_at = self.renewed_at;
                unverified_since = unverified_since.or(Some(self.renewed_at));
                (Secret::new(""), missing_key)
            }
            Err(error) => return Err(error),
        };
        Ok(Grant {
            id: self.id,
            issuer: self.issuer,
            client_id: self.client_id,
            headers: RenderedHeaders::default(),
            assertions: SignedAssertions::default(),
            exchanged: ExchangedTokens::default(),
            identity: identity.unwrap_or_default(),
            access_token,
            id_token: None,
            missing_key,
            expires_at: Timestamp(expires_at),
            lifetime: duration(self.lifetime),
            has_refresh_token: self.refresh_token_head.is_some(),
            scopes: self.scopes,
            fingerprint: Fingerprint::from_stored(self.fingerprint),
            generation: self.generation,
            created_at: Timestamp(self.created_at),
            renewed_at: Timestamp(self.renewed_at),
            rotation: rotation_from(&self.rotation),
            presented: self.presented,
            // The database's clock has been set back since: how long ago it was nobody knows.
            presented_ago: self.presented_ago.filter(|ago| *ago >= 0).map(duration),
            refresh_until: self.refresh_until.map(Timestamp),
            intent,
            retry_at: self.retry_at.map(Timestamp),
            refused: self.refused_code,
            unverified_since: unverified_since.map(Timestamp),
            provider_session: self.provider_session.map(Box::from),
            ended: ended.map(|reason| Ended { reason, code }),
        })
    }
}

/// Reads a row of `sessions`.
pub(super) fn session_from(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        hash: session_hash_from(row.get("hash")?)?,
        grant: grant_from(row.get("grant_id")?)?,
        created_at: Timestamp(row.get("created_at")?),
        last_seen: Timestamp(row.get("last_seen")?),
        provider_session: row.get::<Option<String>>("provider_session")?.map(Box::from),
        site: row.get::<Option<String>>("site")?.map(Box::from),
        token: token_from(row.get("token_expires_at")?, row.get("token")?)?,
        login: row.get::<Option<Vec<u8>>>("login")?.map(|hash| session_hash_from(&hash)).transpose()?,
    })
}

/// Reads a session that was deleted because another has taken its place.
pub(super) fn replaced_from(row: &Row) -> Result<ReplacedSession, StoreError> {
    // What cannot be read of its user must not undo the login of another.
    let identity = identity_from(row.get("identity")?).ok();
    Ok(ReplacedSession { session: session_from(row)?, issuer: row.get("issuer")?, identity })
}

/// The columns of a personal access token, of which a browser's session has none.
pub(super) fn token_from(expires_at: Option<i64>, scope: Option<&str>) -> Result<Option<Box<PersonalToken>>, StoreError> {
    let (Some(expires_at), Some(scope)) = (expires_at, scope) else { return Ok(None) };
    let scope = serde_json::from_str(scope).map_err(|_| StoreError::Malformed("token"))?;
    Ok(Some(Box::new(PersonalToken { expires_at: Timestamp(expires_at), scope })))
}

pub(super) fn token_scope_to_text(scope: &TokenScope) -> Result<String, StoreError> {
    serde_json::to_string(scope).map_err(|_| StoreError::Malformed("token"))
}

/// A stored length of time; one that is negative because a clock was set back is zero.
pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

pub(super) fn identity_from(text: &str) -> Result<Identity, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Malformed("identity"))
}

/// Reads why a grant has ended. For a reason of a newer release it has ended too.
pub(super) fn end_reason_from(text: &str) -> EndReason {
    EndReason::parse(text).unwrap_or(EndReason::Dead)
}

/// Reads how a provider has treated a grant's refresh tokens. Of a class of a newer release nothing is known.
pub(super) fn rotation_from(text: &str) -> Rotation {
    Rotation::parse(text).unwrap_or(Rotation::Unknown)
}

pub(super) fn session_hash_from(bytes: &[u8]) -> Result<SessionHash, StoreError> {
    bytes.try_into().map(SessionHash).map_err(|_| StoreError::Malformed("session name"))
}

pub(super) fn identity_to_text(identity: &Identity) -> Result<String, StoreError> {
    serde_json::to_string(identity).map_err(|_| StoreError::Malformed("identity"))
}

pub(super) fn grant_from(bytes: &[u8]) -> Result<GrantId, StoreError> {
    bytes.try_into().map(GrantId).map_err(|_| StoreError::Malformed("grant id"))
}

/// The prefix of the column `attempt_owner`. It names the attempt, because an older replica writes an attempt without its owner
/// and leaves there the owner of an earlier one.
pub(super) fn owner_prefix(attempt: AttemptId) -> String {
    format!("{}/", hex(&attempt.0))
}

pub(super) fn attempt_from(bytes: &[u8]) -> Result<AttemptId, StoreError> {
    bytes.try_into().map(AttemptId).map_err(|_| StoreError::Malformed("attempt id"))
}
