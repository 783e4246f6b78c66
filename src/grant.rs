//! The grant: what one login at the provider gave us, and the state of its renewal.

mod exchanged_tokens;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    identity::{Claimant, ForwardedIdentity, HeaderSet, Identity, RenderedHeaders, SignedAssertions},
    seal::KeyId,
    secret::{Secret, hex, random, sha256},
};

pub use exchanged_tokens::{ExchangeFailure, ExchangeSlot, ExchangeTarget, ExchangedToken, ExchangedTokens, KeptExchange};

/// Identifies a grant: 128 random bits. It is not a secret, so logs may contain it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantId(pub [u8; 16]);

/// Identifies one attempt at a token refresh; its result is saved only if the row still names this attempt (fencing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub [u8; 16]);

/// A grant as requests see it. The refresh token is left out: it is read from the store together with the intent to present it,
/// and never from a cache.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The grant's identifier.
    pub id: GrantId,
    /// The issuer identifier of the provider.
    pub issuer: String,
    /// The client ID that the grant was issued to.
    pub client_id: String,
    /// The user.
    pub identity: Identity,
    /// The identity as header lines, by the set of headers that an app gets.
    pub headers: RenderedHeaders,
    /// The identity as signed tokens, each for the app of a route.
    pub assertions: SignedAssertions,
    /// What the access token was exchanged for.
    pub exchanged: ExchangedTokens,
    /// The newest access token.
    pub access_token: Secret,
    /// The newest ID token, if some app gets it; a token refresh need not bring one.
    pub id_token: Option<Secret>,
    /// When the access token expires.
    pub expires_at: Timestamp,
    /// The access token's lifetime when it was issued.
    pub lifetime: Duration,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// The granted scopes, separated by spaces.
    pub scopes: String,
    /// Identifies the settings that the grant was obtained with.
    pub fingerprint: Fingerprint,
    /// The number of token refreshes so far.
    pub generation: i64,
    /// The time of the login.
    pub created_at: Timestamp,
    /// The time of the last token refresh, or of the login.
    pub renewed_at: Timestamp,
    /// How the provider has treated this grant's refresh tokens so far.
    pub rotation: Rotation,
    /// How often the current refresh token has been presented.
    pub presented: i64,
    /// How long ago the refresh token was first presented, by the database's clock.
    pub presented_ago: Option<Duration>,
    /// The idle expiry of the refresh token, if known.
    pub refresh_until: Option<Timestamp>,
    /// The write-ahead intent of the attempt that may present the refresh token.
    pub intent: Option<Intent>,
    /// The earliest time of the next attempt.
    pub retry_at: Option<Timestamp>,
    /// The provider's `error` code if it refused the last token refresh without ending the grant.
    pub refused: Option<String>,
    /// Since when ID tokens of token refreshes cannot be verified. Meanwhile the identity is the last verified one, and the
    /// access token may be another user's, so it is not forwarded.
    pub unverified_since: Option<Timestamp>,
    /// The user's session at the provider (`sid`) that it was given in, where it is known.
    pub provider_session: Option<Box<str>>,
    /// The key that one of the tokens is encrypted under, if this process does not have it. The access token may be empty then.
    pub missing_key: Option<KeyId>,
    /// Why the grant ended, once it has.
    pub ended: Option<Ended>,
}

/// A digest of the settings that a grant was obtained with: what the authorization request asks for, and how the response is
/// read. A grant with another fingerprint than today's was obtained with other settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

/// A write-ahead intent, as it was read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The attempt that holds it.
    pub attempt: AttemptId,
    /// Whether its lease has expired by the database's clock: the holder has died, or the outcome is unknown.
    pub lease_expired: bool,
}

/// Why a grant ended. The texts are stored and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The provider refused the refresh token permanently.
    Dead,
    /// A refresh token was presented and its response was lost; presenting it again would look like theft to a provider that
    /// detects reuse.
    OutcomeUnknown,
    /// The same of a refresh token of a database that was restored from a backup (`evergate sessions restored`): it may have been presented
    /// since. Stored as [`EndReason::OutcomeUnknown`], and known by the attempt's id, which is the grant's.
    Restored,
    /// A token refresh brought an ID token or user info of another user, or of another issuer.
    IdentityRefused,
    /// The access token expired and there was no refresh token.
    Expired,
    /// The tokens cannot be decrypted: no replica has their key any more, or the refresh token was altered. Of a lost key, which may come
    /// back, only an event is stored; of an altered token it is stored with the grant.
    KeyLost,
    /// The grant belongs to another provider or client than the configured ones. Its refresh token is never sent to anybody else. Stored as
    /// the reason of an event, and not with the grant: the settings may come back.
    OtherProvider,
}

/// The end of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The reason.
    pub reason: EndReason,
    /// The provider's `error` code, if it sent one.
    pub code: Option<String>,
}

/// How a provider treats a refresh token that has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// There has been no token refresh yet.
    Unknown,
    /// The last token refresh left the refresh token as it was.
    Reusable,
    /// The last token refresh replaced it.
    Rotating,
}

