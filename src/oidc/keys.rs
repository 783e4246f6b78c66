//! The provider's keys: verifies signatures with them, and fetches them again for a token that none of them verifies.

use std::{sync::Arc, time::Duration};

use super::{
    Provider, ProviderError,
    discovery::ProviderMetadata,
    document::Document,
    http::MetadataDoubt,
    id_token::was_issued_before,
    issuer::is_key_of,
    key_cache::{FetchNumber, Fetched, KeyPurpose, WhileLimited},
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

/// Keys that are newer than a token, or why there are none.
pub(super) enum NewerKeys {
    /// They were asked for after the token had come.
    Fetched(Arc<KeySet>),
    /// Others were asked for a moment ago.
    Limited,
}

/// Keys that are older than this are asked for again when a token is judged by them that its issuer may have taken back its key of.
const KEYS_ARE_FRESH_FOR: Duration = Duration::from_secs(3600);

impl Provider {
    /// Verifies a token's signature by the cached keys, or else by newer ones, and returns its claims and its algorithm. A token that newer
    /// keys might verify is refused by keys that were asked for after it had come, and by no others.
    pub(super) async fn verify_signature(
        &self,
        metadata: &ProviderMetadata,
        token: &str,
        algorithms: &[Algorithm],
        purpose: KeyPurpose,
    ) -> Result<Result<(JsonObject, Algorithm), JoseError>, ProviderError> {
        let (begun, known) = (self.keys.last_begun(), self.keys.fetched());
        if known.at.is_some_and(|at| !self.clock.now().is_within(KEYS_ARE_FRESH_FOR, at)) {
            // Nobody waits for it: while the provider is away, its keys are the best that is known.
            self.http.doubt_metadata(MetadataDoubt::OldKeys);
        }
        match self.verify_signature_with(token, algorithms, &known.keys, purpose) {
            Err(error) if error.may_need_newer_keys() => {}
            judged => return Ok(judged),
        }
        if let NewerKeys::Fetched(newer) = self.newer_keys(metadata, begun, purpose).await? {
            return Ok(self.verify_signature_with(token, algorithms, &newer, purpose));
        }
        let known = self.keys.fetched();
        match self.verify_signature_with(token, algorithms, &known.keys, purpose) {
            Err(error) if purpose.while_limited().puts_off(&error) && !was_issued_before(token, known.at) => {
                Err(ProviderError::Keys(format!("they were asked for a moment ago, and by those {error}")))
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

    /// Keys that are asked for after `begun`: those that another task has just fetched, or else by a fetch. The rate limit counts from a
    /// fetch's end, so that whoever has waited for one that failed does not begin the next, and from its begin, if it is cancelled.
    pub(super) async fn newer_keys(
        &self,
        metadata: &ProviderMetadata,
        begun: FetchNumber,
        purpose: KeyPurpose,
    ) -> Result<NewerKeys, ProviderError> {
        let (limit, interval) = (self.keys.fetch_limit(purpose), purpose.min_fetch_interval());
        let failures = limit.failures();
        let mut last = limit.last.lock().await;
        let by_another = || self.keys.begun_after(begun).map(NewerKeys::Fetched);
        if let Some(newer) = by_another() {
            return Ok(newer);
        }
        if limit.failures() != failures {
            return Err(ProviderError::Keys("another task has just asked for them in vain".to_owned()));
        }
        let now = self.clock.now();
        if let Some(at) = last.filter(|at| now.is_within(interval, *at)) {
            match purpose.while_limited() {
                WhileLimited::Waits => tokio::time::sleep(interval.saturating_sub(now.since(at))).await,
                WhileLimited::IsPutOff | WhileLimited::IsPutOffUnlessForged | WhileLimited::IsRefused => {
                    return Ok(NewerKeys::Limited);
                }
            }
            if let Some(newer) = by_another() {
                return Ok(newer);
            }
        }
        *last = Some(self.clock.now());
        let fetched = self.fetch_keys(metadata).await.inspect_err(|_error| limit.record_failure());
        *last = Some(self.clock.now());
        fetched.map(NewerKeys::Fetched)
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

    /// Fetches the keys. Their address was checked when the metadata were read.
    pub(super) async fn fetch_keys(&self, metadata: &ProviderMetadata) -> Result<Arc<KeySet>, ProviderError> {
        let begun = self.keys.begin();
        let document =
            self.fetch_document(&metadata.jwks_uri, Document::Keys).await.map_err(|error| ProviderError::Keys(causes(&error)))?;
        let set = KeySet::parse(&document).map_err(|error| ProviderError::Keys(error.to_string()))?;
        if set.is_empty() {
            tracing::warn!(oidc.issuer = self.issuer(), "provider key set has no key that can verify a signature");
        }
        let set = Arc::new(set);
        self.keys.replace(Arc::clone(&set), begun, self.clock.now());
        Ok(set)
    }
}
