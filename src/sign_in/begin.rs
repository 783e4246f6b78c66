//! Sends a browser to the provider.

use http::HeaderMap;

use super::{
    Pass, Redirect, SignIn,
    attempt::{self, Attempt},
    return_to::ReturnTo,
    silence,
};
use crate::{
    address::AccessUrl,
    grant::Grant,
    identity::Identity,
    oidc::{Ask, ProviderError},
    secret::Secret,
};

/// What a browser is sent to the provider for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To log in, with whatever the provider asks of its user.
    Login,
    /// The same, with the choice of another account than that of the provider's own session.
    AnotherAccount,
    /// The same, because the grant of their session has come to its end: nobody's click may have begun it.
    LoginAgain,
    /// For a grant to follow this one, without a word to the user.
    Silent(&'a Grant),
    /// For the refresh token that this person's login did not bring.
    Consent(&'a Identity),
}

impl Purpose<'_> {
    /// As the attempt keeps it.
    fn pass(self) -> Pass {
        match self {
            Self::Login | Self::LoginAgain | Self::AnotherAccount => Pass::Login,
            Self::Silent(_) => Pass::Silent,
            Self::Consent(_) => Pass::Consent,
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
        let now = self.clock.now();
        let id = attempt::new_id(now);
        let id_token = self.id_token_for(purpose).await;
        let ask = match purpose {
            Purpose::Login | Purpose::LoginAgain => Ask::default(),
            Purpose::AnotherAccount => Ask { prompt: Some(self.provider.prompt_for_another_account()), ..Ask::default() },
            Purpose::Silent(grant) => Ask {
                prompt: self.provider.answers_silently().then_some("none"),
                login_hint: Some(grant.identity.display()),
                id_token_hint: id_token.as_ref(),
            },
            Purpose::Consent(identity) => Ask { prompt: Some("consent"), login_hint: Some(identity.display()), ..Ask::default() },
        };
        let request = self.provider.authorize(&self.redirect_uri(site), &id, ask)?;
        let rounds = match purpose {
            Purpose::LoginAgain | Purpose::Silent(_) => self.rounds(headers).saturating_add(1),
            Purpose::Login | Purpose::AnotherAccount | Purpose::Consent(_) => 0,
        };
        let attempt = Attempt::new(&request.proof, return_to, purpose.pass(), rounds, now);
        let value = attempt.seal(&self.keys, &id).unwrap_or_default();
        let mut cookies: Vec<_> = attempt::surplus(self.cookies.attempts(headers), value.len())
            .into_iter()
            .filter_map(|id| self.cookies.clear(&self.cookies.attempt(id)))
            .collect();
        cookies.extend(self.cookies.set(&self.cookies.attempt(&id), &value, attempt::LIFE));
        if let Purpose::Silent(_) = purpose {
            let sent = silence::sent(self.provider.issuer(), now);
            cookies.extend(self.cookies.set(self.cookies.returning(), &sent, silence::REMEMBERED));
        }
        Ok(Redirect { location: request.url.into(), cookies })
    }

    /// The ID token that says to the provider whose silence is asked for. Only one of its own, for this client, whose key it
    /// still has; without one it is asked all the same.
    async fn id_token_for(&self, purpose: Purpose<'_>) -> Option<Secret> {
        let Purpose::Silent(grant) = purpose else { return None };
        let ours = grant.issuer == self.provider.issuer() && grant.client_id == self.provider.client_id();
        if !ours || !self.provider.answers_silently() {
            return None;
        }
        let token = self.store.id_token(grant.id).await.ok().flatten()?;
        self.provider.has_key_of(&token).then_some(token)
    }
}
