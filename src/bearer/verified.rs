//! A token that was found good.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Timestamp,
    identity::{Claimant, ForwardedIdentity, HeaderSet, Identity, RenderedHeaders, SignedAssertions},
    oidc::Provider,
    policy::TokenUse,
    secret::Secret,
    session::TokenOwner,
};

/// A token that was found good.
#[derive(Debug)]
pub struct VerifiedToken {
    /// Who has issued it.
    pub issuer: String,
    /// The provider, if it is one of those for whose users there is a policy.
    pub provider: Option<Arc<Provider>>,
    /// Whose it is.
    pub identity: Identity,
    /// Where it may be used.
    pub usage: TokenUse,
    /// When it expires, if that is known.
    pub expires_at: Option<Timestamp>,
    /// Whether it was verified without asking its issuer about it.
    pub is_self_contained: bool,
    /// When it was first verified here.
    pub verified_at: Timestamp,
    /// Its user, and when it was issued.
    pub owner: TokenOwner,
    /// Its SHA-256 hash.
    pub hash: [u8; 32],
    /// The identity as signed tokens, each for the app of a route.
    pub assertions: SignedAssertions,
    pub(super) token: Secret,
    pub(super) headers: RenderedHeaders,
}

/// How long a stream goes on that was opened with a token of which nobody says when it expires.
const LONGEST_STREAM: Duration = Duration::from_secs(3600);

impl VerifiedToken {
    /// The identity that is forwarded to an upstream that gets these headers.
    pub fn forwarded_identity(&self, set: &Arc<HeaderSet>) -> ForwardedIdentity {
        let claimant = Claimant { identity: &self.identity, access_token: Some(&self.token), id_token: None };
        ForwardedIdentity { headers: self.headers.of(set, claimant), assertion: None, stale_since: None }
    }

    /// When whatever was opened with it at `now` ends.
    pub fn ends(&self, now: Timestamp) -> Timestamp {
        self.expires_at.unwrap_or_else(|| now.plus(LONGEST_STREAM))
    }
}
