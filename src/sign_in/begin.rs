//! Sends a browser to the provider.

use http::HeaderMap;

use super::{
    LoginMode, Redirect, SignIn,
    attempt::{self, Attempt, Beginning, Binding, LONGEST_CARRIED},
    return_to::ReturnTo,
    silent_history,
};
use crate::{
    address::AccessUrl,
    grant::Grant,
    identity::Identity,
    oidc::{AuthorizationOptions, ProviderError},
    secret::Secret,
};

/// What a browser is sent to the provider for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To log in, with whatever the provider asks of its user.
    Login,
    /// The same, with the choice of another account than that of the provider's own session.
    AnotherAccount,
    /// The same, of a browser that was on its way to a page: nobody's click may have begun it.
    LoginOnTheWay,
    /// The same, after an attempt that came to nothing. None follows it by itself.
    LoginOnceMore,
    /// For a grant to follow this one, without a word to the user.
    Silent(&'a Grant),
    /// For the refresh token that this person's login did not bring.
    Consent(&'a Identity),
}

impl Purpose<'_> {
    /// As the attempt keeps it.
    fn mode(self) -> LoginMode {
        match self {
            Self::Login | Self::LoginOnTheWay | Self::LoginOnceMore | Self::AnotherAccount => LoginMode::Login,
            Self::Silent(_) => LoginMode::Silent,
            Self::Consent(_) => LoginMode::Consent,
        }
    }
}

impl SignIn {
    /// Sends a browser of `site` to the provider, and back to `return_to` after.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`], [`ProviderError::Misconfigured`].
    pub async fn begin(
        &self,
        site: &AccessUrl,
        return_to: &ReturnTo,
        headers: &HeaderMap,
        purpose: Purpose<'_>,
    ) -> Result<Redirect, ProviderError> {
        let id_token = self.id_token_for(purpose).await;
        let ask = match purpose {
            Purpose::Login | Purpose::LoginOnTheWay | Purpose::LoginOnceMore => AuthorizationOptions::default(),
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
        let rounds = match purpose {
            Purpose::LoginOnTheWay | Purpose::LoginOnceMore | Purpose::Silent(_) => self.rounds(headers).saturating_add(1),
            Purpose::Login | Purpose::AnotherAccount | Purpose::Consent(_) => 0,
        };
        let (now, is_second) = (self.clock.now(), matches!(purpose, Purpose::LoginOnceMore));
        let (name, binding) = Binding::of_or_new(&self.cookies, headers);
        let mut attempt = Attempt::new(&binding, Beginning { at: now, mode: purpose.mode(), rounds, is_second });
        if return_to.path().len() <= LONGEST_CARRIED || !self.store_return_to(&attempt, return_to).await {
            attempt.carry(&return_to.if_no_longer_than(LONGEST_CARRIED));
        }
        let state = attempt.seal(&self.keys).unwrap_or_default();
        let url = self.provider.authorization_url(&self.redirect_uri(site), &attempt.proof(&state, &binding), ask)?;
        let mut cookies: Vec<_> = self.cookies.set(&name, binding.value(), attempt::LIFE).into_iter().collect();
        if let Purpose::Silent(_) = purpose {
            let sent = silent_history::sent(self.provider.issuer(), now);
            cookies.extend(self.cookies.set(self.cookies.returning(), &sent, silent_history::REMEMBERED));
        }
        Ok(Redirect { location: url.into(), cookies })
    }

    /// The ID token that says to the provider whose silence is asked for. Only one of its own, for this client, whose key it
    /// still has; without one it is asked all the same.
    async fn id_token_for(&self, purpose: Purpose<'_>) -> Option<Secret> {
        let Purpose::Silent(grant) = purpose else { return None };
        let ours = grant.issuer == self.provider.issuer() && grant.client_id == self.provider.client_id();
        if !ours || !self.provider.supports_prompt_none() {
            return None;
        }
        let token = self.store.id_token(grant.id).await.ok().flatten()?;
        self.provider.may_have_key_of(&token).then_some(token)
    }
}
