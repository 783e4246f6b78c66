//! One login attempt. The provider carries it there and back in `state`, sealed, so that it can neither be read nor made; and it
//! is worth something in the browser alone that began it, by a cookie that all of its attempts can share. However many begin at
//! once, none costs the server anything until it returns, and the cookies stay small.

use std::time::Duration;

use base64::prelude::*;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::return_to::ReturnTo;
use crate::{
    clock::Timestamp,
    oidc::CallbackProof,
    seal::KeyRing,
    secret::{Secret, random, random_text, sha256},
    session::cookie::Cookies,
    store::LOGOUT_RETENTION,
};

/// An attempt that has not returned by then begins again: what the provider said of its user meanwhile is remembered for as long.
pub(super) const LIFE: Duration = LOGOUT_RETENTION;
const PLACE: &str = "login attempt";

/// A page's address up to this length travels with the attempt: providers are known to take a `state` of a kilobyte.
pub(super) const LONGEST_CARRIED: usize = 512;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Chance, which its nonce and verifier are made of.
    #[serde(rename = "s")]
    seed: String,
    /// Which browser may return with it.
    #[serde(rename = "b")]
    bound: String,
    /// Where it leads; nothing if that is parked in the store.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    return_to: Option<String>,
    #[serde(rename = "t")]
    at: i64,
    #[serde(rename = "p", default)]
    mode: LoginMode,
    /// How many rounds through the provider this one makes in a row that nobody's click began.
    #[serde(rename = "n", default)]
    rounds: u32,
    /// It follows one that came to nothing, and none follows it by itself.
    #[serde(rename = "a", default)]
    is_second: bool,
}

/// Why a browser is sent to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LoginMode {
    /// To log in, with whatever the provider asks of its user.
    #[default]
    Login,
    /// For a new grant, without a word to the user: their session is to go on.
    Silent,
    /// For the refresh token that the login before did not bring, which this provider gives with its user's consent.
    Consent,
}

/// How an attempt begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) at: Timestamp,
    pub(super) mode: LoginMode,
    pub(super) rounds: u32,
    pub(super) is_second: bool,
}

impl Attempt {
    /// One for the browser that has `binding`.
    pub(super) fn new(binding: &Binding, beginning: Beginning) -> Self {
        let Beginning { at, mode, rounds, is_second } = beginning;
        let (seed, bound) = (random_text::<32>(), binding.mark());
        Self { seed, bound, return_to: None, at: at.0, mode, rounds, is_second }
    }

    /// Takes the address along to which it leads.
    pub(super) fn carry(&mut self, return_to: &ReturnTo) {
        self.return_to = Some(return_to.path().to_owned());
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.at)
    }

    pub(super) fn mode(&self) -> LoginMode {
        self.mode
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(super) fn is_second(&self) -> bool {
        self.is_second
    }

    pub(super) fn return_to(&self) -> Option<&str> {
        self.return_to.as_deref()
    }

    /// What the provider's answer is held against, in this browser.
    pub(super) fn proof(&self, state: &str, binding: &Binding) -> CallbackProof {
        let derive = |what: &str| {
            let text = format!("{what} {} {}", self.seed, binding.0.expose());
            Secret::new(BASE64_URL_SAFE_NO_PAD.encode(sha256(text.as_bytes())))
        };
        CallbackProof { state: Secret::new(state), nonce: derive("nonce"), verifier: derive("verifier") }
    }

    /// Which of this browser's bindings it is bound to, if to any.
    pub(super) fn binding_in(&self, cookies: &Cookies, headers: &HeaderMap) -> Option<Binding> {
        cookies.bindings(headers).map(|(_, value)| Binding(Secret::new(value))).find(|binding| binding.mark() == self.bound)
    }

    /// Under which its return is recorded, and its address parked.
    pub(super) fn name(&self, what: &str) -> [u8; 32] {
        sha256(format!("{what} {}", self.seed).as_bytes())
    }

    /// The `state` that carries it.
    pub(super) fn seal(&self, keys: &KeyRing) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(PLACE, &plain).ok()?))
    }

    /// The attempt that a `state` carries; `None` for one that is not ours.
    pub(super) fn open(keys: &KeyRing, state: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(state).ok()?;
        serde_json::from_slice(&keys.open(PLACE, &sealed).ok()?).ok()
    }
}

/// What makes an attempt one browser's: the value of a cookie that nobody else has.
#[derive(Clone, Debug)]
pub(super) struct Binding(Secret);

impl Binding {
    /// The name and the value of this browser's, or of a new one. Logins that begin at once in a browser that has none take
    /// different names by chance, so that most of them can return.
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

    fn mark(&self) -> String {
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

    const BEGINNING: Beginning = Beginning { at: Timestamp(5), mode: LoginMode::Login, rounds: 0, is_second: false };

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn an_attempt_is_worth_something_in_its_own_browser_alone() {
        let (keys, cookies) = (KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap(), Cookies::new(true, "evergate"));
        let (name, binding) = Binding::of_or_new(&cookies, &HeaderMap::new());
        let own = with(&format!("__Host-evergate_login_other=x; __Host-evergate_login_=x; {name}={}", binding.value()));
        assert_eq!(Binding::of_or_new(&cookies, &own).0, name, "the next login shares it");
        let mut attempt = Attempt::new(&binding, BEGINNING);
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
        let mut attempt = Attempt::new(&binding, BEGINNING);
        attempt.carry(&ReturnTo::front_page());
        assert!(attempt.seal(&keys).unwrap().len() <= 256, "as most are");
        attempt.return_to = Some("/".repeat(LONGEST_CARRIED));
        assert!(attempt.seal(&keys).unwrap().len() <= 1024);
    }
}
