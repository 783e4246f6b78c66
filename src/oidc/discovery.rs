//! Finding the provider: its metadata and its keys, fetched in the background and anew once a day.

mod metadata;

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use openidconnect::IssuerUrl;

use super::{FetchError, Provider, ProviderError, SHORT_CALL};
use crate::{backoff::back_off, telemetry::logs::causes};

pub use metadata::Demand;
pub(super) use metadata::{Known, Metadata};

/// While the provider cannot be found it is looked for after pauses that grow between these.
const DISCOVERY_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
const DISCOVERY_REFRESH: Duration = Duration::from_secs(86_400);
/// Metadata that are known already are read again no more often than this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Provider {
    /// Finds the provider, tries again while it is away, and looks anew once a day. Never ends.
    pub async fn keep_known(&self) {
        let mut failures = 0_u32;
        loop {
            match self.find_with_keys().await {
                Ok(()) => {
                    self.until_to_look_again().await;
                    failures = 0;
                }
                // Sessions and logins go on with what is known.
                Err(error) if self.is_ready() => {
                    tracing::warn!(oidc.issuer = self.issuer(), error = %error, "the provider's metadata cannot be read again");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let wait = back_off(failures, DISCOVERY_RETRY.0, DISCOVERY_RETRY.1);
                    let waiting = if matches!(error, ProviderError::Keys(_)) {
                        "found the provider, and not its keys: logins wait for them"
                    } else {
                        "cannot find the provider: sessions are served, logins and renewals wait"
                    };
                    tracing::warn!(
                        oidc.issuer = self.issuer(), error = %error, retry.seconds = wait.as_secs_f64(), "{waiting}"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Until the metadata are to be read again: once a day, and when an endpoint is not where they say, once a minute at most.
    async fn until_to_look_again(&self) {
        let looked_at = self.clock.now();
        let gone = async {
            loop {
                self.http.endpoint_is_gone().await;
                if self.clock.now() >= looked_at.plus(LOOK_AGAIN) {
                    break;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(DISCOVERY_REFRESH) => {}
            () = gone => tracing::warn!(
                oidc.issuer = self.issuer(),
                "an endpoint of the provider's is not where its metadata said; they are read again"
            ),
        }
    }

    /// After [`ProviderError::Keys`] all is known but the keys, which are fetched when a token needs them.
    async fn find_with_keys(&self) -> Result<(), ProviderError> {
        self.find().await?;
        self.fetch_keys(&*self.known()?).await.map(|_keys| ())
    }

    /// Finds the provider now; its keys are left for when they are needed.
    ///
    /// # Errors
    /// Why it cannot be found.
    pub async fn find(&self) -> Result<(), ProviderError> {
        let found = self.fetch_metadata().await.and_then(|metadata| Known::read(&self.settings, &metadata));
        let known = match found {
            Ok(known) => known,
            Err(error) => {
                self.misconfigured.store(error.is_configuration(), Ordering::Release);
                let mut mismatch = self.mismatch.write().unwrap_or_else(PoisonError::into_inner);
                *mismatch = if let ProviderError::IssuerMismatch { found, .. } = &error { Some(found.clone()) } else { None };
                return Err(error);
            }
        };
        let known = Arc::new(known);
        let before = self.known.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&known));
        if let Some(before) = &before {
            self.tell_changes(before, &known);
        }
        if before.is_none_or(|before| before.demands != known.demands || before.plan != known.plan) {
            self.tell(&known);
        }
        Ok(())
    }

    /// Which endpoints have other addresses now.
    fn tell_changes(&self, before: &Known, now: &Known) {
        let changed = now.endpoints().into_iter().zip(before.endpoints()).filter(|(now, before)| now != before);
        for ((endpoint, now), (_, before)) in changed {
            self.http.has_new_addresses();
            tracing::warn!(
                oidc.issuer = self.issuer(),
                endpoint,
                before,
                now,
                "an endpoint of the provider's has another address"
            );
        }
    }

    /// What an administrator should know of what was found.
    fn tell(&self, known: &Known) {
        let scopes = known.plan.scopes.join(" ");
        let parameters = known.plan.params.keys().cloned().collect::<Vec<_>>().join(" ");
        tracing::info!(
            oidc.issuer = self.issuer(),
            oidc.scopes = scopes,
            oidc.parameters = parameters,
            oidc.preset = known.preset.name,
            "found the provider; {}",
            known.plan.note
        );
        for demand in &known.demands {
            tracing::error!(oidc.issuer = self.issuer(), "logins will fail because of what the provider demands: {demand}");
        }
    }

    async fn fetch_metadata(&self) -> Result<Metadata, ProviderError> {
        let url = IssuerUrl::new(self.settings.issuer.clone())
            .and_then(|issuer| issuer.join(".well-known/openid-configuration"))
            .map_err(|_| ProviderError::Issuer)?;
        let body = self.fetch_document(url.as_str(), Document::Metadata).await.map_err(|error| match error {
            // Somebody is there who knows of no such thing, and will not by waiting.
            DocumentError::Refused(status) if matches!(status.as_u16(), 400..=404 | 410) => {
                ProviderError::NoMetadata(error.to_string())
            }
            DocumentError::Redirected(_) => ProviderError::NoMetadata(error.to_string()),
            DocumentError::Fetch(FetchError::Untrusted(_)) => ProviderError::Untrusted(causes(&error)),
            error @ (DocumentError::Address | DocumentError::Fetch(_) | DocumentError::Refused(_)) => {
                ProviderError::Discovery(causes(&error))
            }
        })?;
        Metadata::parse(&body).ok_or_else(|| ProviderError::NoMetadata("its answer is not a JSON object".to_owned()))
    }

    /// A public document of the provider's.
    pub(super) async fn fetch_document(&self, url: &str, whose: Document) -> Result<Bytes, DocumentError> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .body(Full::<Bytes>::default())
            .map_err(|_| DocumentError::Address)?;
        let answer = match whose {
            Document::Metadata => self.http.fetch(request, SHORT_CALL).await?,
            Document::Keys => self.http.ask(request, SHORT_CALL).await?,
        };
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status if status.is_redirection() => Err(DocumentError::Redirected(status)),
            status => Err(DocumentError::Refused(status)),
        }
    }
}

/// Which public document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Document {
    /// The metadata, whose address is the issuer's.
    Metadata,
    /// The keys, whose address the metadata name.
    Keys,
}

/// Why a public document of the provider's could not be had.
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
