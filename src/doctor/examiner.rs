//! What an examination works with.

use std::{sync::Arc, time::Duration};

use url::Url;

use crate::{
    clock::Clock,
    oidc::{self, Provider},
    renewal,
};

/// What the examination works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider.
    pub oidc: oidc::Settings,
    /// What connections to it trust and present.
    pub tls: rustls::ClientConfig,
    /// Token refresh.
    pub renewal: renewal::Settings,
    /// `CODER_SESSION_DURATION`.
    pub session_idle: Duration,
    /// The redirect URI.
    pub redirect_uri: String,
    /// The post-logout redirect URI.
    pub signed_out_uri: String,
}

/// The examination of one provider.
#[derive(Debug)]
pub struct Doctor {
    pub(super) settings: Settings,
    pub(super) provider: Arc<Provider>,
    pub(super) redirect_uri: String,
    pub(super) signed_out_uri: String,
}

impl Doctor {
    /// An examination that has not begun.
    ///
    /// # Errors
    /// The client's private key cannot be read.
    pub fn new(settings: Settings) -> Result<Self, oidc::ClientKeyError> {
        let provider = Arc::new(Provider::new(settings.oidc.clone(), settings.tls.clone(), Clock::System)?);
        let (redirect_uri, signed_out_uri) = (settings.redirect_uri.clone(), settings.signed_out_uri.clone());
        Ok(Self { settings, provider, redirect_uri, signed_out_uri })
    }

    /// The redirect URI, if a listener on this machine can take the browser that comes back.
    pub fn loopback_redirect(&self) -> Option<Url> {
        Url::parse(&self.redirect_uri).ok().filter(|url| url.scheme() == "http" && oidc::is_loopback(url))
    }
}

/// Why something failed, with its causes, each told once.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}
