//! Redirects a browser to the provider.

use super::{
    LoginBrowser, Redirect, SignIn,
    attempt::{self, Attempt, AttemptParams, Binding, MAX_CARRIED_LEN},
    provider_choice,
    purpose::Purpose,
    return_to::ReturnTo,
    silent_history,
};
use crate::{
    oidc::{AuthorizationOptions, ProviderError},
    secret::Secret,
};

impl SignIn {
    /// Redirects a browser to the provider, to return to `return_to` after the login.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`], [`ProviderError::Misconfigured`], and where the request is pushed:
    /// [`ProviderError::TooManyLogins`] and those of the call.
    pub async fn begin(
        &self,
        at: LoginBrowser<'_>,
        return_to: &ReturnTo,
        purpose: Purpose<'_>,
    ) -> Result<Redirect, ProviderError> {
        if let Some(login_site) = self.parts.login_site_of(at.site) {
            return Ok(self.ask_for_hand_over(at, login_site, return_to, purpose, &self.own_name()).await);
        }
        let _permit = match self.provider.pushes_authorization_requests() {
            true => Some(self.exchanges.acquire(at.client).await.ok_or(ProviderError::TooManyLogins)?),
            false => None,
        };
        self.redirect_to_provider(at, return_to, purpose).await
    }

    /// Redirects a browser to the provider for a caller that holds a permit of [`SignIn::exchanges`] already, or needs none.
    pub(super) async fn redirect_to_provider(
        &self,
        at: LoginBrowser<'_>,
        return_to: &ReturnTo,
        purpose: Purpose<'_>,
    ) -> Result<Redirect, ProviderError> {
        let LoginBrowser { site, headers, .. } = at;
        if let Some(login_site) = self.parts.login_site_of(site) {
            return Ok(self.ask_for_hand_over(at, login_site, return_to, purpose, &self.own_name()).await);
        }
        let id_token = self.id_token_for(purpose).await;
        let options = match purpose {
            Purpose::Login | Purpose::LoginOnTheWay | Purpose::LoginOnceMore | Purpose::Interaction => {
                AuthorizationOptions::default()
            }
            Purpose::LoginOf(hint) => AuthorizationOptions { login_hint: Some(hint), ..AuthorizationOptions::default() },
            Purpose::AnotherAccount => {
                AuthorizationOptions { prompt: Some(self.provider.account_selection_prompt()), ..AuthorizationOptions::default() }
            }
            Purpose::Silent(grant) => AuthorizationOptions {
                prompt: self.provider.supports_prompt_none().then_some("none"),
                login_hint: Some(grant.identity.display()),
                id_token_hint: id_token.as_ref(),
            },
            Purpose::Consent(identity) => AuthorizationOptions {
                prompt: Some("consent"),
                login_hint: Some(identity.display()),
                ..AuthorizationOptions::default()
            },
        };
        let rounds = self.parts.rounds_of(purpose, headers);
        let (now, is_second) = (self.parts.clock.now(), matches!(purpose, Purpose::LoginOnceMore));
        let (name, binding) = Binding::of_or_new(&self.parts.cookies, headers);
        let mut attempt = Attempt::new(
            &binding,
            AttemptParams {
                at: now,
                mode: purpose.mode(),
                rounds,
                is_of_chosen_account: purpose.is_of_chosen_account(),
                is_second,
            },
        );
        if return_to.path().len() <= MAX_CARRIED_LEN || !self.parts.store_return_to(&attempt, return_to).await {
            attempt.carry(&return_to.if_no_longer_than(MAX_CARRIED_LEN));
        }
        attempt.remember_site(self.redirect_uris.remembered(site));
        attempt.remember_provider(self.provider.name());
        attempt.remember_client(self.provider.registration(), &self.redirect_uris.of(site));
        attempt.remember_form(matches!(purpose, Purpose::Silent(_)) && !self.provider.supports_prompt_none());
        let is_chosen = purpose.is_by_hand() && provider_choice::is_of_own_page(headers);
        attempt.remember_choice(is_chosen && self.parts.providers.only().is_none());
        let state = attempt.seal(&self.parts.keys).unwrap_or_default();
        let proof = attempt.proof(&state, &binding);
        let url = self.provider.authorization_url(&self.redirect_uris.of(site), &proof, options).await?;
        let mut cookies: Vec<_> = self.parts.cookies.set(&name, binding.value(), attempt::LIFE).into_iter().collect();
        if let Purpose::Silent(_) = purpose {
            let sent = silent_history::sent(self.provider.issuer(), now);
            cookies.extend(self.parts.cookies.set(self.parts.cookies.silent_login(), &sent, silent_history::COOKIE_MAX_AGE));
        }
        Ok(Redirect { location: url.into(), cookies })
    }

    /// Returns the `id_token_hint` of silent re-authentication. Only an ID token of this provider for this client, whose signing
    /// key the provider still publishes; the hint is optional.
    async fn id_token_for(&self, purpose: Purpose<'_>) -> Option<Secret> {
        let Purpose::Silent(grant) = purpose else { return None };
        if !self.provider.has_given(grant) || !self.provider.supports_prompt_none() {
            return None;
        }
        let token = self.parts.store.id_token(grant.id).await.ok().flatten()?;
        self.provider.may_have_key_of(&token).then_some(token)
    }
}
