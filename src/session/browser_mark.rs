//! The mark of a browser: which one it is, and who was signed in there last. It outlives the session, so that what a browser sends
//! after its session has gone can be kept for the user who sent it, and for nobody else.
//!
//! The cookie is sealed for its site: nobody makes a mark of another browser or user, and who is named in it cannot be read.

use std::time::Duration;

use base64::prelude::*;
use http::{HeaderMap, HeaderValue};

use super::cookie::Cookies;
use crate::{
    client_registration::ClientRegistration,
    grant::Grant,
    seal::KeyRing,
    secret::{random, sha256},
};

/// Tells users apart without naming them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// The user of this subject at a provider.
    pub fn of(ClientRegistration { issuer, client_id }: ClientRegistration<'_>, subject: &str) -> Self {
        Self(sha256(format!("{:?}", ("user", issuer, client_id, subject)).as_bytes()))
    }

    /// The user of a grant.
    pub fn of_grant(grant: &Grant) -> Self {
        Self::of(grant.registration(), &grant.identity.subject)
    }
}

/// Which browser it is, and who was signed in there last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserMark {
    browser: [u8; 16],
    /// Who was signed in last.
    pub user: UserHash,
}

/// How long the cookie outlives the session: a page that stands open over the weekend still knows whose it is.
const LONGER_THAN_SESSION: Duration = Duration::from_secs(7 * 24 * 3600);

impl BrowserMark {
    /// The mark in a request to `site`, if it has one, and one alone, that we made for this site.
    pub fn of(keys: &KeyRing, cookies: &Cookies, headers: &HeaderMap, site: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookies.only_value(headers, cookies.browser())?).ok()?;
        let plain = keys.open(&context(site), &sealed).ok()?;
        let (browser, user) = plain.split_first_chunk()?;
        Some(Self { browser: *browser, user: UserHash(user.try_into().ok()?) })
    }

    /// The mark of the browser that had the mark `before`, if any, where this user is signed in now.
    pub fn with_user(before: Option<Self>, user: UserHash) -> Self {
        Self { browser: before.map_or_else(random, |before| before.browser), user }
    }

    /// The `Set-Cookie` value that keeps the mark for longer than a session that lives for `session`.
    pub fn cookie(&self, keys: &KeyRing, cookies: &Cookies, site: &str, session: Duration) -> Option<HeaderValue> {
        let sealed = keys.seal(&context(site), &[&self.browser[..], &self.user.0].concat()).ok()?;
        cookies.set(cookies.browser(), &BASE64_URL_SAFE_NO_PAD.encode(sealed), session.saturating_add(LONGER_THAN_SESSION))
    }

    /// The name of what this browser calls `id`.
    pub fn name(&self, what: &str, id: &str) -> [u8; 32] {
        sha256(&[what.as_bytes(), b" ", &self.browser, id.as_bytes()].concat())
    }
}

fn context(site: &str) -> String {
    format!("browser mark/{site}")
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn a_mark_is_read_at_its_own_site_with_our_key_and_only_if_it_is_the_only_one() {
        let [ours, others] = [(), ()].map(|()| KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap());
        let cookies = Cookies::new(true, "evergate");
        let user = |client_id, subject| UserHash::of(ClientRegistration { issuer: "https://idp.example", client_id }, subject);
        let [ann, bob] = ["ann", "bob"].map(|subject| user("app", subject));
        assert_ne!(ann, user("ap", "pann"));
        let of = |keys: &KeyRing, cookie: &str, site: &str| {
            BrowserMark::of(keys, &cookies, &HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())]), site)
        };
        let line = |mark: BrowserMark| {
            let line = mark.cookie(&ours, &cookies, "a.example", Duration::from_secs(60)).unwrap();
            line.to_str().unwrap().split(';').next().unwrap().to_owned()
        };
        let mark = BrowserMark::with_user(None, ann);
        let cookie = line(mark);
        assert_eq!(of(&ours, &cookie, "a.example"), Some(mark));
        assert_eq!(of(&ours, &cookie, "b.example"), None, "at another site");
        assert_eq!(of(&others, &cookie, "a.example"), None);
        assert_eq!(of(&ours, &format!("{cookie}A"), "a.example"), None);
        let next = BrowserMark::with_user(Some(mark), bob);
        assert_eq!((next.user, next.name("x", "1")), (bob, mark.name("x", "1")), "the browser is the same");
        assert_ne!(next.name("x", "1"), BrowserMark::with_user(None, bob).name("x", "1"));
        assert_eq!(of(&ours, &format!("{cookie}; {}", line(next)), "a.example"), None, "one of two is planted");
    }
}
