//! One login, whose response is checked as that of every login.

use url::Url;

use super::{
    browser::{Browser, Errand},
    examiner::{Doctor, reason},
};
use crate::{
    oidc::{AuthorizationOptions, CallbackProof, VerifiedLogin},
    secret::{Secret, random_text},
    sign_in::{AuthorizationResponse, CallbackError},
};

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginFailure {
    /// The browser could not be asked: there is no use in going on.
    #[error(transparent)]
    Browser(#[from] std::io::Error),
    /// The provider, or its response, is at fault.
    #[error("{0}")]
    Provider(String),
}

impl Doctor {
    /// The URL that starts a login, and what its response is checked against.
    async fn begin(&self, prompt: Option<&'static str>) -> Result<(Url, CallbackProof), LoginFailure> {
        let proof = CallbackProof {
            state: Secret::new(random_text::<32>()),
            nonce: Secret::new(random_text::<32>()),
            verifier: Secret::new(random_text::<32>()),
        };
        let options = AuthorizationOptions { prompt, ..AuthorizationOptions::default() };
        let url = self.provider.authorization_url(&self.redirect_uri, &proof, options).await;
        url.map(|url| (url, proof)).map_err(|error| LoginFailure::Provider(reason(&error)))
    }

    /// Has the browser log in.
    pub(super) async fn log_in(
        &self,
        browser: &mut impl Browser,
        errand: Errand,
        prompt: Option<&'static str>,
    ) -> Result<VerifiedLogin, LoginFailure> {
        let (url, proof) = self.begin(prompt).await?;
        let query = browser.visit(errand, &url).await?;
        self.redeem(&query, &proof).await.map_err(|error| LoginFailure::Provider(reason(&error)))
    }

    /// Checks the response and exchanges its code.
    async fn redeem(&self, query: &str, proof: &CallbackProof) -> Result<VerifiedLogin, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        if response.state != proof.state.expose() {
            return Err(CallbackError::UnknownAttempt("the state is not that of this login"));
        }
        let is_bare_error = response.error.is_some() && response.issuer.is_none();
        if !is_bare_error && !self.provider.is_response_issuer(response.issuer.as_deref()).await? {
            return Err(CallbackError::Issuer);
        }
        self.provider.exchange_code(response.code()?, &self.redirect_uri, proof).await.map_err(|failed| failed.error.into())
    }
}
