//! A login attempt. It is carried through the provider in `state`, encrypted, so that it can be neither read nor forged, and it
//! is bound to its browser by a cookie that all attempts of the browser share. However many attempts begin concurrently, the
//! server stores nothing for them, and the cookies stay small.

use std::time::Duration;

use base64::prelude::*;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::return_to::ReturnTo;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    oidc::{CallbackProof, DEFAULT_NAME},
    seal::KeyRing,
    secret::{Secret, random, random_text, sha256},
    session::cookie::Cookies,
    store::LOGOUT_RETENTION,
};

/// The lifetime of an attempt. Back-channel logouts are remembered for as long, so that they also end a login under way.
pub(super) const LIFE: Duration = LOGOUT_RETENTION;
const CONTEXT: &str = "login attempt";

/// The longest return address that `state` carries: providers are known to accept a `state` of a kilobyte.
pub(super) const MAX_CARRIED_LEN: usize = 512;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Random text from which the nonce and the PKCE verifier are derived.
    #[serde(rename = "s")]
    seed: String,
    /// A digest of the binding of the browser that began it.
    #[serde(rename = "b")]
    bound: String,
    /// The return address; `None` if it is in the store.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    return_to: Option<String>,
    /// Host and port of the site where it began; `None` if its browser comes back there.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    #[serde(rename = "t")]
    at: i64,
    #[serde(rename = "p", default)]
    mode: LoginMode,
    /// The number of consecutive redirects to the provider without a click, this one included.
    #[serde(rename = "n", default)]
    rounds: u32,
    /// The name of the provider; `None` for [`DEFAULT_NAME`], which older releases know alone.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// A digest of the issuer, the client and the redirect URI that it went to the provider with; `None` if an older release began it.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// Of a hand-over: the names of the providers of which the session may be; an empty list is for all.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    providers: Vec<String>,
    /// Whether its user chose the provider, of several, on a page of ours.
    #[serde(rename = "c", default, skip_serializing_if = "is_not")]
    is_chosen: bool,
    /// Whether its user was to choose an account at the provider, or another party named one.
    #[serde(rename = "u", default, skip_serializing_if = "is_not")]
    is_of_chosen_account: bool,
    /// Whether it is the automatic retry of a failed attempt. There is no further one.
    #[serde(rename = "a", default)]
    is_second: bool,
    /// Of silent re-authentication: whether the provider takes no `prompt=none`, and may have shown its login form.
    #[serde(rename = "f", default, skip_serializing_if = "is_not")]
    may_have_shown_form: bool,
}

/// Tells clients apart, of which one has followed the other, and providers that have the same name one after the other. Nobody can choose
/// what it is made of, so that it may be short.
fn client_digest(client: ClientRegistration<'_>, redirect_uri: &str) -> String {
    let hash = sha256(format!("{:?}", ("client", client.issuer, client.client_id, redirect_uri)).as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hash.first_chunk::<3>().unwrap_or(&[0; 3]))
}

/// For serde, which passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// Why a browser is sent to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LoginMode {
    /// An interactive login.
    #[default]
    Login,
    /// Silent re-authentication (`prompt=none`), for a new grant of an existing session.
    Silent,
    /// An interactive login of a user whose session goes on, because silent re-authentication needs it. Releases that do not know it
    /// have the login begin again.
    Interaction,
    /// A login with `prompt=consent`, because the previous one brought no refresh token.
    Consent,
    /// None at the provider: the session of the login site is handed over.
    HandOver,
}

/// The parameters of a new attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptParams {
    pub(super) at: Timestamp,
    pub(super) mode: LoginMode,
    pub(super) rounds: u32,
    pub(super) is_of_chosen_account: bool,
    pub(super) is_second: bool,
}

impl Attempt {
    /// Creates an attempt of the browser that has `binding`.
    pub(super) fn new(binding: &Binding, params: AttemptParams) -> Self {
        let AttemptParams { at, mode, rounds, is_of_chosen_account, is_second } = params;
        let (seed, bound) = (random_text::<32>(), binding.digest());
        Self {
            seed,
            bound,
            return_to: None,
            site: None,
            at: at.0,
            mode,
            rounds,
            provider: None,
            client: None,
            providers: Vec::new(),
            is_chosen: false,
            is_of_chosen_account,
            is_second,
            may_have_shown_form: false,
        }
    }

