//! What the store is given and gives.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    grant::{AttemptId, GrantId, Rotation},
    identity::Identity,
    secret::Secret,
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
    pub fingerprint: String,
    /// Its tokens.
    pub tokens: Tokens,
}

/// What a renewal brought.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The new tokens.
    pub tokens: Tokens,
    /// What the answer showed of the provider's rotation.
    pub rotation: Rotation,
    /// When it was.
    pub at: Timestamp,
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
    /// To be revoked: set when no other session uses the grant.
    pub refresh_token: Option<Secret>,
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
