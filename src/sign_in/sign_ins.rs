//! The logins at all providers.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use url::form_urlencoded::Serializer;

use super::{
    LoginBrowser, LoginParts, Redirect, SignIn,
    attempt::Attempt,
    authorization_response::AuthorizationResponse,
    provider_choice::{self, LastChoice},
    purpose::Purpose,
    return_to::ReturnTo,
};
use crate::{grant::Grant, policy::ascii_domain};

/// The login workflow of each provider, of which there is one at least.
#[derive(Clone, Debug)]
pub struct SignIns {
    first: Arc<SignIn>,
    further: Arc<[Arc<SignIn>]>,
}

impl SignIns {
    /// The workflows in the order of the settings.
    pub fn new(first: SignIn, further: Vec<SignIn>) -> Self {
        Self { first: Arc::new(first), further: further.into_iter().map(Arc::new).collect() }
    }

    /// The workflows with each changed in the same way.
    #[must_use]
    pub fn map(&self, change: impl Fn(&SignIn) -> SignIn) -> Self {
        Self::new(change(&self.first), self.further.iter().map(|sign_in| change(sign_in)).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SignIn>> {
        std::iter::once(&self.first).chain(self.further.iter())
    }

    /// What they share.
    pub fn parts(&self) -> &LoginParts {
        &self.first.parts
    }

    /// The first, where any will do.
    pub fn first(&self) -> &Arc<SignIn> {
        &self.first
    }

    /// The only one, if there is one.
    pub fn only(&self) -> Option<&Arc<SignIn>> {
        self.further.is_empty().then_some(&self.first)
    }

    /// The logins at the providers with these names; all, if there are none.
    pub fn among(&self, names: &[String]) -> Vec<&Arc<SignIn>> {
        let is_meant = |sign_in: &&Arc<SignIn>| names.is_empty() || names.iter().any(|name| name == sign_in.provider.name());
        self.iter().filter(is_meant).collect()
    }

    /// The login at the provider whose users have addresses like this one.
    pub fn of_address(&self, address: &str) -> Option<&Arc<SignIn>> {
        let domain = ascii_domain(address.rsplit_once('@')?.1)?;
        self.iter().find(|sign_in| sign_in.email_domains.contains(&domain))
    }

    /// Whether addresses lead to providers.
    pub fn knows_addresses(&self) -> bool {
        self.iter().any(|sign_in| !sign_in.email_domains.is_empty())
    }

    /// The login at the provider of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<SignIn>> {
        self.iter().find(|sign_in| sign_in.provider.name() == name)
    }

    /// The login at the provider that a grant is of.
    pub fn of(&self, grant: &Grant) -> Option<&Arc<SignIn>> {
        match self.only() {
            Some(only) => Some(only),
            None => self.iter().find(|sign_in| sign_in.provider.has_given(grant)),
        }
    }

    /// Where a browser at `at` is sent that may log in at several providers, with these names or at all: to the login site, where it may have
    /// a session, or to the page where its user chooses.
    pub async fn let_choose(
        &self,
        at: LoginBrowser<'_>,
        return_to: &ReturnTo,
        purpose: Purpose<'_>,
        names: &[String],
    ) -> Redirect {
        if let Some(redirect) = self.hand_over_of_any(at, return_to, purpose, names).await {
            return redirect;
        }
        let query = Serializer::new(String::new()).append_pair("rd", return_to.path()).finish();
        Redirect::to(at.site.at(&format!("{}/start?{query}", self.parts().prefix)))
    }

    /// The provider that this browser's user chose last, if it is still one of `candidates`.
    pub fn last_choice<'a>(&self, headers: &'a HeaderMap, candidates: &[&Arc<SignIn>]) -> Option<LastChoice<'a>> {
        let LoginParts { cookies, clock, .. } = self.parts();
        let last = provider_choice::read(cookies.only_value(headers, cookies.provider())?, clock.now());
        candidates.iter().any(|candidate| candidate.provider.name() == last.provider).then_some(last)
    }

    /// The cookie that records that a browser is sent straight to the provider that its user chose last.
    pub fn sent_straight(&self, provider: &str) -> Option<HeaderValue> {
        self.remember(&provider_choice::sent(provider, self.parts().clock.now()))
    }

    /// The cookie after a sign-out of this browser: its user is asked where they log in, if they have ever been.
    pub fn ask_next_time(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let last = self.last_choice(headers, &self.iter().collect::<Vec<_>>())?;
        self.remember(&provider_choice::asked(last.provider))
    }

    fn remember(&self, value: &str) -> Option<HeaderValue> {
        self.parts().cookies.set(self.parts().cookies.provider(), value, provider_choice::COOKIE_MAX_AGE)
    }

    /// Sends a browser to the login site, if that is another one, for a session of any of these providers.
    pub async fn hand_over_of_any(
        &self,
        at: LoginBrowser<'_>,
        return_to: &ReturnTo,
        purpose: Purpose<'_>,
        names: &[String],
    ) -> Option<Redirect> {
        let login_site = self.parts().login_site_of(at.site)?;
        Some(self.first.ask_for_hand_over(at, login_site, return_to, purpose, names).await)
    }

    /// Begins a login again whose browser comes back with `query` to the redirect URI of a provider that the settings have under that name no
    /// more. `None`: it went to no such provider, or has begun again before. Its code is shown to nobody.
    pub async fn begin_after_rename(&self, at: LoginBrowser<'_>, query: &str) -> Option<Redirect> {
        let response = AuthorizationResponse::parse(query).ok()?;
        let attempt = Attempt::open(&self.parts().keys, &response.state)?;
        if attempt.is_second() || self.named(attempt.provider()).is_some() {
            return None;
        }
        let return_to = self.parts().destination(&attempt, at.site).await;
        match self.only() {
            Some(only) => only.begin(at, &return_to, Purpose::LoginOnceMore).await.ok(),
            None => Some(self.let_choose(at, &return_to, Purpose::LoginOnceMore, &[]).await),
        }
    }

    /// The login that `query`, which a provider has sent a browser back with, is the response to. The sealed `state` alone says which
    /// provider that is (RFC 9700 section 4.4). Without one of ours it is the first, which says what is wrong.
    pub fn of_response(&self, query: &str) -> &Arc<SignIn> {
        let attempt =
            AuthorizationResponse::parse(query).ok().and_then(|response| Attempt::open(&self.parts().keys, &response.state));
        let named = attempt.and_then(|attempt| self.named(attempt.provider()));
        named.unwrap_or(&self.first)
    }
}