#[cfg(test)]
impl Grant {
    /// A live grant without a user, whose access token has expired.
    pub(crate) fn sample() -> Self {
        Self {
            id: GrantId([0; 16]),
            issuer: String::new(),
            client_id: String::new(),
            identity: Identity::default(),
            headers: RenderedHeaders::default(),
            assertions: SignedAssertions::default(),
            exchanged: ExchangedTokens::default(),
            access_token: Secret::new(""),
            id_token: None,
            expires_at: Timestamp(0),
            lifetime: Duration::from_secs(3600),
            has_refresh_token: true,
            scopes: String::new(),
            fingerprint: Fingerprint::of(""),
            generation: 0,
            created_at: Timestamp(0),
            presented_ago: None,
            refresh_until: None,
            renewed_at: Timestamp(0),
            rotation: Rotation::Unknown,
            presented: 0,
            intent: None,
            retry_at: None,
            refused: None,
            unverified_since: None,
            provider_session: None,
            missing_key: None,
            ended: None,
        }
    }
}

impl Grant {
    /// The identity that is forwarded to an upstream that gets these headers.
    pub fn forwarded_identity(&self, set: &Arc<HeaderSet>, stale: bool) -> ForwardedIdentity {
        // Tokens that are not verified may be another user's.
        let has_tokens = self.unverified_since.is_none() && self.missing_key.is_none();
        let claimant = Claimant {
            identity: &self.identity,
            access_token: Some(&self.access_token).filter(|_| has_tokens),
            id_token: self.id_token.as_ref().filter(|_| has_tokens),
        };
        ForwardedIdentity {
            headers: self.headers.of(set, claimant),
            assertion: None,
            stale_since: stale.then_some(self.unverified_since.unwrap_or(self.renewed_at)),
        }
    }
}

impl Fingerprint {
    /// Computes the fingerprint of `settings`, an unambiguous text.
    pub fn of(settings: &str) -> Self {
        Self(hex(sha256(settings.as_bytes()).first_chunk::<8>().unwrap_or(&[0; 8])))
    }

    /// Restores a stored fingerprint.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Grant {
    /// The client registration that it was given to.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

impl GrantId {
    /// The identifier under which the history records a user's denied logins, which have no grant. It differs from user to user,
    /// because an identifier leads to all of its events.
    pub fn of_denied(issuer: &str, subject: &str) -> Self {
        let name = sha256(format!("denied logins of {subject} at {issuer}").as_bytes());
        Self(*name.first_chunk().unwrap_or(&[0; 16]))
    }

    /// Generates a new identifier.
    pub fn random() -> Self {
        Self(random())
    }
}

impl AttemptId {
    /// Generates a new identifier.
    pub fn random() -> Self {
        Self(random())
    }

    /// The attempt that stands for whatever has presented the refresh token of a grant since the backup that its database was restored
    /// from. The statement `mark_restored` writes it, where no other attempt's outcome is unknown, with a `presented_at` of 0; by that
    /// `release_intent` knows to leave it behind.
    pub fn of_restored(grant: GrantId) -> Self {
        Self(grant.0)
    }

    /// Whether it is [`AttemptId::of_restored`].
    pub fn is_of_restored(self, grant: GrantId) -> bool {
        self == Self::of_restored(grant)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl EndReason {
    /// Returns the stored name, which is also the label in metrics and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Restored => "restored",
            Self::IdentityRefused => "identity_refused",
            Self::Expired => "expired",
            Self::OtherProvider => "other_provider",
            Self::KeyLost => "key_lost",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Dead,
        Self::OutcomeUnknown,
        Self::Restored,
        Self::IdentityRefused,
        Self::Expired,
        Self::OtherProvider,
        Self::KeyLost,
    ];

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Whether the grant is good for its remaining use: nobody has said that its user may not go on, it only cannot be renewed.
    pub fn leaves_remaining_use(self) -> bool {
        match self {
            Self::OutcomeUnknown | Self::Restored | Self::KeyLost => true,
            Self::Dead | Self::IdentityRefused | Self::Expired | Self::OtherProvider => false,
        }
    }

    /// The reason as it is told of a grant whose refresh token was last presented by `attempt`.
    #[must_use]
    pub fn with_attempt(self, grant: GrantId, attempt: Option<AttemptId>) -> Self {
        match self {
            Self::OutcomeUnknown if attempt.is_some_and(|attempt| attempt.is_of_restored(grant)) => Self::Restored,
            Self::OutcomeUnknown
            | Self::Restored
            | Self::Dead
            | Self::IdentityRefused
            | Self::Expired
            | Self::OtherProvider
            | Self::KeyLost => self,
        }
    }
}

impl Rotation {
    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reusable => "reusable",
            Self::Rotating => "rotating",
        }
    }

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unknown, Self::Reusable, Self::Rotating].into_iter().find(|rotation| rotation.as_str() == text)
    }
}
