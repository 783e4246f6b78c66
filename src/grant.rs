//! The grant: what one login at the provider gave us, and the state of its renewal.

use std::{fmt, time::Duration};

use crate::{
    clock::Timestamp,
    identity::{ForwardedIdentity, Identity, IdentityHeaders},
    seal::KeyId,
    secret::{Secret, hex, random, sha256},
};

/// Names a grant: 128 random bits. Not a secret, so it may stand in logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantId(pub [u8; 16]);

/// Names one attempt at a renewal; the fence that its result must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub [u8; 16]);

/// A grant as requests see it. The refresh token is not here: it is read from the store once the intent to
/// present it is won, and never from a cache.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The provider that issued it.
    pub issuer: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// Who it speaks for.
    pub identity: Identity,
    /// The same as header lines.
    pub headers: IdentityHeaders,
    /// The newest access token.
    pub access_token: Secret,
    /// When that one expires.
    pub expires_at: Timestamp,
    /// How long it was good for when it was issued.
    pub lifetime: Duration,
    /// Whether it can be renewed at all.
    pub has_refresh_token: bool,
    /// The scopes that the provider said it granted, separated by spaces.
    pub scopes: String,
    /// Of the settings that it was obtained with.
    pub fingerprint: Fingerprint,
    /// How often it has been renewed.
    pub generation: i64,
    /// When the login was that brought it.
    pub created_at: Timestamp,
    /// When it was last renewed, or issued.
    pub renewed_at: Timestamp,
    /// What is known of how the provider rotates its refresh tokens.
    pub rotation: Rotation,
    /// How often the present refresh token has been presented.
    pub presented: i64,
    /// How long ago that was last, by the database's clock.
    pub presented_ago: Option<Duration>,
    /// Until when the refresh token lives if it is not renewed, where that is known.
    pub refresh_until: Option<Timestamp>,
    /// The attempt that holds the right to present the refresh token.
    pub intent: Option<Intent>,
    /// Not to be tried again before.
    pub retry_at: Option<Timestamp>,
    /// The provider's code, where it refused to renew this grant the last time and did not say that it is dead.
    pub refused: Option<String>,
    /// Since when renewals bring ID tokens that cannot be verified, so that the identity is the one before, and the access token
    /// is nobody's as far as is known.
    pub unverified_since: Option<Timestamp>,
    /// The key under which one of its tokens was sealed, if this process does not have it. The access token may be empty then.
    pub missing_key: Option<KeyId>,
    /// Set once it cannot be renewed any more.
    pub ended: Option<Ended>,
}

/// Names the settings that a grant was obtained with: what was asked of the provider, and how its answer was read. A grant
/// whose fingerprint is not the present one would be another if it were obtained now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

/// A write-ahead intent as the store last saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Whose it is.
    pub attempt: AttemptId,
    /// Its lease has run out by the database's clock: the holder died, or its outcome is unknown.
    pub lapsed: bool,
}

/// Why a grant ended. Recorded in the store, so the texts are not to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The provider refused the refresh token for good.
    Dead,
    /// A refresh token was presented and no answer came that we could keep; presenting it again would look
    /// like theft to a provider that rotates strictly.
    OutcomeUnknown,
    /// A renewal brought an ID token or user info that is not this user's, or not the provider's.
    IdentityRefused,
    /// The access token expired and there was no refresh token.
    Expired,
    /// Its tokens were sealed under a key that nobody has any more. Never stored.
    KeyLost,
    /// It was issued by another provider, or to another client, than are configured now. Its refresh token is theirs
    /// and is never sent to anybody else.
    OtherProvider,
}

/// The end of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The provider's `error` code, where it sent one.
    pub code: Option<String>,
}

/// How a provider treats a refresh token that has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// No renewal has been seen yet.
    Unknown,
    /// The last renewal left the refresh token as it was.
    Reusable,
    /// The last renewal replaced it.
    Rotating,
}

#[cfg(test)]
impl Grant {
    /// A living grant of nobody's, whose access token expires at the beginning of time.
    pub(crate) fn sample() -> Self {
        Self {
            id: GrantId([0; 16]),
            issuer: String::new(),
            client_id: String::new(),
            identity: Identity::default(),
            headers: IdentityHeaders::default(),
            access_token: Secret::new(""),
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
            missing_key: None,
            ended: None,
        }
    }
}

impl Grant {
    /// What the upstream is told.
    pub fn forwarded_identity(&self, stale: bool) -> ForwardedIdentity {
        ForwardedIdentity {
            headers: self.headers.clone(),
            access_token: (self.unverified_since.is_none() && self.missing_key.is_none()).then(|| self.access_token.clone()),
            stale_since: stale.then_some(self.unverified_since.unwrap_or(self.renewed_at)),
        }
    }
}

impl Fingerprint {
    /// Of settings, written out in any way that tells them apart.
    pub fn of(settings: &str) -> Self {
        Self(hex(sha256(settings.as_bytes()).first_chunk::<8>().unwrap_or(&[0; 8])))
    }

    /// As it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl GrantId {
    /// What the history names in the place of a grant for the logins of a person that were denied, and so brought none. One for
    /// each person, because a grant's name leads to all of its events.
    pub fn of_denied(issuer: &str, subject: &str) -> Self {
        let name = sha256(format!("denied logins of {subject} at {issuer}").as_bytes());
        Self(*name.first_chunk().unwrap_or(&[0; 16]))
    }

    /// A new name.
    pub fn random() -> Self {
        Self(random())
    }
}

impl AttemptId {
    /// A new name.
    pub fn random() -> Self {
        Self(random())
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
    /// Its stored name, and its label in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::IdentityRefused => "identity_refused",
            Self::Expired => "expired",
            Self::OtherProvider => "other_provider",
            Self::KeyLost => "key_lost",
        }
    }

    /// The reason with this stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dead, Self::OutcomeUnknown, Self::IdentityRefused, Self::Expired, Self::OtherProvider]
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

impl Rotation {
    /// Its stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reusable => "reusable",
            Self::Rotating => "rotating",
        }
    }

    /// The class with this stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unknown, Self::Reusable, Self::Rotating].into_iter().find(|rotation| rotation.as_str() == text)
    }
}