    /// Puts the return address into the attempt.
    pub(super) fn carry(&mut self, return_to: &ReturnTo) {
        self.return_to = Some(return_to.path().to_owned());
    }

    /// Puts the site where it began into the attempt.
    pub(super) fn remember_site(&mut self, authority: Option<&str>) {
        self.site = authority.map(str::to_owned);
    }

    /// Says at which provider it is.
    pub(super) fn remember_provider(&mut self, name: &str) {
        self.provider = Some(name).filter(|name| *name != DEFAULT_NAME).map(str::to_owned);
    }

    /// Says with which client and redirect URI it goes to the provider.
    pub(super) fn remember_client(&mut self, client: ClientRegistration<'_>, redirect_uri: &str) {
        self.client = Some(client_digest(client, redirect_uri));
    }

    /// Whether it went to this provider with these, without which its code cannot be redeemed. No other provider is shown the code.
    pub(super) fn is_of_client(&self, client: ClientRegistration<'_>, redirect_uri: &str) -> bool {
        self.client.as_ref().is_none_or(|own| *own == client_digest(client, redirect_uri))
    }

    /// Says that its user chose the provider.
    pub(super) fn remember_choice(&mut self, is_chosen: bool) {
        self.is_chosen = is_chosen;
    }

    /// Whether its user chose the provider.
    pub(super) fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// Says whether the provider may show its login form, though the attempt is silent.
    pub(super) fn remember_form(&mut self, may_be_shown: bool) {
        self.may_have_shown_form = may_be_shown;
    }

    /// Whether the provider may have shown its login form, though the attempt is silent.
    pub(super) fn may_have_shown_form(&self) -> bool {
        self.may_have_shown_form
    }

    /// Limits a hand-over to sessions of these providers.
    pub(super) fn limit_to(&mut self, providers: &[String]) {
        self.providers = providers.to_vec();
    }

    /// The providers that a hand-over is limited to.
    pub(super) fn providers(&self) -> &[String] {
        &self.providers
    }

    /// The name of the provider that it is at.
    pub(super) fn provider(&self) -> &str {
        self.provider.as_deref().unwrap_or(DEFAULT_NAME)
    }

    pub(super) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.at)
    }

    pub(super) fn mode(&self) -> LoginMode {
        self.mode
    }

    /// Whether it is only for another grant of a session that its browser has.
    pub(super) fn is_for_a_session(&self) -> bool {
        match self.mode {
            LoginMode::Silent | LoginMode::Interaction => true,
            LoginMode::Login | LoginMode::Consent | LoginMode::HandOver => false,
        }
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(super) fn is_of_chosen_account(&self) -> bool {
        self.is_of_chosen_account
    }

    pub(super) fn is_second(&self) -> bool {
        self.is_second
    }

    pub(super) fn return_to(&self) -> Option<&str> {
        self.return_to.as_deref()
    }

    /// Derives what the provider's response is verified with, in this browser.
    pub(super) fn proof(&self, state: &str, binding: &Binding) -> CallbackProof {
        let derive = |what: &str| {
            let text = format!("{what} {} {}", self.seed, binding.0.expose());
            Secret::new(BASE64_URL_SAFE_NO_PAD.encode(sha256(text.as_bytes())))
        };
        CallbackProof { state: Secret::new(state), nonce: derive("nonce"), verifier: derive("verifier") }
    }

    /// Returns the binding among this browser's that the attempt is bound to, if any.
    pub(super) fn binding_in(&self, cookies: &Cookies, headers: &HeaderMap) -> Option<Binding> {
        cookies.accepted_bindings(headers).map(|value| Binding(Secret::new(value))).find(|binding| binding.digest() == self.bound)
    }

    /// Derives a name for this attempt's record `what` in the store.
    pub(super) fn name(&self, what: &str) -> [u8; 32] {
        sha256(format!("{what} {}", self.seed).as_bytes())
    }

    /// Encrypts the attempt as `state`.
    pub(super) fn seal(&self, keys: &KeyRing) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(CONTEXT, &plain).ok()?))
    }

    /// Decrypts the attempt in a `state`; `None` if it is not ours.
    pub(super) fn open(keys: &KeyRing, state: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(state).ok()?;
        serde_json::from_slice(&keys.open(CONTEXT, &sealed).ok()?).ok()
    }
}

