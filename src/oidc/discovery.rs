//! Discovery (OIDC Discovery 1.0): the provider's metadata and keys, fetched in the background and again once an hour.

mod decisions;
mod metadata;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use openidconnect::IssuerUrl;

use super::{FetchError, Provider, ProviderError, SHORT_CALL_TIMEOUT, document::Document, http::MetadataDoubt};
use crate::{backoff::back_off, clock::Timestamp, telemetry::logs::causes};

use decisions::decisions;
pub(super) use metadata::{MetadataDocument, ProviderMetadata};

/// The shortest and the longest pause between attempts while discovery fails.
const DISCOVERY_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How often the metadata and the keys are read again: a key may have been withdrawn, and a moved page for logins answers nobody here.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);
/// The shortest time between two reads of metadata once they are known.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const READ_AGAIN: &str = "the provider's metadata and keys are read again";

impl Provider {
    /// Discovers the provider, retries while that fails, and reads the metadata again once an hour. Never returns.
    pub async fn run_discovery(&self) {
        let (mut failures, mut told) = (0_u32, Vec::new());
        loop {
            let discovered = self.discover_with_keys().await;
            self.asked.store(true, Ordering::Release);
            let Err(error) = discovered else {
                self.wait_for_next_discovery(&mut told).await;
                failures = 0;
                continue;
            };
            let waiting = if !self.is_ready() {
                "provider discovery failed: sessions are served, logins and renewals wait"
            } else if self.keys.fetched().at.is_none() {
                "provider discovered without its keys: logins wait for them"
            } else {
                // Sessions and logins continue with what is known.
                tracing::warn!(
                    oidc.issuer = self.issuer(), error = %error, "provider metadata or keys could not be read again"
                );
                tokio::time::sleep(MIN_REFRESH_INTERVAL).await;
                continue;
            };
            failures = failures.saturating_add(1);
            let wait = back_off(failures, DISCOVERY_RETRY.0, DISCOVERY_RETRY.1);
            tracing::warn!(oidc.issuer = self.issuer(), error = %error, retry.seconds = wait.as_secs_f64(), "{waiting}");
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes that what the provider does no longer agrees with its metadata: they are read again, but not more than once a minute.
    pub fn doubt_metadata(&self) {
        self.http.doubt_metadata(MetadataDoubt::Disagreement);
    }

    /// Waits until the metadata are due to be read again: after an hour, or once they are doubted and a minute old. The reasons that are
    /// `told` to administrators are not told again before an hour has passed without a doubt: what stays wrong is doubted each minute.
    async fn wait_for_next_discovery(&self, told: &mut Vec<MetadataDoubt>) {
        let doubted = async {
            let doubt = self.http.metadata_doubted().await;
            // A doubt within the minute waits for its end, by this machine's clock.
            while let Some(rest) = self.current_pause().await {
                let _another_doubt = tokio::time::timeout(rest, self.http.metadata_doubted()).await;
            }
            doubt
        };
        tokio::select! {
            () = tokio::time::sleep(REFRESH_INTERVAL) => told.clear(),
            doubt = doubted => {
                if told.contains(&doubt) {
                    tracing::debug!(oidc.issuer = self.issuer(), reason = doubt.reason(), "{READ_AGAIN}");
                } else {
                    tracing::info!(oidc.issuer = self.issuer(), reason = doubt.reason(), "{READ_AGAIN}");
                    told.push(doubt);
                }
            }
        }
    }

    /// How long it is until the metadata may be read again. The lock is released before the answer is used: whoever reads them needs it.
    async fn current_pause(&self) -> Option<Duration> {
        let read_at = *self.metadata_read_at.lock().await;
        self.reading_pause(read_at)
    }

    /// How long it is until metadata may be read again that were last asked for then.
    fn reading_pause(&self, read_at: Option<Timestamp>) -> Option<Duration> {
        let (read_at, now) = (read_at?, self.clock.now());
        now.is_within(MIN_REFRESH_INTERVAL, read_at).then(|| MIN_REFRESH_INTERVAL.saturating_sub(now.since(read_at)))
    }

    /// Metadata that were read after those that were `seen`, by another task or else now. `None`: they were read a moment ago, and are
    /// read again later, or they cannot be read.
    pub(super) async fn newer_metadata(&self, seen: &Arc<ProviderMetadata>) -> Option<Arc<ProviderMetadata>> {
        let mut read_at = self.metadata_read_at.lock().await;
        let known = self.metadata().ok()?;
        if !Arc::ptr_eq(&known, seen) {
            return Some(known);
        }
        if self.reading_pause(*read_at).is_some() {
            self.doubt_metadata();
            return None;
        }
        *read_at = Some(self.clock.now());
        let read = self.read_metadata().await;
        *read_at = Some(self.clock.now());
        if let Err(error) = read {
            tracing::warn!(oidc.issuer = self.issuer(), error = %error, "provider metadata could not be read again");
            return None;
        }
        self.metadata().ok()
    }

    /// Discovers the provider and fetches its keys. After [`ProviderError::Keys`] only the keys are missing, which are fetched
    /// when a token needs them.
    async fn discover_with_keys(&self) -> Result<(), ProviderError> {
        self.discover().await?;
        self.fetch_keys(&*self.metadata()?).await.map(|_keys| ())
    }

    /// Reads the metadata now. The keys are fetched when they are needed.
    ///
    /// # Errors
    /// Why discovery failed.
    pub async fn discover(&self) -> Result<(), ProviderError> {
        let mut read_at = self.metadata_read_at.lock().await;
        let read = self.read_metadata().await;
        *read_at = Some(self.clock.now());
        read
    }

    async fn read_metadata(&self) -> Result<(), ProviderError> {
        let found = self.fetch_metadata().await.and_then(|document| ProviderMetadata::read(&self.settings, &document));
        let metadata = match found {
            Ok(metadata) => metadata,
            Err(error) => {
                self.misconfigured.store(error.is_configuration(), Ordering::Release);
                let mut mismatch = self.mismatching_issuer.write();
                *mismatch = if let ProviderError::IssuerMismatch { found, .. } = &error { Some(found.clone()) } else { None };
                return Err(error);
            }
        };
        let metadata = Arc::new(metadata);
        let before = self.metadata.write().replace(Arc::clone(&metadata));
        if let Some(before) = &before {
            self.log_endpoint_changes(before, &metadata);
        }
        if before.is_none_or(|before| {
            before.unsupported_requirements != metadata.unsupported_requirements
                || before.authorization_params != metadata.authorization_params
                || decisions(&self.settings, &before) != decisions(&self.settings, &metadata)
        }) {
            self.log_metadata(&metadata);
        }
        Ok(())
    }

    /// Logs which endpoints have moved to other addresses.
    fn log_endpoint_changes(&self, before: &ProviderMetadata, now: &ProviderMetadata) {
        let changed = now.endpoints().into_iter().zip(before.endpoints()).filter(|(now, before)| now != before);
        for ((endpoint, now), (_, before)) in changed {
            self.http.endpoints_changed();
            tracing::warn!(oidc.issuer = self.issuer(), endpoint, before, now, "a provider endpoint has moved");
        }
    }

    /// Logs what an administrator should know about the metadata.
    fn log_metadata(&self, metadata: &ProviderMetadata) {
        let scopes = metadata.authorization_params.scopes.join(" ");
        let parameters = metadata.authorization_params.extra.keys().cloned().collect::<Vec<_>>().join(" ");
        tracing::info!(
            oidc.issuer = self.issuer(),
            oidc.scopes = scopes,
            oidc.parameters = parameters,
            oidc.preset = metadata.preset.name,
            "provider discovered; {}",
            metadata.authorization_params.note
        );
        if let Some((address, true)) = self.proxy() {
            tracing::info!(
                oidc.issuer = self.issuer(),
                proxy.address = address,
                "calls to the provider go through a proxy (HTTPS_PROXY)"
            );
        }
        if let Some(lifetime) = metadata.preset.login_lifetime {
            tracing::info!(
                oidc.issuer = self.issuer(),
                login.lifetime.seconds = lifetime.as_secs(),
                "a login at this provider brings one refresh token, which is never replaced: when it ends, after {} hours by default, \
                 users go through the provider again, which asks those for a login that it does not know any more",
                lifetime.as_secs() / 3600
            );
        }
        for decision in decisions(&self.settings, metadata) {
            tracing::info!(
                oidc.issuer = self.issuer(),
                oidc.setting = decision.setting,
                oidc.value = decision.value,
                "provider setting chosen: {}",
                decision.reason
            );
        }
        for requirement in &metadata.unsupported_requirements {
            tracing::error!(oidc.issuer = self.issuer(), "logins will fail because of what the provider requires: {requirement}");
        }
    }

    /// Whether the provider serves its metadata. Nothing is presented to it.
    pub async fn is_reachable(&self) -> bool {
        let Ok(request) = Request::get(self.metadata_address()).body(Full::default()) else { return false };
        self.http.send(request, SHORT_CALL_TIMEOUT).await.is_ok_and(|response| response.status.is_success())
    }

    /// Where the metadata are (OpenID Connect Discovery 1.0 section 4).
    pub(super) fn metadata_address(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer().trim_end_matches('/'))
    }

    async fn fetch_metadata(&self) -> Result<MetadataDocument, ProviderError> {
        let url = IssuerUrl::new(self.settings.issuer.clone())
            .and_then(|issuer| issuer.join(".well-known/openid-configuration"))
            .map_err(|_| ProviderError::Issuer)?;
        let body = self.fetch_document(url.as_str(), Document::Metadata).await.map_err(|error| match error {
            // A server is there and has no such document; waiting does not change that.
            DocumentError::Refused(status) if matches!(status.as_u16(), 400..=404 | 410) => {
                ProviderError::NoMetadata(error.to_string())
            }
            DocumentError::Redirected(_) => ProviderError::NoMetadata(error.to_string()),
            DocumentError::Fetch(FetchError::Untrusted(_)) => ProviderError::Untrusted(causes(&error)),
            error @ (DocumentError::Address | DocumentError::Fetch(_) | DocumentError::Refused(_)) => {
                ProviderError::Discovery(causes(&error))
            }
        })?;
        MetadataDocument::parse(&body).ok_or_else(|| ProviderError::NoMetadata("its answer is not a JSON object".to_owned()))
    }

    /// Fetches a public document of the provider's.
    pub(super) async fn fetch_document(&self, url: &str, document: Document) -> Result<Bytes, DocumentError> {
        let request = Request::get(url)
            .header(header::ACCEPT, document.media_types())
            .body(Full::<Bytes>::default())
            .map_err(|_| DocumentError::Address)?;
        let response = match document {
            Document::Metadata => self.http.send(request, SHORT_CALL_TIMEOUT).await?,
            Document::Keys => self.http.call_endpoint(request, SHORT_CALL_TIMEOUT).await?,
        };
        match response.status {
            StatusCode::OK => Ok(response.body),
            status if status.is_redirection() => Err(DocumentError::Redirected(status)),
            status => Err(DocumentError::Refused(status)),
        }
    }
}

/// Why a public document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("its address is malformed")]
    Address,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it answered status {0}, and redirects are not followed")]
    Redirected(StatusCode),
    #[error("it answered status {0}")]
    Refused(StatusCode),
}
