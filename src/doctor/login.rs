//! One login, whose response is checked as that of every login.

use url::Url;

use super::{
    browser::{Browser, Errand},
    examiner::{Doctor, reason},
    renewals::HeldGrant,
};
use crate::{
    oidc::{AuthorizationOptions, CallbackProof, VerifiedLogin},
    secret::{Secret, random_text},
    sign_in::{AuthorizationResponse, CallbackError},
};

/// Why a login failed.
#[expect(clippy::large_enum_variant, reason = "one is made in a run")]
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginFailure {
    /// The browser could not be asked: there is no use in going on.
    #[error(transparent)]
    Browser(#[from] std::io::Error),
    /// The provider, or its response, is at fault.
    #[error("{why}")]
    Provider {
        /// Why.
        why: String,
        /// What it brought all the same, which is to be revoked.
        left_over: Option<HeldGrant>,
    },
}

impl LoginFailure {
    fn because(error: &dyn std::error::Error) -> Self {
        Self::Provider { why: reason(error), left_over: None }
    }
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
        url.map(|url| (url, proof)).map_err(|error| LoginFailure::because(&error))
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
        let code = self.code(&query, &proof).await.map_err(|error| LoginFailure::because(&error))?;
        let exchanged = self.provider.exchange_code(&code, &self.redirect_uri, &proof).await;
        exchanged.map_err(|failed| LoginFailure::Provider {
            why: reason(&CallbackError::from(failed.error)),
            left_over: failed.left_over.map(|left_over| HeldGrant::unverified(*left_over)),
        })
    }

    /// Checks the response, and reads its code.
    async fn code(&self, query: &str, proof: &CallbackProof) -> Result<String, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        if response.state != proof.state.expose() {
            return Err(CallbackError::UnknownAttempt("the state is not that of this login"));
        }
        let is_bare_error = response.error.is_some() && response.issuer.is_none();
        if !is_bare_error && !self.provider.is_response_issuer(response.issuer.as_deref()).await? {
            return Err(CallbackError::Issuer);
        }
        Ok(response.code()?.to_owned())
    }
}