/// Binds attempts to one browser: the random value of a cookie.
#[derive(Clone, Debug)]
pub(super) struct Binding(Secret);

impl Binding {
    /// Returns the name and value of this browser's binding cookie, or of a new one. Logins that begin concurrently in a browser
    /// without one take random names, so that most of them can complete.
    pub(super) fn of_or_new(cookies: &Cookies, headers: &HeaderMap) -> (String, Self) {
        let known = cookies.bindings(headers).find(|(_, value)| is_well_formed(value));
        match known {
            Some((name, value)) => (name.to_owned(), Self(Secret::new(value))),
            None => (cookies.binding(random::<1>()[0]), Self(Secret::new(random_text::<12>()))),
        }
    }

    pub(super) fn value(&self) -> &str {
        self.0.expose()
    }

    /// What a browser is called while it completes logins: the same for all of its tabs, whichever binding each attempt has.
    pub(super) fn browser(cookies: &Cookies, headers: &HeaderMap) -> String {
        let least = cookies.accepted_bindings(headers).min().unwrap_or_default();
        Self(Secret::new(least)).digest()
    }

    fn digest(&self) -> String {
        let hash = sha256(format!("login binding {}", self.0.expose()).as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(hash.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

fn is_well_formed(value: &str) -> bool {
    value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    const PARAMS: AttemptParams =
        AttemptParams { at: Timestamp(5), mode: LoginMode::Login, rounds: 0, is_of_chosen_account: false, is_second: false };

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn an_attempt_is_worth_something_in_its_own_browser_alone() {
        let (keys, cookies) = (KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap(), Cookies::new(true, "evergate"));
        let (name, binding) = Binding::of_or_new(&cookies, &HeaderMap::new());
        let own = with(&format!("__Host-evergate_login_other=x; __Host-evergate_login_=x; {name}={}", binding.value()));
        assert_eq!(Binding::of_or_new(&cookies, &own).0, name, "the next login shares it");
        let mut attempt = Attempt::new(&binding, PARAMS);
        attempt.carry(&ReturnTo::front_page());
        let state = attempt.seal(&keys).unwrap();
        let opened = Attempt::open(&keys, &state).unwrap();
        let back = opened.binding_in(&cookies, &own).unwrap();
        let (sent, returned) = (attempt.proof(&state, &binding), opened.proof(&state, &back));
        assert_eq!((sent.nonce.expose(), sent.verifier.expose()), (returned.nonce.expose(), returned.verifier.expose()));
        assert_ne!(sent.nonce, sent.verifier);
        assert!(opened.binding_in(&cookies, &with(&format!("{name}={}", "a".repeat(16)))).is_none());
        assert!(opened.binding_in(&cookies, &with(&format!("{}={}", name.replace("__Host-", ""), binding.value()))).is_none());
        for planted in ["", "x", &format!("{state}A"), state.get(1..).unwrap()] {
            assert!(Attempt::open(&keys, planted).is_none(), "{planted}");
        }
    }

    #[test]
    fn a_state_is_no_longer_than_providers_take() {
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
        let (_, binding) = Binding::of_or_new(&Cookies::new(true, "evergate"), &HeaderMap::new());
        let mut attempt = Attempt::new(&binding, PARAMS);
        attempt.carry(&ReturnTo::front_page());
        assert!(attempt.seal(&keys).unwrap().len() <= 256, "as most are");
        attempt.return_to = Some("/".repeat(MAX_CARRIED_LEN));
        assert!(attempt.seal(&keys).unwrap().len() <= 1024);
    }
}
