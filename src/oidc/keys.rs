//! The provider's keys: kept, and fetched again for a token that they do not fit.
//!
//! Who can cause a fetch differs: a login's token comes from the token endpoint, a logout token from anybody. So each
//! purpose has a budget of its own, and what one of them spends in vain the others still have.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::{
    Provider, ProviderError,
    discovery::{Document, Known},
};
use crate::{
    clock::Timestamp,
    jose::{Accepted, Algorithm, JoseError, KeySet, Names, Object, Token},
    secret::Secret,
    telemetry::logs::causes,
};

/// What keys are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Login,
    Renewal,
    Logout,
    /// To know whether the provider can still verify a token that it is about to be shown.
    LogoutHint,
}

impl Purpose {
    /// Keys are not fetched more often than this.
    fn pause(self) -> Duration {
        match self {
            Self::Login => Duration::from_secs(3),
            Self::Renewal => Duration::from_secs(30),
            Self::Logout => Duration::from_secs(10),
            Self::LogoutHint => Duration::from_secs(60),
        }
    }

    fn names(self) -> Names {
        match self {
            Self::Login | Self::Logout | Self::LogoutHint => Names::Known,
            Self::Renewal => Names::Any,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    set: RwLock<Arc<KeySet>>,
    login: Budget,
    renewal: Budget,
    logout: Budget,
    logout_hint: Budget,
}

/// When a fetch was last begun; held while one goes on, so that others with the same purpose wait for it.
type Budget = tokio::sync::Mutex<Option<Timestamp>>;

impl Keys {
    pub(super) fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn budget(&self, purpose: Purpose) -> &Budget {
        match purpose {
            Purpose::Login => &self.login,
            Purpose::Renewal => &self.renewal,
            Purpose::Logout => &self.logout,
            Purpose::LogoutHint => &self.logout_hint,
        }
    }
}

impl Provider {
    /// What a token says, if it is signed by the provider: by the keys that we have, or else by newer ones.
    pub(super) async fn signed(
        &self,
        known: &Known,
        token: &str,
        algorithms: &[Algorithm],
        purpose: Purpose,
    ) -> Result<Result<(Object, Algorithm), JoseError>, ProviderError> {
        let keys = self.keys.known();
        match self.signed_by(token, algorithms, &keys, purpose) {
            Err(error) if error.may_need_newer_keys() => {
                let newer = self.newer_keys(known, &keys, purpose).await?;
                let names_unknown_key =
                    || Token::parse(token).is_ok_and(|token| token.key_name().is_some_and(|id| !keys.may_have(id)));
                if purpose == Purpose::Logout && Arc::ptr_eq(&newer, &keys) && names_unknown_key() {
                    // Anybody may have spent the fetch. A genuine token is told to come again, not refused for good.
                    return Err(ProviderError::Keys("they were fetched a moment ago".to_owned()));
                }
                Ok(self.signed_by(token, algorithms, &newer, purpose))
            }
            judged => Ok(judged),
        }
    }

    /// The same by these keys alone; asks nobody.
    pub(super) fn signed_by(
        &self,
        token: &str,
        algorithms: &[Algorithm],
        keys: &KeySet,
        purpose: Purpose,
    ) -> Result<(Object, Algorithm), JoseError> {
        let secrets: Vec<&Secret> =
            [&self.settings.client_secret, &self.settings.previous_secret].into_iter().flatten().collect();
        Token::parse(token)?.verify(Accepted { algorithms, keys, names: purpose.names(), secrets: &secrets })
    }

    /// Keys newer than `seen`: those that somebody else has just fetched, or by one fetch, counted before it is made so that
    /// a failing endpoint is not hammered.
    pub(super) async fn newer_keys(
        &self,
        known: &Known,
        seen: &Arc<KeySet>,
        purpose: Purpose,
    ) -> Result<Arc<KeySet>, ProviderError> {
        let mut fetched_at = self.keys.budget(purpose).lock().await;
        let (newest, now) = (self.keys.known(), self.clock.now());
        let too_soon = fetched_at.is_some_and(|at| now.since(at) < purpose.pause());
        if !Arc::ptr_eq(&newest, seen) || too_soon {
            return Ok(newest);
        }
        *fetched_at = Some(now);
        self.fetch_keys(known).await
    }

    /// Fetches the keys. The address was checked when it was read.
    pub(super) async fn fetch_keys(&self, known: &Known) -> Result<Arc<KeySet>, ProviderError> {
        let document =
            self.fetch_document(&known.jwks, Document::Keys).await.map_err(|error| ProviderError::Keys(causes(&error)))?;
        let set = KeySet::parse(&document).map_err(|error| ProviderError::Keys(error.to_string()))?;
        if set.is_empty() {
            tracing::warn!(oidc.issuer = self.issuer(), "the provider publishes no key that a signature could be checked with");
        }
        let set = Arc::new(set);
        *self.keys.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&set);
        Ok(set)
    }
}
