//! The provider's keys: verifies signatures with them, and fetches them again for a token that none of them verifies.

use std::sync::Arc;

use super::{Provider, ProviderError, discovery::ProviderMetadata, document::Document, issuer::is_key_of, key_cache::KeyPurpose};
use crate::{
    clock::Timestamp,
    jose::{Algorithm, JoseError, JsonObject, KeySet, SignedToken, VerificationOptions},
    secret::Secret,
    telemetry::logs::causes,
};

/// A key that a provider publishes, as it tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// Its identifier (`kid`).
    pub id: Option<String>,
    /// The algorithm that it is for (`alg`).
    pub algorithm: Option<String>,
    /// Its certificate (`x5c`), in DER.
    pub certificate: Option<Vec<u8>>,
}

impl Provider {
    /// Verifies a token's signature by the cached keys, or else by newer ones, and returns its claims and its algorithm.
    pub(super) async fn verify_signature(
        &self,
        metadata: &ProviderMetadata,
        token: &str,
        algorithms: &[Algorithm],
        purpose: KeyPurpose,
    ) -> Result<Result<(JsonObject, Algorithm), JoseError>, ProviderError> {
        let keys = self.keys.current();
        match self.verify_signature_with(token, algorithms, &keys, purpose) {
            Err(error) if error.may_need_newer_keys() => {
                let newer = self.newer_keys(metadata, &keys, purpose).await?;
                let names_unknown_key =
                    || SignedToken::parse(token).is_ok_and(|token| token.key_id().is_some_and(|id| !keys.may_contain(id)));
                let is_anybody_s = matches!(purpose, KeyPurpose::Logout | KeyPurpose::AccessToken);
                if is_anybody_s && Arc::ptr_eq(&newer, &keys) && names_unknown_key() {
                    // Anybody may have used up the rate limit, so a token that may be genuine is not refused for good.
                    return Err(ProviderError::Keys("they were fetched a moment ago".to_owned()));
                }
                Ok(self.verify_signature_with(token, algorithms, &newer, purpose))
            }
            judged => Ok(judged),
        }
    }

    /// Verifies a token's signature by these keys alone, without a call.
    pub(super) fn verify_signature_with(
        &self,
        token: &str,
        algorithms: &[Algorithm],
        keys: &KeySet,
        purpose: KeyPurpose,
    ) -> Result<(JsonObject, Algorithm), JoseError> {
        let secrets: Vec<&Secret> =
            [&self.settings.client_secret, &self.settings.previous_secret].into_iter().flatten().collect();
        let names_issuers = self.metadata().is_ok_and(|metadata| metadata.issuer.is_of_tenant());
        SignedToken::parse(token)?.verify(VerificationOptions {
            key_issuer: names_issuers.then_some(is_key_of),
            algorithms,
            keys,
            unknown_key_ids: purpose.unknown_key_ids(),
            secrets: &secrets,
        })
    }

    /// Keys newer than `seen`: those that another task has just fetched, or else by a fetch. The rate limit counts from a fetch's
    /// end, so that whoever has waited for one that failed does not begin the next, and from its begin, if it is cancelled.
    pub(super) async fn newer_keys(
        &self,
        metadata: &ProviderMetadata,
        seen: &Arc<KeySet>,
        purpose: KeyPurpose,
    ) -> Result<Arc<KeySet>, ProviderError> {
        let mut fetched_at = self.keys.fetch_limit(purpose).lock().await;
        let (newest, now) = (self.keys.current(), self.clock.now());
        let too_soon = fetched_at.is_some_and(|at| now.is_within(purpose.min_fetch_interval(), at));
        if !Arc::ptr_eq(&newest, seen) || too_soon {
            return Ok(newest);
        }
        *fetched_at = Some(now);
        let fetched = self.fetch_keys(metadata).await;
        *fetched_at = Some(self.clock.now());
        fetched
    }

    /// The keys that verify its signatures, and when this replica fetched them; `None`: never yet.
    pub fn published_keys(&self) -> (Vec<PublishedKey>, Option<Timestamp>) {
        let (keys, fetched_at) = self.keys.fetched();
        let told = keys.described().map(|key| PublishedKey {
            id: key.id.map(str::to_owned),
            algorithm: key.algorithm.map(str::to_owned),
            certificate: key.certificate.map(<[u8]>::to_vec),
        });
        (told.collect(), fetched_at)
    }

    /// Fetches the keys. Their address was checked when the metadata were read.
    pub(super) async fn fetch_keys(&self, metadata: &ProviderMetadata) -> Result<Arc<KeySet>, ProviderError> {
        let document =
            self.fetch_document(&metadata.jwks_uri, Document::Keys).await.map_err(|error| ProviderError::Keys(causes(&error)))?;
        let set = KeySet::parse(&document).map_err(|error| ProviderError::Keys(error.to_string()))?;
        if set.is_empty() {
            tracing::warn!(oidc.issuer = self.issuer(), "provider key set has no key that can verify a signature");
        }
        let set = Arc::new(set);
        self.keys.replace(Arc::clone(&set), self.clock.now());
        Ok(set)
    }
}
