//! The provider's keys: how they verify signatures, and where they are fetched.

use std::sync::Arc;

use super::{
    Provider, ProviderError,
    discovery::ProviderMetadata,
    document::{Document, NO_KEY, read_keys},
    http::MetadataDoubt,
    issuer::is_key_of,
    key_cache::{Fetched, KeyPurpose},
};
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
    /// Verifies a token's signature by the cached keys, or else by newer ones (`KeyCache::verify`), and returns its claims and its algorithm.
    pub(super) async fn verify_signature(
        &self,
        metadata: &ProviderMetadata,
        token: &str,
        algorithms: &[Algorithm],
        purpose: KeyPurpose,
    ) -> Result<Result<(JsonObject, Algorithm), JoseError>, ProviderError> {
        if self.keys.begin_refresh() {
            self.http.doubt_metadata(MetadataDoubt::OldKeys);
        }
        let verify = |keys: &KeySet| self.verify_signature_with(token, algorithms, keys, purpose);
        self.keys.verify(token, purpose, verify, self.request_keys(metadata)).await.map_err(ProviderError::Keys)
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

    /// The keys that verify its signatures, and when this replica fetched them; `None`: never yet.
    pub fn published_keys(&self) -> (Vec<PublishedKey>, Option<Timestamp>) {
        let Fetched { keys, at: fetched_at, .. } = self.keys.fetched();
        let told = keys.described().map(|key| PublishedKey {
            id: key.id.map(str::to_owned),
            algorithm: key.algorithm.map(str::to_owned),
            certificate: key.certificate.map(<[u8]>::to_vec),
        });
        (told.collect(), fetched_at)
    }

    /// Fetches the keys, and keeps them.
    pub(super) async fn fetch_keys(&self, metadata: &ProviderMetadata) -> Result<Arc<KeySet>, ProviderError> {
        self.keys.keep(self.request_keys(metadata)).await.map_err(ProviderError::Keys)
    }

    /// The keys as they are published now. Their address was checked when the metadata were read.
    pub(super) async fn request_keys(&self, metadata: &ProviderMetadata) -> Result<KeySet, String> {
        let keys = self.published_key_set(metadata).await?;
        if keys.is_empty() && !self.needs_no_keys(metadata) { Err(NO_KEY.to_owned()) } else { Ok(keys) }
    }

    /// The same, whatever they are.
    pub(super) async fn published_key_set(&self, metadata: &ProviderMetadata) -> Result<KeySet, String> {
        let document = self.fetch_document(&metadata.jwks_uri, Document::Keys).await.map_err(|error| causes(&error))?;
        read_keys(self.issuer(), &document)
    }

    /// Whether a set without keys may be what the provider means: it signs with the client secret, or might, and has never had a key.
    fn needs_no_keys(&self, metadata: &ProviderMetadata) -> bool {
        let is_by_secret = |algorithm: &Algorithm| algorithm.min_secret_len().is_some();
        let algorithms = &metadata.algorithms;
        algorithms.iter().all(is_by_secret) || (algorithms.iter().any(is_by_secret) && self.keys.current().is_empty())
    }
}
